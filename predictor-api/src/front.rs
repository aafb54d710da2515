//! The front door: what has been made already is answered here, before any route is looked for. The rest goes on to the
//! router.
//!
//! It counts and times its own answers by the route that made the body; `routes.rs` does so for the others.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures::future::Either;
use metrics::{Counter, Histogram, counter, histogram};
use tower::Service;

use crate::app::App;

const REQUESTS: &str = "hangang_api_requests_total";
const SECONDS: &str = "hangang_api_response_seconds";

/// The whole service: kept answers, then the router.
#[derive(Clone)]
pub struct Front {
    app: Arc<App>,
    router: Router,
}

impl Front {
    pub fn new(app: Arc<App>, router: Router) -> Front {
        Front { app, router }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let started_at = Instant::now();
        let kept = match (request.method(), request.uri().path_and_query()) {
            // Of a HEAD's answer the server sends no body.
            (&Method::GET | &Method::HEAD, Some(whole)) => self.app.edition().kept(whole.as_str()),
            _ => None,
        };
        match kept {
            Some(kept) => {
                let response = kept.body.respond(request.headers());
                kept.count.record(response.status(), started_at);
                Either::Left(ready(Ok(response)))
            }
            None => Either::Right(self.router.call(request)),
        }
    }
}

/// Counts and times one answer, by route and never by what was asked: a label's values are few.
pub fn count(route: &str, status: StatusCode, started_at: Instant) {
    counter!(REQUESTS, "route" => route.to_owned(), "status" => status.as_u16().to_string()).increment(1);
    histogram!(SECONDS, "route" => route.to_owned()).record(started_at.elapsed().as_secs_f64());
}

/// The same for the answers that a kept body gives, looked up once.
pub struct Count {
    ok: Counter,
    unchanged: Counter,
    seconds: Histogram,
}

impl Count {
    pub fn of(route: &str) -> Count {
        let answers = |status: &'static str| counter!(REQUESTS, "route" => route.to_owned(), "status" => status);
        Count { ok: answers("200"), unchanged: answers("304"), seconds: histogram!(SECONDS, "route" => route.to_owned()) }
    }

    fn record(&self, status: StatusCode, started_at: Instant) {
        match status {
            StatusCode::NOT_MODIFIED => self.unchanged.increment(1),
            _ => self.ok.increment(1),
        }
        self.seconds.record(started_at.elapsed().as_secs_f64());
    }
}
