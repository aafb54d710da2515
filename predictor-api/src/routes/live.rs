//! `/v1/live`: the city at this moment. Never kept: it holds the city's time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::body::Body;
use crate::edition::{Champion, Headline};
use crate::feeds::{self, LiveFeed};
use crate::params::Params;
use crate::problem::Problem;
use crate::times::kst;

/// Why is the operator's to read: it may name folders and hosts.
const TROUBLE: &str = "the lake can't be read at the moment; what was known last is served";

/// The city now.
#[derive(Serialize, ToSchema)]
pub struct Live {
    /// City time (KST).
    now: DateTime<FixedOffset>,
    /// City seconds a real second; null where the clock is stepped, or not yet known.
    speed: Option<f64>,
    targets: Vec<LiveTarget>,
    /// What has landed of every feed; null when the lake can't be read.
    feeds: Option<Vec<LiveFeed>>,
    /// That the lake can't be read, in words; null when it can.
    trouble: Option<&'static str>,
    /// What the running stages say of themselves: lag, the producers' state. Its members depend on which stages run here.
    status: serde_json::Value,
}

#[derive(Serialize, ToSchema)]
pub struct LiveTarget {
    #[schema(example = "traffic_volume")]
    target: &'static str,
    /// The bundle in use; null before there is one.
    champion: Option<Champion>,
    /// Origin of the newest forecast (KST); null before there is one.
    issued_at: Option<DateTime<FixedOffset>>,
    /// Origin of the next one (KST): it appears when what was received by then has landed.
    next_at: Option<DateTime<FixedOffset>>,
    /// Whether a newer forecast is overdue.
    stale: bool,
}

/// City time, what has landed, and each target's champion and forecast.
#[utoipa::path(
    get, path = "/v1/live", tag = "the page",
    responses(
        (status = 200, body = Live),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter was given; none is known")
    )
)]
pub async fn get(State(app): State<Arc<App>>, request: Request) -> Response {
    if let Err(problem) = Params::of(request.uri().query()).finish() {
        return problem.into_response();
    }
    let edition = app.edition();
    let feeds = feeds::now(&app).await;
    let mut unreadable = app.trouble().is_some();
    let feeds = match feeds {
        Ok(feeds) => Some(feeds),
        Err(error) => {
            // The watch over the lake tells of most troubles; a page asks every other second.
            if !unreadable {
                tracing::warn!(error = format!("{error:#}"), "the lake did not say what has landed");
            }
            unreadable = true;
            None
        }
    };
    let live = Live {
        now: kst(app.clock.now()),
        speed: app.clock.speed(),
        targets: edition.headlines.iter().map(target).collect(),
        feeds,
        trouble: unreadable.then_some(TROUBLE),
        status: (app.status)(),
    };
    Body::json(&live).respond(request.headers())
}

fn target(headline: &Headline) -> LiveTarget {
    let issued_at = headline.forecast.as_ref().map(|forecast| forecast.issued_at);
    LiveTarget {
        target: headline.target.name,
        champion: headline.champion.clone(),
        issued_at: issued_at.map(kst),
        next_at: issued_at.map(|issued_at| kst(issued_at + headline.target.step())),
        stale: headline.stale,
    }
}
