//! Which partitions are consumed, how far, and what a batch of records brings of each.
//!
//! Pure but for the records' bytes. Each record's offset is held against its partition's position: one below it was read
//! before and is passed over, one above it is accounted for by the slice, which spans whatever offsets lie between
//! (transaction markers use offsets, too).

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::Feed;
use chrono::{DateTime, Utc};

use crate::check::{Checked, Checker, Record};
use crate::land::Slice;
use crate::marks::Place;
use crate::quarantine::Letter;

/// A record as any of librdkafka's ways hands it over.
pub(super) trait Consumed<'a>: Copy {
    fn offset(self) -> i64;
    fn key(self) -> Option<&'a [u8]>;
    fn payload(self) -> Option<&'a [u8]>;
    fn headers(self) -> Vec<(&'a str, &'a [u8])>;
}

/// What a batch brought of one topic.
pub(crate) enum Part {
    /// Of a feed's topic.
    Rows { feed: usize, checked: Checked, slices: Vec<Slice> },
    /// Of a feed's dead-letter topic.
    Letters { letters: Vec<Letter>, slices: Vec<Slice> },
}

/// A topic that is consumed, and its partitions that are assigned.
pub(super) struct Topic {
    name: Arc<str>,
    kind: Kind,
    positions: BTreeMap<i32, Position>,
}

enum Kind {
    Feed { number: usize, checker: Checker },
    DeadLetters { feed: &'static Feed },
}

struct Position {
    generation: i32,
    next: i64,
}

impl Topic {
    /// The topics of a feed: its own and its dead letters'.
    pub(super) fn of(number: usize, feed: &'static Feed) -> [Topic; 2] {
        let topic = |name: &str, kind| Topic { name: name.into(), kind, positions: BTreeMap::new() };
        [
            topic(feed.topic(), Kind::Feed { number, checker: Checker::new(feed) }),
            topic(&feed.dead_letter_topic(), Kind::DeadLetters { feed }),
        ]
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn assign(&mut self, partition: i32, generation: i32, next: i64) {
        self.positions.insert(partition, Position { generation, next });
    }

    pub(super) fn unassign_all(&mut self) {
        self.positions.clear();
    }

    /// What the records, in the order in which they came, and the ends that were reached bring.
    pub(super) fn part<'a, C: Consumed<'a>>(
        &mut self,
        now: DateTime<Utc>,
        records: &[(i32, C)],
        ends: &[(i32, i64)],
    ) -> Option<Part> {
        let mut slices: BTreeMap<i32, Slice> = BTreeMap::new();
        let name = self.name.clone();
        let positions = &mut self.positions;
        let mut pass = |partition: i32, next: i64| {
            // Records of a partition that was taken away meanwhile are its next owner's.
            let position = positions.get_mut(&partition).filter(|position| position.next < next)?;
            let place = || Place { topic: name.clone(), generation: position.generation, partition };
            let slice = slices.entry(partition).or_insert_with(|| Slice { place: place(), from: position.next, next });
            (slice.next, position.next) = (next, next);
            Some(position.generation)
        };
        let fresh: Vec<(i32, i32, C)> = records
            .iter()
            .filter_map(|&(partition, record)| Some((pass(partition, record.offset() + 1)?, partition, record)))
            .collect();
        for &(partition, end) in ends {
            pass(partition, end);
        }
        if slices.is_empty() {
            return None;
        }
        let slices = slices.into_values().collect();
        Some(match &self.kind {
            Kind::Feed { number, checker } => {
                let records = fresh.iter().map(|&(generation, partition, record)| Record {
                    generation,
                    partition,
                    offset: record.offset(),
                    key: record.key(),
                    payload: record.payload(),
                });
                Part::Rows { feed: *number, checked: checker.check(now, records), slices }
            }
            Kind::DeadLetters { feed } => {
                let letters = fresh.iter().map(|&(_, partition, record)| letter(feed, &self.name, partition, record)).collect();
                Part::Letters { letters, slices }
            }
        })
    }
}

fn letter<'a>(feed: &'static Feed, topic: &str, partition: i32, record: impl Consumed<'a>) -> Letter {
    let letter = Letter {
        feed: feed.name,
        dead_letter_topic: topic.to_owned(),
        partition,
        offset: record.offset(),
        key: record.key().map(<[u8]>::to_vec),
        payload: record.payload().unwrap_or_default().to_vec(),
        ..Letter::default()
    };
    letter.with_headers(record.headers())
}

#[cfg(test)]
mod tests {
    use catalog::feeds::traffic_volume;

    use super::*;

    #[derive(Clone, Copy)]
    struct Plain(i64);

    impl Consumed<'static> for Plain {
        fn offset(self) -> i64 {
            self.0
        }
        fn key(self) -> Option<&'static [u8]> {
            Some(b"A-01/1/1")
        }
        fn payload(self) -> Option<&'static [u8]> {
            let good = r#"{"spot":"A-01","direction":1,"lane":1,"observed_at":"2022-09-30T15:00:00Z","volume":247,"received_at":"2022-09-30T16:30:00Z"}"#;
            Some(good.as_bytes())
        }
        fn headers(self) -> Vec<(&'static str, &'static [u8])> {
            Vec::new()
        }
    }

    fn offsets(topic: &mut Topic, records: &[(i32, i64)], ends: &[(i32, i64)]) -> (usize, Vec<(i32, i64, i64)>) {
        let records: Vec<(i32, Plain)> = records.iter().map(|&(partition, offset)| (partition, Plain(offset))).collect();
        match topic.part("2022-10-01T00:00:00Z".parse().unwrap(), &records, ends) {
            None => (0, Vec::new()),
            Some(Part::Rows { checked, slices, .. }) => {
                assert_eq!(checked.refused, []);
                (checked.rows.num_rows(), slices.iter().map(|slice| (slice.place.partition, slice.from, slice.next)).collect())
            }
            Some(Part::Letters { .. }) => unreachable!("a feed's topic holds no letters"),
        }
    }

    #[test]
    fn a_slice_spans_every_offset_up_to_the_last_record() {
        let [mut topic, _] = Topic::of(0, &traffic_volume::FEED);
        topic.assign(0, 0, 5);
        topic.assign(1, 0, 0);
        assert_eq!(offsets(&mut topic, &[(0, 5), (1, 0), (0, 8)], &[]), (3, vec![(0, 5, 9), (1, 0, 1)]));
        assert_eq!(
            offsets(&mut topic, &[(0, 9)], &[(0, 12), (1, 1)]),
            (1, vec![(0, 9, 12)]),
            "an end beyond the last record counts"
        );
    }

    #[test]
    fn what_was_read_before_or_is_not_ours_is_passed_over() {
        let [mut topic, _] = Topic::of(0, &traffic_volume::FEED);
        topic.assign(0, 0, 5);
        assert_eq!(offsets(&mut topic, &[(0, 3), (0, 4), (7, 1)], &[]), (0, vec![]));
        topic.unassign_all();
        assert_eq!(offsets(&mut topic, &[(0, 5)], &[]), (0, vec![]));
    }
}
