//! Forecasts meet what came: `forecast.accuracy`, scored anew whenever a window is revised.
//!
//! Which windows to look at is found from the commits since the last scoring: windows that rows of `observed` touched,
//! and those that new forecasts speak of. The commit carries the versions of both tables that it has seen; scored
//! twice is scored once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use catalog::{Target, tables};
use chrono::{DateTime, Utc};
use forecaster::{Forecast, Known};
use lake::{Lake, Mark, Outcome, Windows};

use crate::panel::Panel;
use crate::rows;

/// What a scoring did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    pub windows: usize,
    pub rows: usize,
}

/// Scores what has come or been revised since the last time, as the panel knows it.
pub async fn score(lake: &Lake, target: &'static Target, panel: &Panel) -> Result<Scored> {
    let mut accuracy = lake.table(&tables::accuracy().name).await?;
    let forecasts = lake.table(&tables::forecasts().name).await?;
    let observed = lake.table(&target.rollup.feed.observed().name).await?;
    let marks = [
        (format!("{}/{}", target.name, observed.declared().name), panel.observed_version()),
        (format!("{}/{}", target.name, forecasts.declared().name), forecasts.version()),
    ];
    let seen = marks.each_ref().map(|(app_id, _)| accuracy.mark(app_id));
    if marks.iter().zip(seen).all(|((_, version), seen)| seen == Some(*version)) {
        return Ok(Scored::default());
    }

    let mut touched: BTreeSet<DateTime<Utc>> = BTreeSet::new();
    for batch in forecasts.added_since(seen[1].unwrap_or(0)).await? {
        touched.extend(rows::instant(&batch, "valid_at")?.into_iter().flatten());
    }
    // What hasn't come yet is touched when it comes.
    touched.retain(|&window| panel.history().step_of(window).is_ok_and(|step| panel.history().any_known(step)));
    if let Some(version) = seen[0] {
        for batch in observed.added_since(version).await? {
            let windows = rows::instant(&batch, "observed_at")?.into_iter().flatten().map(|at| target.rollup.window_of(at));
            touched.extend(windows);
        }
    }
    // Where nothing was ever scored, the windows that forecasts speak of are all there is to score.
    let windows = Windows::starting_at(touched.iter().copied(), target.step());
    let met = meet(target, panel, &forecasts, &touched).await?;
    let rows = met.iter().map(RecordBatch::num_rows).sum();
    let marks: Vec<Mark> =
        marks.into_iter().zip(seen).map(|((app_id, to), from)| Mark { app_id, from, to: to.max(from.unwrap_or(to)) }).collect();
    match accuracy.replace_part(target.name, &windows, &met, &marks).await.context("keeping the accuracy of forecasts")? {
        // Somebody else has scored meanwhile; what is left is for the next time.
        Outcome::Superseded => Ok(Scored::default()),
        Outcome::Committed { .. } => Ok(Scored { windows: touched.len(), rows }),
    }
}

/// The forecasts that speak of the windows, with what came of them.
async fn meet(
    target: &'static Target,
    panel: &Panel,
    forecasts: &lake::Table,
    touched: &BTreeSet<DateTime<Utc>>,
) -> Result<Vec<RecordBatch>> {
    let (Some(&first), Some(&last)) = (touched.first(), touched.last()) else { return Ok(Vec::new()) };
    let origins = Windows::one(first - target.step() * (target.horizon as i32 - 1), last + target.step());
    let history = panel.history();
    let Some(seen_at) = panel.newest_received_at() else { return Ok(Vec::new()) };
    let mut by_origin: BTreeMap<DateTime<Utc>, Vec<(Forecast, String)>> = BTreeMap::new();
    for batch in forecasts.scan(Some(&origins)).await? {
        let spoken_of = rows::instant(&batch, "valid_at")?.into_iter().map(|at| at.is_some_and(|at| touched.contains(&at)));
        let batch = filter_record_batch(&batch, &BooleanArray::from_iter(spoken_of.map(Some)))?;
        for (forecast, bundle) in rows::read_forecasts(target, &batch)? {
            by_origin.entry(forecast.issued_at).or_default().push((forecast, bundle));
        }
    }
    let mut batches = Vec::new();
    for (origin, forecasts) in by_origin {
        let known = Known::at(history, origin)?;
        let (mut met, mut bundles) = (Vec::new(), Vec::new());
        for (mut forecast, bundle) in forecasts {
            let Some(series) = history.index_of(&forecast.series) else { continue };
            forecast.actual = known.actual(series, history.step_of(forecast.valid_at)?, seen_at);
            met.push(forecast);
            bundles.push(bundle);
        }
        batches.push(rows::of_accuracy(target, &met, &bundles)?);
    }
    Ok(batches)
}
