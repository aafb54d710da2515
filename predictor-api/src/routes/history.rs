//! `/v1/history/{target}/{series}`: what came in the last days, and what had been forecast of it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::{DateTime, FixedOffset, TimeDelta};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::body::Body;
use crate::edition::Part;
use crate::observations::{self, USUAL_DAYS};
use crate::params::Names;
use crate::places::{self, Place};
use crate::problem::Problem;
use crate::routes::forecasts::{OnePoint, near};
use crate::routes::target;
use crate::times::{kst, tenth};

/// Days of history if the client doesn't say: what fits a chart that one can still read hours on.
const DAYS_DEFAULT: u32 = 3;
/// And at most: what is read to learn the usual number of parts anyway.
const DAYS_MAX: u32 = USUAL_DAYS as u32;

#[derive(Serialize, ToSchema)]
pub struct History {
    #[schema(example = "traffic_volume")]
    target: &'static str,
    #[schema(example = "A-01/1")]
    series: String,
    /// Unit of every value.
    #[schema(example = "vehicles/h")]
    unit: &'static str,
    /// Length of a step, in seconds.
    step_seconds: i64,
    /// Where it is counted; null where it has no place or that isn't known yet.
    place: Option<Place>,
    /// How many parts (lanes) a value usually sums: the most frequent count of the last 28 days; null where none are counted.
    usual_parts: Option<i64>,
    /// What came, ascending. An interval without a row was not observed.
    observed: Vec<Observed>,
    /// What had been forecast, ascending by origin: the newest forecast, and those of whole days before, so that together they cover
    /// the time. Each as it was issued.
    forecasts: Vec<Issued>,
}

#[derive(Serialize, ToSchema)]
pub struct Observed {
    /// Start of the interval (KST).
    observed_at: DateTime<FixedOffset>,
    value: f64,
    /// How many parts (lanes) it sums; null where a total was imported.
    parts: Option<i64>,
    /// False where it sums fewer parts than usual: it speaks of less than the whole, and no forecast is judged by it.
    whole: bool,
}

#[derive(Serialize, ToSchema)]
pub struct Issued {
    /// The origin (KST).
    issued_at: DateTime<FixedOffset>,
    bundle: String,
    /// `model`, or the naive rule that stood in for it.
    rule: String,
    points: Vec<OnePoint>,
}

/// The last days of one series, with the forecasts that spoke of them.
#[utoipa::path(
    get, path = "/v1/history/{target}/{series}", tag = "the page",
    params(
        ("target" = String, Path, description = "Name of the target", example = "traffic_volume"),
        ("series" = String, Path, description = "Id of the series; its slash may be written as it is or as %2F", example = "A-01/1"),
        ("days" = Option<u32>, Query, description = "Days back from the newest forecast's origin, 3 if left out", minimum = 1, maximum = 28)
    ),
    responses(
        (status = 200, body = History),
        (status = 304, description = "What the client holds is still so"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Unknown target or series"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Nothing observed yet, or the lake can't be read")
    )
)]
pub async fn get(State(app): State<Arc<App>>, Names((name, series)): Names<(String, String)>, request: Request) -> Response {
    app.answer(request, &[Part::Observations, Part::Forecasts, Part::Places], |mut asked| async move {
        let target = target(&name)?;
        let days = asked.params.integer("days", 1, DAYS_MAX).unwrap_or(DAYS_DEFAULT);
        asked.params.finish()?;
        let lake = &asked.app.lake;
        let newest = asked.edition.headline(target).forecast.clone();
        let counted_until = observations::newest_whole(lake, target).await?.map(|start| start + target.step());
        let Some(end) = newest.as_ref().map(|forecast| forecast.issued_at).max(counted_until) else {
            return Err(Problem::nothing_counted_yet(target.name).into());
        };
        let month = observations::of_series(lake, target, &series, end - TimeDelta::days(USUAL_DAYS)).await?;
        let forecasts = match &newest {
            Some(newest) => forecasts_of(lake, target, &series, newest.issued_at, days).await?,
            None => Vec::new(),
        };
        let month = match month {
            Some(month) if !month.is_empty() || !forecasts.is_empty() => month,
            _ => {
                let known = observations::seen_lately(lake, target).await?;
                let near = near(&series, known.iter().map(|seen| seen.series.as_str()));
                return Err(Problem::unknown_series(target.name, &series, near).into());
            }
        };
        let usual_parts = observations::usual_parts(&month);
        let observed = month.iter().filter(|observation| observation.observed_at >= end - TimeDelta::days(days.into()));
        let observed = observed.map(|observation| Observed {
            observed_at: kst(observation.observed_at),
            value: tenth(observation.value),
            parts: observation.parts,
            whole: observation.parts.is_none_or(|parts| Some(parts) >= usual_parts),
        });
        let place = if places::has_places(target) { places::read(lake).await?.remove(places::spot_of(&series)) } else { None };
        Ok(Body::json(&History {
            target: target.name,
            unit: target.unit,
            step_seconds: target.step_seconds,
            place,
            usual_parts,
            observed: observed.collect(),
            forecasts,
            series,
        }))
    })
    .await
}

async fn forecasts_of(
    lake: &lake::Lake,
    target: &catalog::Target,
    series: &str,
    newest: DateTime<chrono::Utc>,
    days: u32,
) -> anyhow::Result<Vec<Issued>> {
    let forecasts = crate::forecast::read_daily(lake, target, series, newest, days).await?;
    let issued = forecasts.into_iter().flat_map(|forecast| {
        let issued_at = kst(forecast.issued_at);
        forecast.series.into_iter().map(move |entry| Issued {
            issued_at,
            points: entry.points.iter().map(OnePoint::from).collect(),
            bundle: entry.bundle,
            rule: entry.rule,
        })
    });
    Ok(issued.collect())
}
