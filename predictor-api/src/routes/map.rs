//! `/v1/map/{target}`: the whole city at its newest observed interval and every interval ahead, compact.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use catalog::Target;
use chrono::{DateTime, FixedOffset, Utc};
use lake::Lake;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, Fault};
use crate::body::Body;
use crate::edition::{Headline, Part};
use crate::observations;
use crate::params::Names;
use crate::places::{self, Place};
use crate::problem::Problem;
use crate::routes::target;
use crate::rows::{Rows, instant_literal, text_literal};
use crate::times::{kst, tenth};

/// The city, now and ahead. Lists of a series run along `hours`; null is a value that isn't there.
#[derive(Serialize, ToSchema)]
pub struct Map {
    #[schema(example = "traffic_volume")]
    target: &'static str,
    /// Unit of every value.
    #[schema(example = "vehicles/h")]
    unit: &'static str,
    /// Length of an interval, in seconds.
    step_seconds: i64,
    /// Start of the newest interval for which most series have been observed (KST); null before there is one. Then it is the first of `hours`.
    observed_at: Option<DateTime<FixedOffset>>,
    /// Origin of the forecast (KST); null before there is one. Its intervals that have not been observed yet follow in `hours`.
    issued_at: Option<DateTime<FixedOffset>>,
    /// Whether a newer forecast is overdue.
    stale: bool,
    /// Starts of the intervals (KST), ascending.
    hours: Vec<DateTime<FixedOffset>>,
    /// Ascending by id. A spot whose place isn't known is left out.
    spots: Vec<Spot>,
}

#[derive(Serialize, ToSchema)]
pub struct Spot {
    #[serde(flatten)]
    place: Place,
    series: Vec<SpotSeries>,
}

#[derive(Serialize, ToSchema)]
pub struct SpotSeries {
    #[schema(example = "A-01/1")]
    series: String,
    /// Its busy hour: the value that one interval in twenty of the last 28 days exceeded.
    busy: Option<f64>,
    /// What was observed, then the medians that are forecast.
    values: Vec<Option<f64>>,
    /// What is usual: the mean of the last four known of that hour of the week, as known at the forecast's origin.
    usual: Vec<Option<f64>>,
}

/// Every spot with its place, its newest observed value and the medians ahead.
#[utoipa::path(
    get, path = "/v1/map/{target}", tag = "the page",
    params(("target" = String, Path, description = "Name of the target", example = "traffic_volume")),
    responses(
        (status = 200, body = Map),
        (status = 304, description = "What the client holds is still so"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Unknown target, or one without places"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Nothing observed yet, or the lake can't be read")
    )
)]
pub async fn get(State(app): State<Arc<App>>, Names(name): Names<String>, request: Request) -> Response {
    app.answer(request, &[Part::Observations, Part::Forecasts, Part::Places], |asked| async move {
        let target = target(&name)?;
        asked.params.finish()?;
        if !places::has_places(target) {
            return Err(Problem::without_places(target.name).into());
        }
        let map = draw(&asked.app, target, asked.edition.headline(target)).await?;
        Ok(Body::json(&map))
    })
    .await
}

async fn draw(app: &App, target: &'static Target, headline: &Headline) -> Result<Map, Fault> {
    let lake = &app.lake;
    let observed_at = observations::newest_whole(lake, target).await?;
    let forecast = headline.forecast.as_ref();
    let Some(newest) = observed_at.or(forecast.map(|forecast| forecast.issued_at)) else {
        return Err(Problem::nothing_counted_yet(target.name).into());
    };
    let places = places::read(lake).await?;
    let busy = app.busy_hours.get(lake, target, newest).await?;
    let (observed, usual) = match observed_at {
        Some(at) => (observations::at(lake, target, at).await?, usual_at(lake, target, at).await?),
        None => Default::default(),
    };
    let horizons: Vec<DateTime<Utc>> = forecast
        .and_then(|forecast| forecast.series.iter().max_by_key(|entry| entry.points.len()))
        .map(|entry| entry.points.iter().map(|point| point.valid_at).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        // Of a forecast that is late, what has come since is no longer ahead.
        .filter(|&valid_at| observed_at.is_none_or(|seen| valid_at > seen))
        .collect();
    let mut ids: Vec<&str> = busy.keys().chain(observed.keys()).map(String::as_str).collect();
    ids.extend(forecast.iter().flat_map(|forecast| &forecast.series).map(|entry| entry.series.as_str()));
    ids.sort_unstable();
    ids.dedup();
    let mut spots: BTreeMap<&str, Spot> = BTreeMap::new();
    for id in ids {
        let Some(place) = places.get(places::spot_of(id)) else { continue };
        let mut values: Vec<Option<f64>> = observed_at.iter().map(|_| observed.get(id).copied().map(tenth)).collect();
        let mut usuals: Vec<Option<f64>> = observed_at.iter().map(|_| usual.get(id).copied().map(tenth)).collect();
        let points = forecast.and_then(|forecast| forecast.get(id)).map(|entry| entry.points.as_slice()).unwrap_or_default();
        for at in &horizons {
            let point = points.iter().find(|point| point.valid_at == *at);
            values.push(point.map(|point| tenth(point.p50)));
            usuals.push(point.and_then(|point| point.naive_week_mean).map(tenth));
        }
        let series = SpotSeries { series: id.to_owned(), busy: busy.get(id).copied().map(tenth), values, usual: usuals };
        spots.entry(places::spot_of(id)).or_insert_with(|| Spot { place: place.clone(), series: Vec::new() }).series.push(series);
    }
    Ok(Map {
        target: target.name,
        unit: target.unit,
        step_seconds: target.step_seconds,
        observed_at: observed_at.map(kst),
        issued_at: forecast.map(|forecast| kst(forecast.issued_at)),
        stale: headline.stale,
        hours: observed_at.into_iter().chain(horizons).map(kst).collect(),
        spots: spots.into_values().collect(),
    })
}

/// What was usual of an interval that has passed: the naive rule's value in the newest forecast that spoke of it.
async fn usual_at(
    lake: &Lake,
    target: &Target,
    valid_at: DateTime<Utc>,
) -> anyhow::Result<std::collections::HashMap<String, f64>> {
    let first_origin = valid_at - target.step() * (i32::try_from(target.horizon).expect("horizons are few") - 1);
    let sql = format!(
        "SELECT series, naive_week_mean AS value FROM (SELECT series, naive_week_mean, \
         row_number() OVER (PARTITION BY series ORDER BY issued_at DESC) AS age FROM forecast.forecasts \
         WHERE target = {} AND valid_at = {} AND issued_at >= {} AND issued_at <= {}) WHERE age = 1",
        text_literal(target.name),
        instant_literal(valid_at),
        instant_literal(first_origin),
        instant_literal(valid_at)
    );
    observations::by_series(&Rows::of(lake, &sql).await?)
}
