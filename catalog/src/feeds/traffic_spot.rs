//! Where Seoul counts its traffic: the names and places of the counting spots.

use crate::column::{Column, Kind};
use crate::feed::{Feed, Stamp, Upstream};

const DAY: i64 = 24 * 3600;

/// Seoul Open Data Plaza, SpotInfo. The answer carries no time: a day's list is what the answer said on that day.
pub const FEED: Feed = Feed {
    name: "traffic_spot",
    title: "Seoul's traffic counting spots: names and places, one row a spot and day",
    upstream: Upstream::Seoul { service: "SpotInfo" },
    series: &["spot"],
    columns: &[
        Column::new("spot", Kind::Text, "spot id, as A-01"),
        Column::new("observed_at", Kind::Instant, "start of the day (midnight KST) on which the list was read"),
        Column::new("name", Kind::Text, "name of the road, in Korean"),
        Column::new("x", Kind::Float64, "easting in metres, EPSG:5181").within(100_000.0, 300_000.0),
        Column::new("y", Kind::Float64, "northing in metres, EPSG:5181").within(400_000.0, 600_000.0),
        Column::new("latitude", Kind::Float64, "degrees north, WGS84").within(37.0, 38.0),
        Column::new("longitude", Kind::Float64, "degrees east, WGS84").within(126.0, 128.0),
    ],
    interval_seconds: DAY,
    stamp: Stamp::Begin,
    // Asked within the day that it speaks of: ten minutes after the day has begun.
    delay_seconds: -DAY,
    asks_seconds: &[-DAY + 600],
    partitions: 1,
    example: r#"{"spot":"A-09","observed_at":"2022-09-30T15:00:00Z","name":"퇴계로(신당역)","x":201850.055,"y":451769.97,"latitude":37.56546,"longitude":127.02094}"#,
};
