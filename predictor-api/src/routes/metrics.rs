//! `/metrics`: every stage's figures in Prometheus' text format.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::feeds;

/// Every metric of this process.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String, description = "Prometheus' text format, version 0.0.4"))
)]
pub async fn get(State(app): State<Arc<App>>) -> Response {
    // A lake that can't be read tells so by itself.
    for feed in feeds::now(&app).await.unwrap_or_default() {
        let overdue = feed.overdue_since.map_or(0.0, |since| (app.clock.now() - since.to_utc()).as_seconds_f64());
        metrics::gauge!("hangang_feed_overdue_seconds", "feed" => feed.feed).set(overdue);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response()
}
