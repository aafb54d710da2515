//! What was known at an origin: the only window through which features, rules, training and serving look at a history.
//!
//! Known at o = received by o (design decision 4). A value with fewer parts than usual is null: usual is the most
//! frequent count of parts in the 28 days before the origin, as known at the origin. Values whose parts are unknown
//! (imported totals) count as whole. Never answers with anything received after its origin.

use chrono::{DateTime, TimeDelta, Utc};

use crate::history::{History, HistoryError};

/// How far back the usual count of parts is looked for, in days (decision 4).
pub const USUAL_PARTS_DAYS: i64 = 28;

/// A history as it was known at one origin.
pub struct Known<'a> {
    history: &'a History,
    origin_step: i64,
    seconds: i32,
    /// By series; 0 where no value in the 28 days says its parts.
    usual_parts: Vec<u16>,
}

impl<'a> Known<'a> {
    /// The view from `origin`, a point of the step's grid.
    pub fn at(history: &'a History, origin: DateTime<Utc>) -> Result<Known<'a>, HistoryError> {
        let origin_step = history.step_of(origin)?;
        let seconds = history.seconds_after_start(origin);
        let mut known = Known { history, origin_step, seconds, usual_parts: vec![0; history.series().len()] };
        if history.any_parts() {
            known.usual_parts = (0..history.series().len()).map(|series| known.usual_parts_of(series)).collect();
        }
        Ok(known)
    }

    pub fn history(&self) -> &'a History {
        self.history
    }

    pub fn origin(&self) -> DateTime<Utc> {
        self.history.instant(self.origin_step)
    }

    /// The step that begins at the origin: horizon 1.
    pub fn origin_step(&self) -> i64 {
        self.origin_step
    }

    /// The value of a step as known at the origin; null where nothing was received by then, or fewer parts than usual.
    #[inline]
    pub fn value(&self, series: usize, step: i64) -> Option<f64> {
        let (value, parts) = self.history.received_by(series, step, self.seconds)?;
        (parts == 0 || parts >= self.usual_parts[series]).then_some(value)
    }

    /// What came of a step that this origin forecast, as received by `seen_at`; null as an actual where it has fewer
    /// parts than were usual at the origin.
    pub fn actual(&self, series: usize, step: i64, seen_at: DateTime<Utc>) -> Option<f64> {
        let (value, parts) = self.history.received_by(series, step, self.history.seconds_after_start(seen_at))?;
        (parts == 0 || parts >= self.usual_parts[series]).then_some(value)
    }

    /// Most frequent count of parts of a series in the 28 days before the origin; of equally frequent ones the greatest.
    fn usual_parts_of(&self, series: usize) -> u16 {
        let back = TimeDelta::days(USUAL_PARTS_DAYS).num_seconds() / self.history.step().num_seconds();
        let mut counts: Vec<(u16, u32)> = Vec::new();
        for step in self.origin_step - back..self.origin_step {
            let Some((_, parts)) = self.history.received_by(series, step, self.seconds) else { continue };
            if parts == 0 {
                continue;
            }
            match counts.iter_mut().find(|(count, _)| *count == parts) {
                Some((_, times)) => *times += 1,
                None => counts.push((parts, 1)),
            }
        }
        counts.into_iter().max_by_key(|&(count, times)| (times, count)).map_or(0, |(count, _)| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Revision;

    fn start() -> DateTime<Utc> {
        "2022-08-31T15:00:00Z".parse().unwrap()
    }

    /// One series; step n was received an hour and a half after it began, unless told otherwise.
    fn history(cells: &[(i64, f64, Option<u16>)]) -> History {
        let mut history = History::new(vec!["A-01/1".into()], start(), TimeDelta::hours(1), 24 * 60).unwrap();
        for &(step, value, parts) in cells {
            let observed_at = history.instant(step);
            history.insert(0, observed_at, Revision { value, parts, received_at: observed_at + TimeDelta::minutes(90) }).unwrap();
        }
        history
    }

    #[test]
    fn an_hour_with_fewer_lanes_than_usual_is_null_as_feature_and_as_actual() {
        let mut cells: Vec<_> = (0..48).map(|step| (step, 100.0, Some(4))).collect();
        cells[10] = (10, 75.0, Some(3));
        cells.push((50, 70.0, Some(3)));
        cells.push((51, 130.0, Some(5)));
        cells.push((52, 100.0, None));
        let history = history(&cells);
        let known = Known::at(&history, start() + TimeDelta::hours(50)).unwrap();
        assert_eq!(known.value(0, 10), None, "three of the usual four lanes");
        assert_eq!(known.value(0, 11), Some(100.0));
        let later = start() + TimeDelta::days(9);
        assert_eq!(known.actual(0, 50, later), None, "three of the usual four lanes");
        assert_eq!(known.actual(0, 51, later), Some(130.0), "more than usual is whole");
        assert_eq!(known.actual(0, 52, later), Some(100.0), "an imported total is whole");
    }

    #[test]
    fn usual_is_what_the_28_days_known_at_the_origin_say() {
        let many: Vec<_> =
            (0..24 * 20).map(|step| (step, 1.0, Some(4))).chain((24 * 20..24 * 60).map(|step| (step, 1.0, Some(3)))).collect();
        let history = history(&many);
        let usual = |day: i64| Known::at(&history, start() + TimeDelta::days(day)).unwrap().usual_parts[0];
        assert_eq!(usual(20), 4);
        assert_eq!(usual(33), 4, "15 of the 28 days had four lanes");
        assert_eq!(usual(35), 3, "15 of the 28 days had three lanes");
    }

    #[test]
    fn a_value_received_after_the_origin_is_not_known() {
        let history = history(&[(0, 1.0, None), (1, 2.0, None)]);
        let known = Known::at(&history, start() + TimeDelta::hours(2)).unwrap();
        assert_eq!((known.value(0, 0), known.value(0, 1)), (Some(1.0), None));
        assert_eq!(Known::at(&history, start() + TimeDelta::hours(3)).unwrap().value(0, 1), Some(2.0));
        assert!(matches!(Known::at(&history, start() + TimeDelta::minutes(1)), Err(HistoryError::OffGrid { .. })));
    }
}
