//! Where a partition goes on, and when it must not (decision 9): what a broker has lost is said, never skipped.
//!
//! The lake's mark is compared with the topic as it is. A topic that ends below the mark was wiped; one that starts above
//! it has expired; one whose record before the mark isn't the one landed was made anew and filled again. Each stops its
//! partition with a message and the two commands that resolve it. Nothing here consumes or commits.

use std::fmt;

use crate::marks::Place;

/// What a broker lost of a partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("partition {place} stands still: {loss}. What was landed stays as it is. Either `hangang process --new-generation {topic}` reads the topic from its start as a new one, or `hangang process --accept-loss {topic}` goes on from where this partition starts", topic = place.topic)]
pub struct Stopped {
    pub place: Place,
    pub loss: Loss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The topic ends below the mark.
    Wiped { mark: i64, end: i64 },
    /// The topic starts above the mark.
    Expired { mark: i64, start: i64 },
    /// The record before the mark is another than the one landed.
    Recreated { mark: i64 },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Wiped { mark, end } => {
                write!(f, "the topic ends at offset {end}, but it was landed up to {mark}: it was wiped or made anew")
            }
            Loss::Expired { mark, start } => {
                write!(
                    f,
                    "the topic starts at offset {start}, but it was landed only up to {mark}: {} records expired before they were landed",
                    start - mark
                )
            }
            Loss::Recreated { mark } => {
                write!(
                    f,
                    "the record at offset {} is not the one that was landed from there: the topic was made anew and filled again",
                    mark - 1
                )
            }
        }
    }
}

/// The record before the mark, held against the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// It is the one that was landed, or refused.
    Same,
    Other,
    /// There is none to compare: it has expired, or the offset never held a record.
    Gone,
}

/// Offset at which a partition goes on. `mark`: the next offset by the lake; `start` and `end`: the topic's first offset
/// and the one after its last. A partition that was never landed begins where the topic does.
pub fn start(mark: Option<i64>, start: i64, end: i64, before: Before) -> Result<i64, Loss> {
    match mark {
        None | Some(0) if start == 0 => Ok(0),
        None => Ok(start),
        Some(mark) if end < mark => Err(Loss::Wiped { mark, end }),
        Some(mark) if start > mark => Err(Loss::Expired { mark, start }),
        Some(mark) if before == Before::Other => Err(Loss::Recreated { mark }),
        Some(mark) => Ok(mark),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn stopped(mark: i64, from: i64, to: i64, before: Before) -> String {
        let place = Place { topic: "traffic_volume".into(), generation: 0, partition: 2 };
        Stopped { place, loss: start(Some(mark), from, to, before).unwrap_err() }.to_string()
    }

    #[test]
    fn a_partition_goes_on_at_its_mark() {
        assert_eq!(start(Some(40), 0, 60, Before::Same), Ok(40));
        assert_eq!(start(Some(40), 40, 40, Before::Gone), Ok(40));
        assert_eq!(start(Some(0), 0, 0, Before::Gone), Ok(0));
        assert_eq!(start(None, 0, 10, Before::Gone), Ok(0));
        assert_eq!(start(None, 7, 10, Before::Gone), Ok(7));
    }

    #[test]
    fn a_wiped_topic_is_said_with_what_to_do() {
        assert_snapshot!(stopped(40, 0, 12, Before::Gone), @"partition traffic_volume/2 stands still: the topic ends at offset 12, but it was landed up to 40: it was wiped or made anew. What was landed stays as it is. Either `hangang process --new-generation traffic_volume` reads the topic from its start as a new one, or `hangang process --accept-loss traffic_volume` goes on from where this partition starts");
    }

    #[test]
    fn expired_records_are_counted() {
        assert_snapshot!(stopped(40, 45, 90, Before::Gone), @"partition traffic_volume/2 stands still: the topic starts at offset 45, but it was landed only up to 40: 5 records expired before they were landed. What was landed stays as it is. Either `hangang process --new-generation traffic_volume` reads the topic from its start as a new one, or `hangang process --accept-loss traffic_volume` goes on from where this partition starts");
    }

    #[test]
    fn a_topic_filled_again_is_recognised_by_the_record_before_the_mark() {
        assert_snapshot!(stopped(40, 0, 90, Before::Other), @"partition traffic_volume/2 stands still: the record at offset 39 is not the one that was landed from there: the topic was made anew and filled again. What was landed stays as it is. Either `hangang process --new-generation traffic_volume` reads the topic from its start as a new one, or `hangang process --accept-loss traffic_volume` goes on from where this partition starts");
    }
}
