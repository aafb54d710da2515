//! What a bundle's parts would have said at past origins, beside what came: the rows that blends and intervals are
//! fitted on and that gates and backtests are scored on.

use chrono::{DateTime, TimeDelta, Utc};
use rayon::prelude::*;

use crate::calendar::Calendar;
use crate::condition::Condition;
use crate::features::{FEATURES, Origin};
use crate::history::{History, HistoryError};
use crate::known::Known;
use crate::model::Trees;
use crate::naive::Rule;
use crate::source::city_profile;

/// One series, origin and horizon. Numbers are in the target's unit unless they are logarithms; NaN = none.
#[derive(Clone, Debug)]
pub struct Judged {
    pub series: u32,
    pub origin: DateTime<Utc>,
    pub horizon: u32,
    /// What came; NaN where nothing did, or with fewer parts than usual.
    pub actual: f64,
    /// In the order of [`Rule::ALL`].
    pub rules: [f64; Rule::ALL.len()],
    pub city: f64,
    pub alive: bool,
    /// See [`Row::reference`](crate::features::Row::reference); only beside trees.
    pub reference: f64,
    /// See [`Row::usual`](crate::features::Row::usual); only beside trees.
    pub usual: f64,
    /// The trees' p10, p50 and p90, as ln(1 + value); NaN without trees, or where no reference is known.
    pub trees: [f64; 3],
}

/// Judges every series and horizon at the origins, as received by `seen_at`.
pub fn judge(
    history: &History,
    origins: &[DateTime<Utc>],
    horizons: u32,
    seen_at: DateTime<Utc>,
    trees: Option<&Trees>,
) -> Result<Vec<Judged>, HistoryError> {
    let of_origin = |&origin: &DateTime<Utc>| judge_origin(history, origin, horizons, seen_at, trees);
    let parts = origins.par_iter().map(of_origin).collect::<Result<Vec<_>, _>>()?;
    // Room for all at once, and each part let go as it is taken over: there are half a million rows in a holdout.
    let mut rows = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    parts.into_iter().for_each(|part| rows.extend(part));
    Ok(rows)
}

fn judge_origin(
    history: &History,
    origin: DateTime<Utc>,
    horizons: u32,
    seen_at: DateTime<Utc>,
    trees: Option<&Trees>,
) -> Result<Vec<Judged>, HistoryError> {
    let known = Known::at(history, origin)?;
    let city = city_profile(&known, horizons);
    let mut rows = Vec::with_capacity(history.series().len() * horizons as usize);
    for series in 0..history.series().len() {
        let alive = Condition::of(&known, series) == Condition::Alive;
        for horizon in 1..=horizons {
            rows.push(Judged {
                series: series as u32,
                origin,
                horizon,
                actual: known.actual(series, known.origin_step() + i64::from(horizon) - 1, seen_at).unwrap_or(f64::NAN),
                rules: Rule::ALL.map(|rule| rule.value(&known, series, horizon).unwrap_or(f64::NAN)),
                city: city[horizon as usize - 1].unwrap_or(f64::NAN),
                alive,
                reference: f64::NAN,
                usual: f64::NAN,
                trees: [f64::NAN; 3],
            });
        }
    }
    if let Some(trees) = trees {
        ask(trees, known, horizons, &mut rows);
    }
    Ok(rows)
}

/// Lets the trees speak of the rows of living series.
fn ask(trees: &Trees, known: Known, horizons: u32, rows: &mut [Judged]) {
    let calendar = Calendar::new(known.origin() - BEFORE, known.origin() + known.history().step() * horizons as i32);
    let shared = Origin::new(known, &calendar);
    let (mut columns, mut asked) = (Vec::new(), Vec::new());
    for judged in rows.iter_mut().filter(|judged| judged.alive) {
        if let Some(row) = shared.row(judged.series as usize, judged.horizon) {
            judged.reference = row.reference();
            judged.usual = row.usual();
            row.write(&mut columns);
            asked.push(judged);
        }
    }
    assert_eq!(columns.len(), asked.len() * FEATURES.len());
    for (judged, answers) in asked.into_iter().zip(trees.predict(&columns)) {
        let log_reference = judged.reference.ln_1p();
        judged.trees = answers.map(|answer| answer + log_reference);
    }
}

/// How far before an origin the calendar must reach: the excess of the steps before it is computed too.
pub(crate) const BEFORE: TimeDelta = TimeDelta::days(10);
