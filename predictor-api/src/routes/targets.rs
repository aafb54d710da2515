//! `/v1/targets`: what is forecast.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::body::Body;
use crate::edition::{Champion, Headline, Part};
use crate::times::kst;

#[derive(Serialize, ToSchema)]
pub struct Targets {
    targets: Vec<TargetSummary>,
}

/// What is forecast, and how far it is.
#[derive(Serialize, ToSchema)]
pub struct TargetSummary {
    /// Its name in every route and table.
    #[schema(example = "traffic_volume")]
    target: &'static str,
    title: &'static str,
    /// Unit of every value.
    #[schema(example = "vehicles/h")]
    unit: &'static str,
    /// Length of a step, in seconds.
    step_seconds: i64,
    /// Steps ahead.
    horizon: u32,
    /// The rollup whose column it is, as `rollup.traffic_hourly`.
    rollup: String,
    /// Columns of the rollup whose values, joined by `/`, are a series' id.
    series_columns: &'static [&'static str],
    /// Series in the newest forecast.
    series: usize,
    /// The bundle in use; null before there is one.
    champion: Option<Champion>,
    /// Origin of the newest forecast (KST); null before there is one.
    issued_at: Option<DateTime<FixedOffset>>,
    /// Whether a newer forecast is overdue: city time is more than two steps past `issued_at`.
    stale: bool,
}

/// Every target, with its champion and its newest forecast's origin.
#[utoipa::path(get, path = "/v1/targets", tag = "forecasts", responses((status = 200, body = Targets)))]
pub async fn get(State(app): State<Arc<App>>, request: Request) -> Response {
    app.answer(request, &[Part::Forecasts], |asked| async move {
        asked.params.finish()?;
        Ok(Body::json(&Targets { targets: asked.edition.headlines.iter().map(summary).collect() }))
    })
    .await
}

fn summary(headline: &Headline) -> TargetSummary {
    let target = headline.target;
    TargetSummary {
        target: target.name,
        title: target.title,
        unit: target.unit,
        step_seconds: target.step_seconds,
        horizon: target.horizon,
        rollup: target.rollup.table().name.to_string(),
        series_columns: target.series,
        series: headline.forecast.as_ref().map_or(0, |forecast| forecast.series.len()),
        champion: headline.champion.clone(),
        issued_at: headline.forecast.as_ref().map(|forecast| kst(forecast.issued_at)),
        stale: headline.stale,
    }
}
