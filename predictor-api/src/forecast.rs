//! A forecast as it was issued: of one target, from one origin, all its series.
//!
//! The newest one of each target is kept in memory by the [`crate::edition`]; older ones are read when asked for.

use std::sync::Arc;

use arrow::array::Array;
use catalog::Target;
use chrono::{DateTime, TimeDelta, Utc};
use lake::Lake;

use crate::rows::{Rows, instant_literal, number, text_literal};

/// All series of one origin, ascending by id.
pub struct Forecast {
    pub issued_at: DateTime<Utc>,
    pub series: Vec<SeriesForecast>,
}

pub struct SeriesForecast {
    pub series: String,
    /// `model`, or the naive rule that stands in for it.
    pub rule: String,
    pub bundle: String,
    /// Ascending by horizon.
    pub points: Vec<Point>,
}

/// One interval ahead, in the target's unit.
pub struct Point {
    pub horizon: i64,
    pub valid_at: DateTime<Utc>,
    pub p10: f64,
    pub p50: f64,
    pub p90: f64,
    pub naive_week_mean: Option<f64>,
}

impl Forecast {
    pub fn get(&self, series: &str) -> Option<&SeriesForecast> {
        let place = self.series.binary_search_by(|entry| entry.series.as_str().cmp(series)).ok()?;
        Some(&self.series[place])
    }
}

/// When the newest forecast was issued. `after` is an origin known to exist, which spares reading what lies before it.
pub async fn newest_issued_at(
    lake: &Lake,
    target: &Target,
    after: Option<DateTime<Utc>>,
) -> anyhow::Result<Option<DateTime<Utc>>> {
    let newer = after.map(|after| format!(" AND issued_at >= {}", instant_literal(after))).unwrap_or_default();
    let name = text_literal(target.name);
    let sql = format!("SELECT max(issued_at) AS issued_at FROM forecast.forecasts WHERE target = {name}{newer}");
    let rows = Rows::of(lake, &sql).await?;
    let newest = rows.instants("issued_at")?;
    Ok((rows.count() > 0).then(|| newest.get(0)).flatten())
}

/// The forecast of one origin; none where none was issued then.
pub async fn read(lake: &Lake, target: &Target, issued_at: DateTime<Utc>) -> anyhow::Result<Option<Arc<Forecast>>> {
    let forecasts = read_where(lake, target, &format!("issued_at = {}", instant_literal(issued_at))).await?;
    Ok(forecasts.into_iter().next().map(Arc::new))
}

/// Of one series, the forecasts of the newest origin and of those that lie whole days before it, `days` of them:
/// each next to the other, so that together they cover the time. Ascending by origin.
pub async fn read_daily(
    lake: &Lake,
    target: &Target,
    series: &str,
    newest: DateTime<Utc>,
    days: u32,
) -> anyhow::Result<Vec<Forecast>> {
    let origins: Vec<_> = (0..=days).rev().map(|day| instant_literal(newest - TimeDelta::days(day.into()))).collect();
    let first = origins.first().expect("there is the newest");
    let filter = format!("series = {} AND issued_at >= {first} AND issued_at IN ({})", text_literal(series), origins.join(", "));
    read_where(lake, target, &filter).await
}

async fn read_where(lake: &Lake, target: &Target, filter: &str) -> anyhow::Result<Vec<Forecast>> {
    let sql = format!(
        "SELECT issued_at, series, rule, bundle, horizon, valid_at, p10, p50, p90, naive_week_mean FROM forecast.forecasts \
         WHERE target = {} AND {filter} ORDER BY issued_at, series, horizon",
        text_literal(target.name)
    );
    let rows = Rows::of(lake, &sql).await?;
    let (issued_at, valid_at) = (rows.instants("issued_at")?, rows.instants("valid_at")?);
    let (series, rule, bundle) = (rows.texts("series")?, rows.texts("rule")?, rows.texts("bundle")?);
    let horizon = rows.integers("horizon")?;
    let (p10, p50, p90, week_mean) =
        (rows.floats("p10")?, rows.floats("p50")?, rows.floats("p90")?, rows.floats("naive_week_mean")?);
    let mut forecasts: Vec<Forecast> = Vec::new();
    for row in 0..series.len() {
        let issued_at = issued_at.at(row)?;
        if forecasts.last().is_none_or(|last| last.issued_at != issued_at) {
            forecasts.push(Forecast { issued_at, series: Vec::new() });
        }
        let forecast = forecasts.last_mut().expect("it was just made");
        if forecast.series.last().is_none_or(|last| last.series != series.value(row)) {
            forecast.series.push(SeriesForecast {
                series: series.value(row).to_owned(),
                rule: rule.value(row).to_owned(),
                bundle: bundle.value(row).to_owned(),
                points: Vec::new(),
            });
        }
        forecast.series.last_mut().expect("it was just made").points.push(Point {
            horizon: horizon.value(row),
            valid_at: valid_at.at(row)?,
            p10: p10.value(row),
            p50: p50.value(row),
            p90: p90.value(row),
            naive_week_mean: number(&week_mean, row),
        });
    }
    Ok(forecasts)
}
