//! Vehicles an hour by spot and direction: the sum over lanes.

use crate::column::{Column, Kind};
use crate::feeds::traffic_volume;
use crate::rollup::Rollup;

/// Where any lane is known, the lanes' sum; where only an imported total (lane 0) is, that.
pub const ROLLUP: Rollup = Rollup {
    name: "traffic_hourly",
    comment: "Vehicles an hour by spot and direction: the sum over lanes, or the imported total where no lane is known",
    feed: &traffic_volume::FEED,
    keys: &["spot", "direction", "observed_at"],
    columns: &[
        Column::new("spot", Kind::Text, "spot id, as A-01; joins traffic_spot"),
        Column::new("direction", Kind::Int16, "1 = in (towards the centre), 2 = out"),
        Column::new("observed_at", Kind::Instant, "start of the hour (UTC)"),
        Column::new("volume", Kind::Int64, "vehicles in the hour, over all lanes"),
        Column::new("lanes", Kind::Int64, "lanes in the sum; null where volume is an imported total").nullable(),
        Column::new("received_at", Kind::Instant, "city time (UTC) at which the newest of its rows was received"),
    ],
    window_seconds: 3600,
    select: "SELECT {keys}spot, direction, observed_at, \
             CASE WHEN max(lane) > 0 THEN sum(CASE WHEN lane > 0 THEN CAST(volume AS BIGINT) END) ELSE sum(CAST(volume AS BIGINT)) END AS volume, \
             CASE WHEN max(lane) > 0 THEN sum(CASE WHEN lane > 0 THEN 1 ELSE 0 END) END AS lanes, \
             max(received_at) AS received_at \
             FROM newest GROUP BY {group}spot, direction, observed_at",
};
