//! Forecasts issued and kept: the champion and an origin → `forecast.forecasts`, each origin once.

use std::sync::Arc;

use anyhow::{Context, Result};
use catalog::{Target, tables};
use chrono::{DateTime, TimeDelta, Utc};
use forecaster::Bundle;
use lake::{Lake, Mark, Outcome};

use crate::panel::Panel;
use crate::rows;
use crate::train::{blocking, ensure_champion};

/// Days of history that a forecast looks at: thirteen weeks of like days, and room for what is older.
pub const LOOK_BACK_DAYS: i64 = 120;

/// What became of an origin.
#[derive(Clone, Debug, PartialEq)]
pub enum Issued {
    /// Its forecasts are in the table.
    Now { bundle: String, rows: usize },
    /// They had been before: by an earlier run, or by somebody else meanwhile.
    Before,
    /// Nothing is known yet to forecast from.
    NothingKnown,
}

/// How far a target has been forecast: the newest origin in the table.
pub async fn issued_through(lake: &Lake, target: &Target) -> Result<Option<DateTime<Utc>>> {
    let table = lake.table(&tables::forecasts().name).await?;
    Ok(table.mark(&app_id(target)).and_then(|seconds| DateTime::from_timestamp(seconds, 0)))
}

/// Forecasts one origin from what was known then, and keeps it. All that was received by the origin must have landed.
/// The commit carries the origin as its mark: origins are issued in order, and each once. `champion` is the champion as
/// last seen, none at first.
pub async fn issue(
    lake: &Lake,
    target: &'static Target,
    panel: &Panel,
    champion: &mut Option<Arc<Bundle>>,
    origin: DateTime<Utc>,
    computed_at: DateTime<Utc>,
) -> Result<Issued> {
    let mut table = lake.table(&tables::forecasts().name).await?;
    let app_id = app_id(target);
    let from = table.mark(&app_id);
    if from.is_some_and(|issued| issued >= origin.timestamp()) {
        return Ok(Issued::Before);
    }
    let history = panel.shared_history();
    *champion = ensure_champion(lake, target, &history, origin, computed_at, champion.take()).await?;
    let Some(bundle) = champion.clone() else { return Ok(Issued::NothingKnown) };
    let started = std::time::Instant::now();
    let forecasts = blocking(&history, {
        let bundle = bundle.clone();
        move |history| match bundle.forecast(history, &[origin], origin) {
            Ok(forecasts) => Ok(Some(forecasts)),
            Err(forecaster::ForecastError::NothingKnown { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
    .with_context(|| format!("forecasting \"{}\" at {origin}", target.name))?;
    let Some(forecasts) = forecasts else { return Ok(Issued::NothingKnown) };
    let batch = rows::of_forecasts(target, &forecasts, bundle.id(), computed_at)?;
    match table.append(&[batch], &[Mark { app_id, from, to: origin.timestamp() }]).await.context("keeping a forecast")? {
        Outcome::Superseded => Ok(Issued::Before),
        Outcome::Committed { .. } => {
            metrics::counter!("hangang_forecast_rows_total", "target" => target.name).increment(forecasts.len() as u64);
            metrics::histogram!("hangang_forecast_seconds", "target" => target.name).record(started.elapsed().as_secs_f64());
            metrics::gauge!("hangang_forecast_issued_at_seconds", "target" => target.name).set(origin.timestamp() as f64);
            Ok(Issued::Now { bundle: bundle.id().to_owned(), rows: forecasts.len() })
        }
    }
}

/// The origins to be issued by `now`: those after the last, up to `most` of them; before the first, the newest.
pub fn due(target: &Target, issued: Option<DateTime<Utc>>, now: DateTime<Utc>, most: i32) -> Vec<DateTime<Utc>> {
    let newest = catalog::kst::floor(now, target.step());
    let step: TimeDelta = target.step();
    let first = match issued {
        Some(issued) => (issued + step).max(newest - step * (most - 1)),
        None => newest,
    };
    std::iter::successors(Some(first), |&origin| Some(origin + step)).take_while(|&origin| origin <= newest).collect()
}

fn app_id(target: &Target) -> String {
    format!("forecasts/{}", target.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::targets::traffic_volume::TARGET;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn every_origin_since_the_last_is_due_but_no_more_than_the_most() {
        let now = at("2022-10-01T05:40:00Z");
        let hours = |origins: Vec<DateTime<Utc>>| {
            origins.iter().map(|origin| origin.format("%H").to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(hours(due(&TARGET, None, now, 24)), "05");
        assert_eq!(hours(due(&TARGET, Some(at("2022-10-01T02:00:00Z")), now, 24)), "03 04 05");
        assert_eq!(hours(due(&TARGET, Some(at("2022-10-01T05:00:00Z")), now, 24)), "");
        assert_eq!(hours(due(&TARGET, Some(at("2022-09-01T00:00:00Z")), now, 3)), "03 04 05", "after an outage the newest");
    }
}
