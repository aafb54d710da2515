//! The list of routes, in the order in which people meet them. One file each, all of the same shape: what it answers, its
//! handler with its OpenAPI, how the answer is made.

mod accuracy;
mod forecasts;
mod health;
mod history;
mod live;
mod map;
mod metrics;
mod page;
mod series;
mod targets;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::header::ALLOW;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use catalog::Target;
use utoipa::OpenApi;

use crate::app::App;
use crate::body::Body;
use crate::front;
use crate::problem::{METHODS, Problem};

/// Every route of the API, as OpenAPI writes its path.
fn list() -> [(&'static str, MethodRouter<Arc<App>>); 12] {
    [
        ("/v1/targets", get(targets::get)),
        ("/v1/series", get(series::get)),
        ("/v1/forecasts/{target}", get(forecasts::get)),
        ("/v1/forecasts/{target}/{series}", get(forecasts::get_series)),
        ("/v1/history/{target}/{series}", get(history::get)),
        ("/v1/map/{target}", get(map::get)),
        ("/v1/accuracy/{target}", get(accuracy::get)),
        ("/v1/live", get(live::get)),
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(metrics::get)),
        ("/openapi.json", get(openapi_json)),
    ]
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hangang",
        version = env!("CARGO_PKG_VERSION"),
        description = "Forecasts of Seoul, and how good they have been. Every time is RFC 3339 in Seoul's time (+09:00), and speaks of the \
                       city's clock, which against the simulator runs faster than yours. Values are in the target's unit, given beside \
                       them, to a tenth. Everything is read with GET, compressed where the client takes gzip, and carries an ETag: ask \
                       again with If-None-Match and get 304 while nothing has changed. Errors are RFC 9457 problem details."
    ),
    paths(
        targets::get,
        series::get,
        forecasts::get,
        forecasts::get_series,
        history::get,
        map::get,
        accuracy::get,
        live::get,
        health::healthz,
        health::readyz,
        metrics::get,
        openapi_json
    ),
    tags(
        (name = "forecasts", description = "What is forecast, and how good it has been"),
        (name = "the page", description = "What the page at / is drawn from"),
        (name = "operation", description = "For those who run it")
    )
)]
struct Document;

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// All of it: the API's routes, the page, and an answer for everything else.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, method) in list().into_iter().chain(page::list()) {
        // A series' id holds a slash, as A-01/1.
        router = router.route(&path.replace("{series}", "{*series}"), method);
    }
    router
        .fallback(|uri: Uri| async move { Problem::no_such_route(uri.path()) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            match method {
                Method::OPTIONS => (StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response(),
                _ => Problem::method_not_allowed(method.as_str(), uri.path()).into_response(),
            }
        })
        .layer(from_fn(count))
        .with_state(app)
}

/// Counts and times answers by route. What the front answers never comes here.
async fn count(request: Request, next: Next) -> Response {
    let started_at = Instant::now();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    front::count(matched.as_ref().map_or("none", |path| path.as_str()), response.status(), started_at);
    response
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operation", responses((status = 200, description = "The OpenAPI document")))]
async fn openapi_json(axum::extract::State(app): axum::extract::State<Arc<App>>, request: Request) -> Response {
    app.answer(request, &[], |asked| async move {
        asked.params.finish()?;
        Ok(Body::json(&Document::openapi()))
    })
    .await
}

/// The target of that name, or a problem that names the known ones.
fn target(name: &str) -> Result<&'static Target, Problem> {
    Target::by_name(name).ok_or_else(|| Problem::unknown_target(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_openapi_document_describes_every_route_and_no_other() {
        let mut served: Vec<String> = list().into_iter().map(|(path, _)| path.to_owned()).collect();
        let mut described: Vec<String> = openapi().paths.paths.keys().cloned().collect();
        served.sort();
        described.sort();
        assert_eq!(served, described);
    }
}
