//! The list of feeds. One file each, all of the same shape.

pub mod traffic_spot;
pub mod traffic_volume;

use crate::feed::Feed;

/// Every feed there is, in the order in which people name them.
pub const FEEDS: &[&Feed] = &[&traffic_spot::FEED, &traffic_volume::FEED];
