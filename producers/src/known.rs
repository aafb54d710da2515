//! What has been published and is remembered, so that a poll that brings only what is known publishes nothing.
//!
//! A memory, not a record: a value forgotten, or never handed over at the start, is published again, which is harmless.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::observation::{Identity, Observation, Value};

/// The last published values of one feed, by identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(HashMap<Identity, Vec<Value>>);

impl Known {
    /// The rows that are new or changed, in their order. A row that an answer holds twice counts once; one that it
    /// holds twice with different values comes both times, and the later one stays.
    pub(crate) fn fresh(&self, observations: Vec<Observation>) -> Vec<Observation> {
        let mut seen: HashMap<Identity, Vec<Value>> = HashMap::new();
        let mut fresh = observations;
        fresh.retain(|observation| {
            let identity = observation.identity();
            let last = seen.get(&identity).or_else(|| self.0.get(&identity));
            let new = last.is_none_or(|values| values != observation.measured());
            if new {
                seen.insert(identity, observation.measured().to_vec());
            }
            new
        });
        fresh
    }

    /// Remembers a row as published.
    pub(crate) fn learn(&mut self, observation: &Observation) {
        self.0.insert(observation.identity(), observation.measured().to_vec());
    }

    /// Forgets what lies before the intervals that are still asked for.
    pub(crate) fn forget_before(&mut self, observed_at: DateTime<Utc>) {
        self.0.retain(|identity, _| identity.observed_at >= observed_at);
    }

    /// The starts of the intervals of which anything is known.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.0.keys().map(|identity| identity.observed_at)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use catalog::feeds::traffic_volume::FEED;

    use super::*;

    fn row(lane: i64, hour: u32, volume: i64) -> Observation {
        let observed_at = format!("2022-10-01T{hour:02}:00:00Z").parse().unwrap();
        let values =
            vec![Value::Text("A-01".into()), Value::Int(1), Value::Int(lane), Value::Instant(observed_at), Value::Int(volume)];
        Observation::new(&FEED, values)
    }

    #[test]
    fn only_new_and_changed_rows_are_fresh() {
        let mut known = Known::default();
        known.learn(&row(1, 3, 100));
        known.learn(&row(2, 3, 200));
        let fresh = known.fresh(vec![row(1, 3, 100), row(2, 3, 201), row(3, 3, 300), row(3, 3, 300)]);
        assert_eq!(fresh, [row(2, 3, 201), row(3, 3, 300)]);
    }

    #[test]
    fn a_value_that_comes_back_is_fresh_again() {
        let mut known = Known::default();
        for volume in [100, 90] {
            known.learn(&row(1, 3, volume));
        }
        assert_eq!(known.fresh(vec![row(1, 3, 100)]).len(), 1);
        // Even within one answer.
        assert_eq!(known.fresh(vec![row(1, 3, 100), row(1, 3, 90)]).len(), 2);
    }

    #[test]
    fn what_is_no_longer_asked_for_is_forgotten() {
        let mut known = Known::default();
        (0..5).for_each(|hour| known.learn(&row(1, hour, 100)));
        known.forget_before(row(1, 3, 0).observed_at());
        assert_eq!(known.len(), 2);
    }
}
