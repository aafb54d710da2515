//! How many vehicles pass: hourly counts at every spot, direction and lane.

use crate::column::{Column, Kind};
use crate::feed::{Feed, Stamp, Upstream};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// Seoul Open Data Plaza, VolInfo (OA-13316). An absent row is no observation, never a nought.
pub const FEED: Feed = Feed {
    name: "traffic_volume",
    title: "Vehicles an hour at Seoul's counting spots, one row a spot, direction, lane and hour",
    upstream: Upstream::Seoul { service: "VolInfo" },
    series: &["spot", "direction", "lane"],
    columns: &[
        Column::new("spot", Kind::Text, "spot id, as A-01; joins traffic_spot"),
        Column::new("direction", Kind::Int16, "1 = in (towards the centre), 2 = out").within(1.0, 2.0),
        Column::new("lane", Kind::Int16, "lane from 1; 0 = all lanes together, as monthly sheets give them").within(0.0, 20.0),
        Column::new("observed_at", Kind::Instant, "start of the hour (UTC) in which the vehicles were counted"),
        Column::new("volume", Kind::Int32, "vehicles in the hour").within(0.0, 30_000.0),
    ],
    interval_seconds: HOUR,
    stamp: Stamp::Begin,
    delay_seconds: 30 * MINUTE,
    asks_seconds: &[30 * MINUTE, 150 * MINUTE, 210 * MINUTE, 390 * MINUTE, 24 * HOUR + 30 * MINUTE],
    partitions: 4,
    example: r#"{"spot":"A-01","direction":1,"lane":1,"observed_at":"2022-09-30T15:00:00Z","volume":247}"#,
};
