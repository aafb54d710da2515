//! From a history to a fitted bundle, twice: on all but the last weeks, to blend, calibrate and judge on those; and on
//! everything known, to be used.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use catalog::Target;
use chrono::{DateTime, TimeDelta, Utc};
use forecaster::{Bundle, FEATURES, History, Judged, QUANTILES, Table, TreeTexts, Trees, judge, spread_origins};
use rayon::prelude::*;

use crate::lightgbm::{Binned, Rows};
use crate::recipe::{GATE_DAYS, HOLDOUT_DAYS, Recipe};

/// How long work reports itself: done, total.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// What a fit gives.
pub struct Fit {
    /// To be used: grown on all that was known.
    pub bundle: Bundle,
    /// To be judged: grown, blended and calibrated on what was known before the gate's days.
    pub gated: Bundle,
    /// Where the gate's days begin.
    pub gate_from: DateTime<Utc>,
}

/// The best naive rule as a bundle, in the time of a look at the last weeks.
pub fn fit_naive(history: &History, target: &Target, known_at: DateTime<Utc>, recipe: &Recipe) -> Result<Bundle> {
    let rows = judge_holdout(history, target, known_at, recipe, None)?;
    let fingerprint = history.fingerprint(known_at);
    Ok(Bundle::naive(target.name, target.horizon, known_at, &fingerprint, &rows)?)
}

/// Grows, blends and calibrates. Sees nothing received after `known_at`. Equal histories give equal bytes.
pub fn fit(history: &History, target: &Target, known_at: DateTime<Utc>, recipe: &Recipe, progress: Progress) -> Result<Fit> {
    let holdout_from = known_at - TimeDelta::days(HOLDOUT_DAYS);
    let gate_from = known_at - TimeDelta::days(GATE_DAYS);
    let before = draw(history, target, holdout_from, recipe)?;
    let all = draw(history, target, known_at, recipe)?;
    let [before, all] = grow([before, all], recipe, progress)?;

    let rows = judge_holdout(history, target, known_at, recipe, Some(&Trees::parse(&before)?))?;
    let earlier: Vec<Judged> =
        rows.iter().filter(|row| row.origin < gate_from).cloned().map(|row| known_by(history, row, gate_from)).collect();
    let fingerprint = history.fingerprint(known_at);
    let bundle = Bundle::trees(target.name, target.horizon, known_at, &fingerprint, &rows, all)?;
    let gated = Bundle::trees(target.name, target.horizon, gate_from, &history.fingerprint(gate_from), &earlier, before)?;
    Ok(Fit { bundle, gated, gate_from })
}

/// Judges rolling origins of the holdout, as it was known at `known_at`.
fn judge_holdout(
    history: &History,
    target: &Target,
    known_at: DateTime<Utc>,
    recipe: &Recipe,
    trees: Option<&Trees>,
) -> Result<Vec<Judged>> {
    let from = (known_at - TimeDelta::days(HOLDOUT_DAYS)).max(history.start());
    let origins = spread_origins(history, from, known_at, recipe.holdout_origins);
    Ok(judge(history, &origins, target.horizon, known_at, trees)?)
}

/// A row judged before the gate's days must not be calibrated with an actual of theirs.
fn known_by(history: &History, mut row: Judged, gate_from: DateTime<Utc>) -> Judged {
    if row.origin + history.step() * row.horizon as i32 > gate_from {
        row.actual = f64::NAN;
    }
    row
}

/// The rows to learn from that were known by an instant.
fn draw(history: &History, target: &Target, known_at: DateTime<Utc>, recipe: &Recipe) -> Result<Binned> {
    let table = Table::draw(history, known_at, target.horizon, recipe.rows)?;
    ensure!(table.rows() > 0, "no row to learn from was known by {known_at}: is the history long enough?");
    let features: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
    let rows =
        Rows { columns: &table.columns, features: &features, targets: &table.targets, weights: &table.weights, categories: &[] };
    Binned::new(rows, &[]).with_context(|| format!("binning {} rows", table.rows()))
}

/// Grows the three quantiles on each table, on as many threads as rayon has.
fn grow(tables: [Binned; 2], recipe: &Recipe, progress: Progress) -> Result<[TreeTexts; 2]> {
    let total = recipe.trees.iter().sum::<usize>() as u64 * tables.len() as u64;
    let done = AtomicU64::new(0);
    // The medians first: they take longest, and the shorter ones fill the gap at the end.
    let jobs = [(0, 1), (1, 1), (0, 0), (1, 0), (0, 2), (1, 2)];
    let grown = jobs
        .par_iter()
        .map(|&(table, quantile)| {
            let trees = recipe.trees[quantile];
            let tree_grown = |_: usize| progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            let text = tables[table]
                .grow(&recipe.parameters(quantile), trees, &tree_grown)
                .with_context(|| format!("growing the trees of quantile {}", QUANTILES[quantile]))?;
            Ok((table, quantile, text))
        })
        .collect::<Result<Vec<_>>>()?;
    progress(total, total);
    let mut texts = [const { [const { String::new() }; 3] }; 2];
    grown.into_iter().for_each(|(table, quantile, text)| texts[table][quantile] = text);
    Ok(texts.map(TreeTexts))
}
