//! What was known when the process started, handed over by whoever can read the lake.
//!
//! From it follow, purely, the asks that were missed. Too little known is harmless: rows are then published again.

use std::collections::{BTreeSet, HashMap};

use catalog::Feed;
use chrono::{DateTime, TimeDelta, Utc};

use crate::known::Known;
use crate::observation::Observation;

/// What the lake holds, as far as asking goes on from it. The default knows nothing.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// By feed name.
    pub feeds: HashMap<String, FeedResume>,
    /// Ids of the spots in the newest list of `traffic_spot`.
    pub spots: Vec<String>,
}

/// What the lake holds of one feed.
#[derive(Clone, Debug, Default)]
pub struct FeedResume {
    /// The newest `received_at` of any row, UTC. None: the feed is empty, and asking begins with the last interval.
    pub newest_received_at: Option<DateTime<Utc>>,
    /// The newest `received_at` of a row that came through the topic, not by import.
    pub newest_polled_at: Option<DateTime<Utc>>,
    known: Known,
}

impl FeedResume {
    pub fn new(newest_received_at: Option<DateTime<Utc>>, newest_polled_at: Option<DateTime<Utc>>) -> FeedResume {
        FeedResume { newest_received_at, newest_polled_at, known: Known::default() }
    }

    /// Takes note of a row's newest revision, so that it isn't published again. Rows whose intervals are still asked
    /// for are worth handing over, and a few days more, in which holes are looked for.
    pub fn learn(&mut self, observation: &Observation) {
        self.known.learn(observation);
    }

    pub(crate) fn into_known(self) -> Known {
        self.known
    }

    /// City time up to which every ask has been answered, as far as the lake can tell. Of what a process had asked in vain
    /// when it ended, the lake shows nothing, and only the last of an interval's asks makes up for those before: so all
    /// asks of one schedule of re-reads are made again. Most bring nothing new.
    pub(crate) fn asked_up_to(&self, feed: &Feed, now: DateTime<Utc>) -> DateTime<Utc> {
        let Some(received) = self.newest_received_at else { return now - feed.interval() };
        let unsure = feed.settled_after().max(TimeDelta::zero());
        match self.newest_polled_at {
            Some(polled) if polled > received - unsure => polled - unsure,
            // Imported since: what was asked in vain is older than that.
            _ => received,
        }
    }

    /// Intervals to be asked for once more, besides the schedule's. Missed asks are made newest interval first; a
    /// process that ended amid them leaves a hole: intervals without a single row between others that have some. The
    /// hole's neighbours may be half asked, and are asked too. (Absent rows of single places are normal.)
    pub(crate) fn holes(&self, feed: &Feed) -> Vec<DateTime<Utc>> {
        if self.newest_polled_at.is_none() {
            return Vec::new();
        }
        let known: BTreeSet<_> = self.known.intervals().collect();
        let mut asked = BTreeSet::new();
        for (&before, &after) in known.iter().zip(known.iter().skip(1)) {
            let mut interval = before;
            while after - before > feed.interval() && interval <= after {
                asked.insert(interval);
                interval += feed.interval();
            }
        }
        asked.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use catalog::feeds::traffic_volume::FEED;

    use super::*;
    use crate::observation::Value;

    fn at(hour: i64) -> DateTime<Utc> {
        "2022-10-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hour)
    }

    fn knowing(hours: &[i64]) -> FeedResume {
        let mut resume = FeedResume::new(Some(at(100)), Some(at(100)));
        for &hour in hours {
            let values = vec![Value::Text("A-01".into()), Value::Int(1), Value::Int(1), Value::Instant(at(hour)), Value::Int(9)];
            resume.learn(&Observation::new(&FEED, values));
        }
        resume
    }

    #[test]
    fn an_empty_lake_asks_for_the_last_interval_only() {
        assert_eq!(FeedResume::default().asked_up_to(&FEED, at(50)), at(49));
    }

    #[test]
    fn imported_history_is_gone_on_from_and_polled_history_asked_for_once_more() {
        let up_to =
            |received, polled: Option<i64>| FeedResume::new(Some(at(received)), polled.map(at)).asked_up_to(&FEED, at(500));
        assert_eq!(up_to(100, None), at(100));
        assert_eq!(up_to(100, Some(100)), at(100) - FEED.settled_after());
        assert_eq!(up_to(100, Some(90)), at(90) - FEED.settled_after());
        // Polled long ago, imported since.
        assert_eq!(up_to(100, Some(10)), at(100));
    }

    #[test]
    fn a_list_that_speaks_of_now_is_not_asked_for_again() {
        let spots = catalog::feeds::traffic_spot::FEED;
        assert_eq!(FeedResume::new(Some(at(100)), Some(at(100))).asked_up_to(&spots, at(500)), at(100));
    }

    #[test]
    fn a_hole_is_asked_for_with_its_neighbours() {
        assert_eq!(knowing(&[1, 2, 3, 6, 7, 8]).holes(&FEED), [at(3), at(4), at(5), at(6)]);
        assert!(knowing(&[1, 2, 3]).holes(&FEED).is_empty());
        assert!(knowing(&[]).holes(&FEED).is_empty());
        let imported = FeedResume { newest_polled_at: None, ..knowing(&[1, 5]) };
        assert!(imported.holes(&FEED).is_empty());
    }
}
