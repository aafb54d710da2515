//! `/healthz`: the process lives. `/readyz`: it can do its work.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::body::Body;
use crate::feeds::{self, LiveFeed};
use crate::problem::Problem;
use crate::times::kst_text;

#[derive(Serialize, ToSchema)]
pub struct Healthy {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Whether the process lives. It reads nothing: restart what doesn't answer.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = Healthy)))]
pub async fn healthz() -> Response {
    axum::Json(Healthy { status: "alive" }).into_response()
}

#[derive(Serialize, ToSchema)]
pub struct Ready {
    /// `ready`, or `degraded` where it does its work on what is older than it should be.
    #[schema(example = "ready")]
    status: &'static str,
    /// What was looked at, in words.
    checks: Vec<String>,
    /// What is overdue, in words; empty where it is ready.
    overdue: Vec<String>,
}

/// Whether the lake can be read and every target has a champion and a forecast that isn't stale; and what is overdue.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, body = Ready),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not ready; `detail` says all that is missing")
    )
)]
pub async fn readyz(State(app): State<Arc<App>>, request: axum::extract::Request) -> Response {
    let mut checks = Vec::new();
    let mut reasons = Vec::new();
    match app.trouble() {
        None => checks.push("the lake can be read".to_owned()),
        Some(trouble) => reasons.push(format!("the lake can't be read: {trouble}")),
    }
    for headline in &app.edition().headlines {
        let name = headline.target.name;
        match &headline.champion {
            Some(champion) => checks.push(format!("the champion of {name} is \"{}\"", champion.bundle)),
            None => reasons.push(format!("{name} has no champion")),
        }
        match &headline.forecast {
            Some(forecast) if headline.stale => {
                reasons.push(format!(
                    "the newest forecast of {name} was issued at {}, more than two steps before the city's time, {}",
                    kst_text(forecast.issued_at),
                    kst_text(app.clock.now())
                ));
            }
            Some(forecast) => {
                checks.push(format!("the newest forecast of {name} was issued at {}", kst_text(forecast.issued_at)))
            }
            None => reasons.push(format!("{name} has no forecast")),
        }
    }
    let overdue = match feeds::now(&app).await {
        Ok(feeds) => feeds.iter().filter_map(LiveFeed::overdue).collect(),
        Err(error) => {
            reasons.push(format!("the lake didn't say what has landed: {error:#}"));
            Vec::new()
        }
    };
    if reasons.is_empty() {
        let status = if overdue.is_empty() { "ready" } else { "degraded" };
        Body::json(&Ready { status, checks, overdue }).respond(request.headers())
    } else {
        Problem::not_ready(reasons).into_response()
    }
}
