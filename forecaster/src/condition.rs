//! Whether a series is fit to be forecast by a model: dead, stuck and new ones get a naive rule, and say so.

use chrono::TimeDelta;

use crate::known::Known;

/// A series of which nothing is known for this long is dead: a week, so that each hour of the week has been missed once.
pub const DEAD_DAYS: i64 = 7;
/// As many equal values in a row are a stuck sensor: vehicles in twelve hours of a day are never equally many.
pub const STUCK_VALUES: usize = 12;
/// A series first heard of more recently is new: two weeks, so that each hour of the week has been seen twice.
pub const NEW_DAYS: i64 = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Alive,
    /// Nothing known in the last [`DEAD_DAYS`] days.
    Dead,
    /// The last [`STUCK_VALUES`] values known are equal.
    Stuck,
    /// Nothing known before the last [`NEW_DAYS`] days.
    New,
}

impl Condition {
    /// The condition of a series as known at the origin.
    pub fn of(known: &Known, series: usize) -> Condition {
        let steps = |days: i64| TimeDelta::days(days).num_seconds() / known.history().step().num_seconds();
        let origin = known.origin_step();
        let newest: Vec<f64> =
            (origin - steps(DEAD_DAYS)..origin).rev().filter_map(|step| known.value(series, step)).take(STUCK_VALUES).collect();
        let older = || (0..origin - steps(NEW_DAYS)).rev().any(|step| known.value(series, step).is_some());
        match newest.as_slice() {
            [] => Condition::Dead,
            [first, rest @ ..] if rest.len() + 1 == STUCK_VALUES && rest.iter().all(|value| value == first) => Condition::Stuck,
            _ if !older() => Condition::New,
            _ => Condition::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::history::{History, Revision};

    fn check(value: impl Fn(i64) -> Option<f64>) -> Condition {
        let start: DateTime<Utc> = "2022-08-31T15:00:00Z".parse().unwrap();
        let mut history = History::new(vec!["s".into()], start, TimeDelta::hours(1), 24 * 40).unwrap();
        for step in 0..24 * 40 {
            let at = history.instant(step);
            if let Some(value) = value(step) {
                history.insert(0, at, Revision { value, parts: None, received_at: at + TimeDelta::minutes(90) }).unwrap();
            }
        }
        Condition::of(&Known::at(&history, history.instant(24 * 40)).unwrap(), 0)
    }

    const O: i64 = 24 * 40;

    #[test]
    fn a_series_is_alive_dead_stuck_or_new() {
        assert_eq!(check(|step| Some(step as f64)), Condition::Alive);
        assert_eq!(check(|_| None), Condition::Dead);
        assert_eq!(check(|step| (step < O - 24 * 7).then_some(step as f64)), Condition::Dead);
        assert_eq!(check(|step| (step <= O - 24 * 7).then_some(step as f64)), Condition::Alive, "one value a week ago");
        assert_eq!(check(|step| Some(step.min(O - 13) as f64)), Condition::Stuck, "the last twelve known are equal");
        assert_eq!(check(|step| Some(step.min(O - 12) as f64)), Condition::Alive, "only eleven known are equal");
        assert_eq!(check(|step| (step >= O - 24 * 14).then_some(step as f64)), Condition::New);
        assert_eq!(check(|step| (step >= O - 24 * 14 - 1).then_some(step as f64)), Condition::Alive);
    }
}
