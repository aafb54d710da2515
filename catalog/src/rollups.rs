//! The list of rollups. One file each, all of the same shape.

pub mod traffic_hourly;

use crate::rollup::Rollup;

pub const ROLLUPS: &[&Rollup] = &[&traffic_hourly::ROLLUP];
