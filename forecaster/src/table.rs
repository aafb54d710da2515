//! The table that trees are grown on: sampled rows of past origins with their features, targets and weights.
//!
//! Every row is made exactly as a forecast at its origin would make it. The target is what had come by the moment of
//! training. Rows are drawn by a fixed rule, not at random: the same history gives the same table.

use chrono::{DateTime, TimeDelta, Utc};
use rayon::prelude::*;

use crate::calendar::Calendar;
use crate::condition::Condition;
use crate::features::{FEATURES, Origin};
use crate::history::{History, HistoryError};
use crate::judged::BEFORE;
use crate::known::Known;

/// Days at the beginning of a history that are only looked back on: without four weeks behind it, an origin has no
/// usual to be compared with.
pub const WARM_UP_DAYS: i64 = 28;

/// Horizons drawn for each series and origin.
const HORIZONS_DRAWN: u64 = 2;

/// A reference below this many units weighs as if it were this: nights at quiet spots are not noise only.
const WEIGHT_REFERENCE_MIN: f64 = 20.0;

/// Rows one behind the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Each row's features, in the order of [`FEATURES`]; NaN = missing.
    pub columns: Vec<f32>,
    /// ln(1 + value) − ln(1 + reference).
    pub targets: Vec<f32>,
    /// Proportional to the reference, so that an error in logarithms weighs what it is in vehicles; mean 1.
    pub weights: Vec<f32>,
}

impl Table {
    /// Draws at most `rows_max` rows from the origins that lie at least [`WARM_UP_DAYS`] after the history's start and
    /// whose first horizon had come by `known_at`.
    pub fn draw(history: &History, known_at: DateTime<Utc>, horizons: u32, rows_max: usize) -> Result<Table, HistoryError> {
        let origins = spread_origins(history, history.start() + TimeDelta::days(WARM_UP_DAYS), known_at, {
            rows_max / (history.series().len().max(1) * HORIZONS_DRAWN as usize)
        });
        let parts = origins.par_iter().map(|&origin| of_origin(history, origin, known_at, horizons));
        let parts = parts.collect::<Result<Vec<Table>, _>>()?;
        let rows = parts.iter().map(Table::rows).sum::<usize>();
        let mut table = Table {
            columns: Vec::with_capacity(rows * FEATURES.len()),
            targets: Vec::with_capacity(rows),
            weights: Vec::with_capacity(rows),
        };
        for part in parts {
            table.columns.extend(part.columns);
            table.targets.extend(part.targets);
            table.weights.extend(part.weights);
        }
        let mean = table.weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() / table.weights.len() as f64;
        table.weights.iter_mut().for_each(|weight| *weight = (f64::from(*weight) / mean) as f32);
        Ok(table)
    }

    pub fn rows(&self) -> usize {
        self.targets.len()
    }

    pub fn width(&self) -> usize {
        FEATURES.len()
    }
}

/// At most `count` origins between two instants (the later one excluded), evenly spread over the hours of the day: their
/// distance is the least that is enough and shares no factor with the steps of a day.
pub fn spread_origins(history: &History, from: DateTime<Utc>, to: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    let step = history.step().num_seconds();
    let steps = ((to - from).num_seconds() / step).max(0);
    let day = (24 * 3600 / step).max(1);
    let shares_none = |distance: &i64| (2..=*distance).all(|factor| distance % factor > 0 || day % factor > 0);
    let least = (steps as u64).div_ceil(count.max(1) as u64).max(1) as i64;
    let distance = (least..).find(shares_none).expect("one more than a multiple of the day's steps shares none");
    let first = history.step_of(catalog::kst::floor(from, history.step())).unwrap_or(0);
    (0..).map(|index| history.instant(first + index * distance)).skip_while(|&at| at < from).take_while(|&at| at < to).collect()
}

fn of_origin(history: &History, origin: DateTime<Utc>, known_at: DateTime<Utc>, horizons: u32) -> Result<Table, HistoryError> {
    let calendar = Calendar::new(origin - BEFORE, origin + history.step() * horizons as i32);
    let shared = Origin::new(Known::at(history, origin)?, &calendar);
    let known = shared.known();
    let mut table = Table::default();
    for series in (0..history.series().len()).filter(|&series| Condition::of(known, series) == Condition::Alive) {
        for draw in 0..HORIZONS_DRAWN {
            let key = [known.origin_step() as u64, series as u64, draw].into_iter().fold(0, |hash, part| mixed(hash ^ part));
            // One from each half of the horizon, so that both are always seen.
            let part = u64::from(horizons).div_ceil(HORIZONS_DRAWN);
            let horizon = (draw * part + key % part + 1).min(u64::from(horizons)) as u32;
            let Some(actual) = known.actual(series, known.origin_step() + i64::from(horizon) - 1, known_at) else { continue };
            let Some(row) = shared.row(series, horizon) else { continue };
            row.write(&mut table.columns);
            table.targets.push((actual.ln_1p() - row.log_reference()) as f32);
            table.weights.push(row.reference().max(WEIGHT_REFERENCE_MIN) as f32);
        }
    }
    Ok(table)
}

/// SplitMix64's finaliser: neighbouring numbers become unrelated ones.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_city;

    #[test]
    fn origins_are_no_more_than_asked_for_and_see_every_hour_of_the_day() {
        let history = test_city::history(&[], 1, 90);
        for count in [30, 100, 540, 5000] {
            let from = test_city::start() + TimeDelta::days(28);
            let origins = spread_origins(&history, from, from + TimeDelta::days(62), count);
            assert!(origins.len() <= count && origins.len() > count.min(1488) / 3, "{} of {count}", origins.len());
            let hours: std::collections::BTreeSet<_> = origins.iter().map(|at| at.timestamp() / 3600 % 24).collect();
            assert_eq!(hours.len(), 24);
        }
    }

    #[test]
    fn equal_histories_give_equal_tables_and_nothing_received_later_changes_them() {
        let states = test_city::states(3, 3, 60);
        let known_at = test_city::start() + TimeDelta::days(50);
        let history = test_city::history(&states, 3, 60);
        let table = Table::draw(&history, known_at, 24, 3000).unwrap();
        assert!(table.rows() > 500 && table.rows() <= 3000, "{} rows", table.rows());
        let bits = |table: &Table| {
            table.columns.iter().chain(&table.targets).chain(&table.weights).map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        let cut = Table::draw(&history.without_received_after(known_at), known_at, 24, 3000).unwrap();
        assert!(bits(&table) == bits(&cut));
        let mean = table.weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() / table.rows() as f64;
        assert!((mean - 1.0).abs() < 1e-3, "{mean}");
    }
}
