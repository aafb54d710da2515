//! `/metrics`: every stage's figures in Prometheus' text format.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// Every metric of this process.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String, description = "Prometheus' text format, version 0.0.4"))
)]
pub async fn get(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response()
}
