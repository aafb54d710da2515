//! How each feed is asked and read: the explicit list, one file a feed, all of the same shape.
//!
//! The catalog says what a feed's rows are; a [`Source`] says how to get them from its upstream.

pub mod traffic_spot;
pub mod traffic_volume;

use catalog::Feed;
use chrono::{DateTime, Utc};

use crate::ask::Ask;
use crate::observation::Observation;
use crate::parse::{Row, RowFault};

/// Every feed that can be polled.
pub const SOURCES: &[&Source] = &[&traffic_spot::SOURCE, &traffic_volume::SOURCE];

/// How a feed is polled.
#[derive(Debug)]
pub struct Source {
    pub feed: &'static Feed,
    pub speaks_of: SpeaksOf,
    /// What one request names: one ask a place. None: the feed is asked whole.
    pub by: Option<Places>,
    /// The places that its answers list, for other feeds to be asked by.
    pub lists: Option<Places>,
    /// The upstream's arguments, in its order.
    pub arguments: fn(&Ask) -> Vec<String>,
    /// One row of an answer that was complete at a city time.
    pub read: fn(&Row, DateTime<Utc>) -> Result<Observation, RowFault>,
}

/// Whether the upstream takes a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeaksOf {
    /// It answers about now: what was missed cannot be asked for.
    Now,
    /// It answers about the interval that is asked for.
    Asked,
}

/// A kind of place by which an upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    Spots,
}

impl Source {
    pub fn by_name(name: &str) -> Option<&'static Source> {
        SOURCES.iter().copied().find(|source| source.feed.name == name)
    }

    /// The place to ask by for a series (`A-01/1/2`): the first of its values. None for a feed that is asked whole.
    pub fn place<'a>(&self, series: &'a str) -> Option<&'a str> {
        self.by.and_then(|_| series.split(catalog::record::SERIES_SEPARATOR).next())
    }

    pub(crate) fn of(feed: &Feed) -> Option<&'static Source> {
        Source::by_name(feed.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feed_of_the_catalog_has_a_source_and_only_those() {
        let feeds: Vec<_> = catalog::FEEDS.iter().map(|feed| feed.name).collect();
        let sources: Vec<_> = SOURCES.iter().map(|source| source.feed.name).collect();
        assert_eq!(sources, feeds);
    }

    #[test]
    fn whatever_a_feed_is_asked_by_another_feed_lists() {
        for source in SOURCES.iter().filter(|source| source.by.is_some()) {
            assert!(SOURCES.iter().any(|other| other.lists == source.by), "nothing lists the places of {}", source.feed.name);
        }
    }
}
