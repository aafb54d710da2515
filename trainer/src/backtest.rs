//! What the forecasts of past days would have been: one origin at midnight (KST) of each date, retrained at each
//! month's beginning on only what was known then.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use catalog::Target;
use catalog::kst::{date_kst, midnight_kst};
use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};
use forecaster::{Bundle, Forecast, History, Score};
use lake::Lake;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::fit::fit;
use crate::panel::{self, Panel};
use crate::recipe::{HISTORY_DAYS_MAX, HISTORY_DAYS_MIN, Recipe};
use crate::rows;
use crate::train::blocking;

/// What a backtest found.
#[derive(Clone, Debug)]
pub struct BacktestReport {
    pub target: &'static str,
    pub origins: usize,
    pub series: usize,
    /// Rows of the file: every series, origin and horizon.
    pub rows: usize,
    pub overall: Score,
    /// One a horizon, from 1.
    pub by_horizon: Vec<Score>,
    /// Ids of the bundles, one a month.
    pub bundles: Vec<String>,
}

/// The first month's beginning that has history enough before it.
fn first_month(begins: NaiveDate) -> NaiveDate {
    let enough = begins + TimeDelta::days(HISTORY_DAYS_MIN);
    let month = enough.with_day(1).expect("every month has a first day");
    if month == enough { month } else { month + Months::new(1) }
}

/// Backtests the dates from `from` to `to` (KST, both included) and writes the forecasts to `output` where one is
/// given: columns of `forecast.accuracy`, the actual null where nothing came. Progress is in trees and origins.
pub async fn backtest(
    lake: &Lake,
    target: &'static Target,
    from: NaiveDate,
    to: NaiveDate,
    output: Option<&Path>,
    recipe: &Recipe,
    progress: Arc<dyn Fn(u64, u64) + Send + Sync>,
) -> Result<BacktestReport> {
    ensure!(from <= to, "a backtest from {from} to {to} has no date in it; exchange --from and --to");
    let Some((first, last)) = panel::extent(lake, target).await? else {
        bail!("there is no history of \"{}\" to backtest on; import some first (`hangang import FILE…`)", target.name);
    };
    let trained_at = midnight_kst(from.with_day(1).expect("every month has a first day"));
    let (begins, ends) = (date_kst(first), date_kst(last));
    ensure!(
        trained_at - first >= TimeDelta::days(HISTORY_DAYS_MIN),
        "{from} cannot be backtested: trees are grown at its month's beginning on {HISTORY_DAYS_MIN} days or more, and the lake's history of \"{}\" reaches from {begins} to {ends} (KST); \
         choose --from {} or later, or import what lies before {begins}",
        target.name,
        first_month(begins)
    );
    ensure!(
        to <= ends,
        "{to} cannot be backtested: the lake's history of \"{}\" reaches from {begins} to {ends} (KST); choose an earlier --to",
        target.name
    );
    let until = midnight_kst(to) + target.step() * target.horizon as i32;
    let begin = first.max(trained_at - TimeDelta::days(HISTORY_DAYS_MAX));
    let panel = Panel::load(lake, target, begin, until.min(last + target.step())).await?;
    let seen_at = panel.newest_received_at().unwrap_or(until).max(until);
    let history = panel.shared_history();
    let (forecasts, numbers, bundles) = blocking(&history, {
        let recipe = recipe.clone();
        move |history| run(history, target, &months(from, to), seen_at, &recipe, &*progress)
    })
    .await?;
    if let Some(path) = output {
        write(path, target, &forecasts, &numbers, &bundles)?;
    }
    let by_horizon = Score::by_horizon(&forecasts, target.horizon);
    Ok(BacktestReport {
        target: target.name,
        origins: (to - from).num_days() as usize + 1,
        series: history.series().len(),
        rows: forecasts.len(),
        overall: Score::of(&forecasts),
        by_horizon,
        bundles,
    })
}

/// The dates by month, each month with its beginning.
fn months(from: NaiveDate, to: NaiveDate) -> Vec<(DateTime<Utc>, Vec<DateTime<Utc>>)> {
    let mut months: Vec<(DateTime<Utc>, Vec<DateTime<Utc>>)> = Vec::new();
    for date in from.iter_days().take_while(|&date| date <= to) {
        let begins = midnight_kst(date.with_day(1).expect("every month has a first day"));
        match months.last_mut().filter(|(month, _)| *month == begins) {
            Some((_, origins)) => origins.push(midnight_kst(date)),
            None => months.push((begins, vec![midnight_kst(date)])),
        }
    }
    months
}

type Forecasts = (Vec<Forecast>, Vec<usize>, Vec<String>);

/// Fits and forecasts month by month; each forecast with the number of its bundle.
fn run(
    history: &History,
    target: &'static Target,
    months: &[(DateTime<Utc>, Vec<DateTime<Utc>>)],
    seen_at: DateTime<Utc>,
    recipe: &Recipe,
    progress: crate::Progress,
) -> Result<Forecasts> {
    let trees = 2 * recipe.trees.iter().sum::<usize>() as u64;
    let total = months.iter().map(|(_, origins)| trees + origins.len() as u64).sum();
    let done = AtomicU64::new(0);
    let (mut forecasts, mut numbers, mut bundles) = (Vec::new(), Vec::new(), Vec::new());
    for (known_at, origins) in months {
        let before = done.load(Ordering::Relaxed);
        let bundle: Bundle = fit(history, target, *known_at, recipe, &|grown, _| progress(before + grown, total))
            .with_context(|| format!("fitting on what was known at {known_at}"))?
            .bundle;
        done.store(before + trees, Ordering::Relaxed);
        let issued = bundle.forecast(history, origins, seen_at)?;
        numbers.resize(numbers.len() + issued.len(), bundles.len());
        forecasts.extend(issued);
        bundles.push(bundle.id().to_owned());
        progress(done.fetch_add(origins.len() as u64, Ordering::Relaxed) + origins.len() as u64, total);
    }
    Ok((forecasts, numbers, bundles))
}

fn write(path: &Path, target: &Target, forecasts: &[Forecast], numbers: &[usize], bundles: &[String]) -> Result<()> {
    let file = File::create(path).with_context(|| format!("making \"{}\"", path.display()))?;
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let mut writer = ArrowWriter::try_new(file, rows::backtest_schema(), Some(properties))?;
    let bundles: Vec<&str> = numbers.iter().map(|&number| bundles[number].as_str()).collect();
    writer.write(&rows::of_backtest(target, forecasts, &bundles)?)?;
    writer.close().with_context(|| format!("writing \"{}\"", path.display()))?;
    Ok(())
}
