//! Vehicles an hour at each spot and direction, for the next day.

use crate::rollups::traffic_hourly;
use crate::target::Target;

pub const TARGET: Target = Target {
    name: "traffic_volume",
    title: "Traffic volume by spot and direction",
    unit: "vehicles/h",
    rollup: &traffic_hourly::ROLLUP,
    series: &["spot", "direction"],
    value: "volume",
    parts: Some("lanes"),
    step_seconds: 3600,
    horizon: 24,
    non_negative: true,
};
