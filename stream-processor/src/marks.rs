//! The names under which the lake remembers how far a topic's partition has been landed.
//!
//! A mark is a Delta application transaction: its id names the partition and the topic's generation, its version is the
//! next offset to consume. The marks in the lake are the only checkpoint there is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One partition of one generation of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub topic: Arc<str>,
    pub generation: i32,
    pub partition: i32,
}

/// `topic/partition`, and from the first generation on `topic/partition#generation`: the mark's id.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)?;
        if self.generation > 0 {
            write!(f, "#{}", self.generation)?;
        }
        Ok(())
    }
}

impl Place {
    fn parse(app_id: &str) -> Option<Place> {
        let (place, generation) = match app_id.split_once('#') {
            Some((place, generation)) => (place, generation.parse().ok().filter(|&generation| generation > 0)?),
            None => (app_id, 0),
        };
        let (topic, partition) = place.rsplit_once('/')?;
        Some(Place { topic: topic.into(), generation, partition: partition.parse().ok()? })
    }
}

/// Of each partition of `topic` that a table has marks of: its newest generation and the next offset to consume.
pub fn newest(marks: &BTreeMap<String, i64>, topic: &str) -> BTreeMap<i32, (i32, i64)> {
    let mut newest = BTreeMap::new();
    let places = marks.iter().filter_map(|(app_id, &next)| Some((Place::parse(app_id)?, next)));
    for (place, next) in places.filter(|(place, _)| &*place.topic == topic) {
        let entry = newest.entry(place.partition).or_insert((place.generation, next));
        *entry = (*entry).max((place.generation, next));
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_generation_of_a_partition_is_found() {
        let marks = [("a/0", 70), ("a/0#1", 5), ("a/0#10", 2), ("a/1", 9), ("ab/1#1", 3), ("observed.a", 4), ("import", 8)];
        let marks = marks.map(|(app_id, next)| (app_id.to_owned(), next)).into();
        assert_eq!(newest(&marks, "a"), BTreeMap::from([(0, (10, 2)), (1, (0, 9))]));
    }

    #[test]
    fn a_mark_is_named_as_it_is_read() {
        for app_id in ["traffic_volume/3", "traffic_volume.dlq/0#2"] {
            assert_eq!(Place::parse(app_id).unwrap().to_string(), app_id);
        }
        assert_eq!(Place::parse("a/0#0"), None, "generation nought has one name only");
    }
}
