//! Which stretches of time a rollup or a reader speaks of: sorted, disjoint, half-open ranges of instants.

use chrono::{DateTime, TimeDelta, Utc};

/// Sorted disjoint half-open ranges `[start, end)` in UTC. Ranges that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(Vec<(i64, i64)>);

impl Windows {
    /// From ranges in any order; overlapping and touching ones are joined, empty ones dropped.
    pub fn new(ranges: impl IntoIterator<Item = (DateTime<Utc>, DateTime<Utc>)>) -> Windows {
        let micros = ranges.into_iter().map(|(start, end)| (start.timestamp_micros(), end.timestamp_micros()));
        let mut ranges: Vec<(i64, i64)> = micros.filter(|(start, end)| start < end).collect();
        ranges.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        Windows(joined)
    }

    /// Windows of one length, from their starts.
    pub fn starting_at(starts: impl IntoIterator<Item = DateTime<Utc>>, length: TimeDelta) -> Windows {
        Windows::new(starts.into_iter().map(|start| (start, start + length)))
    }

    pub fn one(start: DateTime<Utc>, end: DateTime<Utc>) -> Windows {
        Windows::new([(start, end)])
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (DateTime<Utc>, DateTime<Utc>)> + '_ {
        self.0.iter().map(|&(start, end)| (instant(start), instant(end)))
    }

    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.contains_micros(at.timestamp_micros())
    }

    /// From the first range's start to the last one's end.
    pub fn hull(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        Some((instant(self.0.first()?.0), instant(self.0.last()?.1)))
    }

    /// All of these and all of `other`.
    pub fn union(&self, other: &Windows) -> Windows {
        Windows::new(self.iter().chain(other.iter()))
    }

    pub(crate) fn contains_micros(&self, at: i64) -> bool {
        let next = self.0.partition_point(|&(start, _)| start <= at);
        next > 0 && at < self.0[next - 1].1
    }

    /// Whether any instant of `[least, greatest]`, both included, may lie in a range.
    pub(crate) fn overlap_micros(&self, least: i64, greatest: i64) -> bool {
        let next = self.0.partition_point(|&(_, end)| end <= least);
        next < self.0.len() && self.0[next].0 <= greatest
    }

    /// Whether every instant of `[least, greatest]`, both included, lies in a range.
    pub(crate) fn cover_micros(&self, least: i64, greatest: i64) -> bool {
        let next = self.0.partition_point(|&(start, _)| start <= least);
        next > 0 && greatest < self.0[next - 1].1
    }

    /// The ranges, in microseconds.
    pub(crate) fn micros(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn from_micros(ranges: impl IntoIterator<Item = (i64, i64)>) -> Windows {
        Windows::new(ranges.into_iter().map(|(start, end)| (instant(start), instant(end))))
    }
}

fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).expect("it was an instant before")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_hold_exactly_the_instants_of_their_ranges(ranges in prop::collection::vec((0i64..40, 0i64..6), 0..12), least in 0i64..50, length in 0i64..8) {
            let windows = Windows::from_micros(ranges.iter().map(|&(start, length)| (start, start + length)));
            let held = |at: i64| ranges.iter().any(|&(start, length)| start <= at && at < start + length);
            for at in -1..60 {
                prop_assert_eq!(windows.contains_micros(at), held(at), "at {}", at);
            }
            let greatest = least + length;
            prop_assert_eq!(windows.overlap_micros(least, greatest), (least..=greatest).any(held));
            prop_assert_eq!(windows.cover_micros(least, greatest), (least..=greatest).all(held));
            prop_assert!(windows.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "sorted, and none touches the next");
        }
    }
}
