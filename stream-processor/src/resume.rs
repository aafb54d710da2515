//! Where a partition goes on, and when it must not (decision 9): what a broker has lost is said, never skipped.
//!
//! The lake's mark is compared with the topic as it is. A topic that ends below the mark was wiped; one that starts above
//! it has expired; one whose record before the mark isn't the one landed was made anew and filled again. Each stops its
//! partition with a message and the two commands that resolve it. Nothing here consumes or commits.

use std::collections::BTreeMap;
use std::fmt;

use crate::marks::Place;

/// What a broker lost of a partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Stopped {
    pub place: Place,
    pub loss: Loss,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&told(std::slice::from_ref(self)))
    }
}

/// What stands still, topic by topic: each partition's loss, then the commands, once a topic.
pub fn told(stopped: &[Stopped]) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Stopped { place, loss } in stopped {
        topics.entry(&place.topic).or_default().push(format!("{place}: {loss}"));
    }
    let topics = topics.iter().map(|(topic, losses)| {
        format!(
            "topic \"{topic}\" stands still: {}. What was landed stays as it is. \
             To read the topic from its start as a new one: hangang process --new-generation {topic}. \
             To go on from where it starts, without what is gone: hangang process --accept-loss {topic} \
             (either with this one's --data, --kafka and --lake)",
            losses.join("; ")
        )
    });
    topics.collect::<Vec<_>>().join("\n")
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
    fn the_commands_are_said_once_a_topic() {
        let place = |topic: &str, partition| Place { topic: topic.into(), generation: 0, partition };
        let stopped = [("a", 0), ("b", 0), ("a", 1)]
            .map(|(topic, partition)| Stopped { place: place(topic, partition), loss: Loss::Wiped { mark: 40, end: 0 } });
        let said = told(&stopped);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert_eq!(said.matches("--new-generation a").count(), 1, "{said}");
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
        assert_snapshot!(stopped(40, 0, 12, Before::Gone), @r#"topic "traffic_volume" stands still: traffic_volume/2: the topic ends at offset 12, but it was landed up to 40: it was wiped or made anew. What was landed stays as it is. To read the topic from its start as a new one: hangang process --new-generation traffic_volume. To go on from where it starts, without what is gone: hangang process --accept-loss traffic_volume (either with this one's --data, --kafka and --lake)"#);
    }

    #[test]
    fn expired_records_are_counted() {
        assert_snapshot!(stopped(40, 45, 90, Before::Gone), @r#"topic "traffic_volume" stands still: traffic_volume/2: the topic starts at offset 45, but it was landed only up to 40: 5 records expired before they were landed. What was landed stays as it is. To read the topic from its start as a new one: hangang process --new-generation traffic_volume. To go on from where it starts, without what is gone: hangang process --accept-loss traffic_volume (either with this one's --data, --kafka and --lake)"#);
    }

    #[test]
    fn a_topic_filled_again_is_recognised_by_the_record_before_the_mark() {
        assert_snapshot!(stopped(40, 0, 90, Before::Other), @r#"topic "traffic_volume" stands still: traffic_volume/2: the record at offset 39 is not the one that was landed from there: the topic was made anew and filled again. What was landed stays as it is. To read the topic from its start as a new one: hangang process --new-generation traffic_volume. To go on from where it starts, without what is gone: hangang process --accept-loss traffic_volume (either with this one's --data, --kafka and --lake)"#);
    }
}
