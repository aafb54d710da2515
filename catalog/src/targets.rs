//! The list of targets. One file each, all of the same shape.

pub mod traffic_volume;

use crate::target::Target;

pub const TARGETS: &[&Target] = &[&traffic_volume::TARGET];
