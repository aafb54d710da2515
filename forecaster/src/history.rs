//! What was measured, and when it was known: a panel of series × steps that remembers each revision.
//!
//! Step 9 of a record's life begins here. The trainer fills a [`History`] from the lake; everything that looks into it
//! does so through [`Known`](crate::Known), as of an origin, so that nothing received later can be seen by mistake.
//! Never reads a table or a clock.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

/// Cells that one history may have: 278 series × 20 years of hours fit. Sixteen bytes each, so this is 800 MB.
pub const CELLS_MAX: usize = 50_000_000;

/// What a history refuses; each tells of a caller's mistake or of a table that broke its own declaration.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum HistoryError {
    #[error("{observed_at} is not on the grid of {step_seconds} s that begins at {start}")]
    OffGrid { observed_at: DateTime<Utc>, step_seconds: i64, start: DateTime<Utc> },
    #[error("{observed_at} lies outside the history, which has {steps} steps from {start}")]
    Outside { observed_at: DateTime<Utc>, start: DateTime<Utc>, steps: usize },
    #[error("{series} series of {steps} steps are more than the {CELLS_MAX} cells a history may have; begin it later")]
    TooLarge { series: usize, steps: usize },
    #[error("value \"{value}\" of series \"{series}\" at {observed_at} is not a finite number")]
    NotFinite { series: String, observed_at: DateTime<Utc>, value: f64 },
}

/// One state of a cell: the value, how many parts it is the sum of (null for an imported total), and from when on it
/// was known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Revision {
    pub value: f64,
    pub parts: Option<u16>,
    pub received_at: DateTime<Utc>,
}

/// A panel of series × steps. Series are in ascending order of their ids; steps begin at `start` in UTC.
#[derive(Clone, Debug)]
pub struct History {
    series: Vec<String>,
    start: DateTime<Utc>,
    step: TimeDelta,
    steps: usize,
    /// Series by series, each its steps in order.
    cells: Vec<Stored>,
    /// The states before the last, of cells that had several, oldest first.
    earlier: HashMap<(u32, u32), Vec<Stored>>,
    any_parts: bool,
}

/// A state of a cell: the newest among the cells, others in `earlier`.
#[derive(Clone, Copy, Debug)]
struct Stored {
    /// NaN where nothing was ever received.
    value: f64,
    /// Seconds after the history's start, rounded up: an origin is a whole second, so no comparison changes.
    received_seconds: i32,
    /// 0 = no parts known.
    parts: u16,
    /// Of a newest state: whether there are earlier ones.
    revised: bool,
}

const NOTHING: Stored = Stored { value: f64::NAN, received_seconds: i32::MAX, parts: 0, revised: false };
const _: () = assert!(size_of::<Stored>() == 16, "millions of them are held");

impl History {
    /// An empty history. `start` is a point of the step's grid.
    pub fn new(mut series: Vec<String>, start: DateTime<Utc>, step: TimeDelta, steps: usize) -> Result<History, HistoryError> {
        series.sort_unstable();
        series.dedup();
        if series.len().saturating_mul(steps) > CELLS_MAX {
            return Err(HistoryError::TooLarge { series: series.len(), steps });
        }
        let cells = vec![NOTHING; series.len() * steps];
        Ok(History { series, start, step, steps, cells, earlier: HashMap::new(), any_parts: false })
    }

    /// Adds a state of a cell, in any order. Of states received at the same instant the one added last stands.
    pub fn insert(&mut self, series: usize, observed_at: DateTime<Utc>, revision: Revision) -> Result<(), HistoryError> {
        if !revision.value.is_finite() {
            let series = self.series[series].clone();
            return Err(HistoryError::NotFinite { series, observed_at, value: revision.value });
        }
        let step = self.cell_of(observed_at)?;
        let stored = Stored {
            value: revision.value,
            received_seconds: self.seconds_after_start(revision.received_at),
            parts: revision.parts.unwrap_or(0),
            revised: false,
        };
        self.any_parts |= stored.parts > 0;
        let index = series * self.steps + step;
        let cell = &mut self.cells[index];
        if cell.value.is_nan() {
            *cell = stored;
            return Ok(());
        }
        let states = self.earlier.entry((series as u32, step as u32)).or_default();
        states.push(*cell);
        // Stable, so that the later added of two states of one instant stays behind the other.
        let at = states.partition_point(|state| state.received_seconds <= stored.received_seconds);
        states.insert(at, stored);
        *cell = Stored { revised: true, ..states.pop().expect("two were just put in") };
        Ok(())
    }

    /// Forgets all that is known of a step, so that its revisions can be inserted anew.
    pub fn forget(&mut self, observed_at: DateTime<Utc>) -> Result<(), HistoryError> {
        let step = self.cell_of(observed_at)?;
        for series in 0..self.series.len() {
            self.cells[series * self.steps + step] = NOTHING;
            self.earlier.remove(&(series as u32, step as u32));
        }
        Ok(())
    }

    pub fn series(&self) -> &[String] {
        &self.series
    }

    /// Index of a series by its id.
    pub fn index_of(&self, series: &str) -> Option<usize> {
        self.series.binary_search_by(|known| known.as_str().cmp(series)).ok()
    }

    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    pub fn step(&self) -> TimeDelta {
        self.step
    }

    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The instant at which a step begins; steps before the start are negative.
    pub fn instant(&self, step: i64) -> DateTime<Utc> {
        self.start + self.step * i32::try_from(step).expect("a history spans fewer than two thousand million steps")
    }

    /// The step that begins at an instant of the grid, also outside the history.
    pub fn step_of(&self, instant: DateTime<Utc>) -> Result<i64, HistoryError> {
        let seconds = (instant - self.start).num_seconds();
        let step_seconds = self.step.num_seconds();
        if (instant - self.start) != TimeDelta::seconds(seconds) || seconds.rem_euclid(step_seconds) != 0 {
            return Err(HistoryError::OffGrid { observed_at: instant, step_seconds, start: self.start });
        }
        Ok(seconds.div_euclid(step_seconds))
    }

    /// Whether anything was ever received of a step.
    pub fn any_known(&self, step: i64) -> bool {
        let Ok(step) = usize::try_from(step) else { return false };
        step < self.steps && (0..self.series.len()).any(|series| !self.cells[series * self.steps + step].value.is_nan())
    }

    /// Whether any cell says how many parts it is the sum of.
    pub(crate) fn any_parts(&self) -> bool {
        self.any_parts
    }

    /// The value and parts (0 = none known) of a cell as received by an instant.
    #[inline]
    pub(crate) fn received_by(&self, series: usize, step: i64, seconds: i32) -> Option<(f64, u16)> {
        if step < 0 || step >= self.steps as i64 {
            return None;
        }
        let cell = &self.cells[series * self.steps + step as usize];
        if cell.received_seconds <= seconds {
            return (!cell.value.is_nan()).then_some((cell.value, cell.parts));
        }
        if cell.revised { self.earlier_by(series, step, seconds) } else { None }
    }

    #[cold]
    fn earlier_by(&self, series: usize, step: i64, seconds: i32) -> Option<(f64, u16)> {
        let states = self.earlier.get(&(series as u32, step as u32))?;
        states.iter().rev().find(|state| state.received_seconds <= seconds).map(|state| (state.value, state.parts))
    }

    /// Whole seconds from the history's start to an instant, rounded up.
    pub(crate) fn seconds_after_start(&self, instant: DateTime<Utc>) -> i32 {
        let micros = (instant - self.start).num_microseconds().expect("a history spans less than 292,000 years");
        i32::try_from(micros.div_euclid(1_000_000) + i64::from(micros.rem_euclid(1_000_000) > 0))
            .expect("a history spans less than 68 years")
    }

    /// SHA-256, in hexadecimal, of what was known at an instant: what a bundle fitted then has seen.
    pub fn fingerprint(&self, known_at: DateTime<Utc>) -> String {
        let seconds = self.seconds_after_start(known_at);
        let mut hash = Sha256::new();
        for (index, series) in self.series.iter().enumerate() {
            hash.update(series.as_bytes());
            hash.update([0]);
            for step in 0..self.steps as i64 {
                if let Some((value, parts)) = self.received_by(index, step, seconds) {
                    hash.update(self.instant(step).timestamp().to_le_bytes());
                    hash.update(value.to_le_bytes());
                    hash.update(parts.to_le_bytes());
                }
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same history without what was received after an instant. For tests of leaks; training never needs it.
    pub fn without_received_after(&self, instant: DateTime<Utc>) -> History {
        let seconds = self.seconds_after_start(instant);
        let mut kept =
            History { cells: vec![NOTHING; self.cells.len()], earlier: HashMap::new(), any_parts: false, ..self.clone() };
        for series in 0..self.series.len() {
            for step in 0..self.steps {
                let key = (series as u32, step as u32);
                let cell = self.cells[series * self.steps + step];
                let states = self.earlier.get(&key).into_iter().flatten().copied().chain([cell]);
                let mut states: Vec<Stored> = states.filter(|s| !s.value.is_nan() && s.received_seconds <= seconds).collect();
                if let Some(newest) = states.pop() {
                    kept.any_parts |= newest.parts > 0 || states.iter().any(|state| state.parts > 0);
                    kept.cells[series * self.steps + step] = Stored { revised: !states.is_empty(), ..newest };
                    if !states.is_empty() {
                        kept.earlier.insert(key, states);
                    }
                }
            }
        }
        kept
    }

    fn cell_of(&self, observed_at: DateTime<Utc>) -> Result<usize, HistoryError> {
        let step = self.step_of(observed_at)?;
        match usize::try_from(step) {
            Ok(step) if step < self.steps => Ok(step),
            _ => Err(HistoryError::Outside { observed_at, start: self.start, steps: self.steps }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn history() -> History {
        History::new(vec!["b".into(), "a".into()], at("2022-09-30T15:00:00Z"), TimeDelta::hours(1), 4).unwrap()
    }

    fn revision(value: f64, received_at: &str) -> Revision {
        Revision { value, parts: None, received_at: at(received_at) }
    }

    #[test]
    fn a_cell_is_what_had_been_received_whatever_the_order_of_insertion() {
        let states =
            [revision(1.0, "2022-09-30T17:00:00Z"), revision(2.0, "2022-09-30T19:00:00Z"), revision(3.0, "2022-10-01T15:00:00Z")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
            let mut history = history();
            for state in order {
                history.insert(0, at("2022-09-30T15:00:00Z"), states[state]).unwrap();
            }
            let known = |when| history.received_by(0, 0, history.seconds_after_start(at(when))).map(|(value, _)| value);
            assert_eq!(known("2022-09-30T16:59:59Z"), None);
            assert_eq!(known("2022-09-30T17:00:00Z"), Some(1.0));
            assert_eq!(known("2022-09-30T19:00:00Z"), Some(2.0));
            assert_eq!(known("2022-10-02T00:00:00Z"), Some(3.0));
        }
    }

    #[test]
    fn a_fraction_of_a_second_too_late_is_too_late() {
        let mut history = history();
        history.insert(0, at("2022-09-30T15:00:00Z"), revision(1.0, "2022-09-30T16:00:00.000001Z")).unwrap();
        assert_eq!(history.received_by(0, 0, history.seconds_after_start(at("2022-09-30T16:00:00Z"))), None);
        assert!(history.received_by(0, 0, history.seconds_after_start(at("2022-09-30T16:00:01Z"))).is_some());
    }

    #[test]
    fn cutting_off_what_came_later_leaves_the_fingerprint() {
        let mut whole = history();
        whole.insert(0, at("2022-09-30T15:00:00Z"), revision(1.0, "2022-09-30T16:30:00Z")).unwrap();
        whole.insert(0, at("2022-09-30T15:00:00Z"), revision(5.0, "2022-09-30T18:30:00Z")).unwrap();
        whole.insert(1, at("2022-09-30T17:00:00Z"), revision(2.0, "2022-09-30T18:30:00Z")).unwrap();
        let origin = at("2022-09-30T17:00:00Z");
        let cut = whole.without_received_after(origin);
        assert_eq!(whole.fingerprint(origin), cut.fingerprint(at("2022-10-09T00:00:00Z")));
        assert_ne!(whole.fingerprint(origin), whole.fingerprint(at("2022-10-09T00:00:00Z")));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        let mut history = history();
        let refused = |history: &mut History, observed_at: &str, value| {
            history.insert(0, at(observed_at), revision(value, "2022-10-01T00:00:00Z")).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&mut history, "2022-09-30T15:30:00Z", 1.0),
            "2022-09-30 15:30:00 UTC is not on the grid of 3600 s that begins at 2022-09-30 15:00:00 UTC"
        );
        assert_eq!(
            refused(&mut history, "2022-09-30T19:00:00Z", 1.0),
            "2022-09-30 19:00:00 UTC lies outside the history, which has 4 steps from 2022-09-30 15:00:00 UTC"
        );
        assert_eq!(
            refused(&mut history, "2022-09-30T15:00:00Z", f64::INFINITY),
            "value \"inf\" of series \"a\" at 2022-09-30 15:00:00 UTC is not a finite number"
        );
    }
}
