//! The simulator's own paths, which no upstream has: the city's time, the final truth for tests, and the faults.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clock::ClockAnswer;
use futures::stream;
use serde::Deserialize;

use crate::city::{City, hour_begin, hour_from, truth};
use crate::faults::Faults;
use crate::server::Shared;

/// Longest span of one truth request: a year and a day, so that a typing error doesn't compute for ever.
const TRUTH_DAYS_MAX: i64 = 367;

/// `GET /`: what this is.
pub(crate) async fn welcome(State(shared): State<Arc<Shared>>) -> String {
    format!(
        "Hangang's simulator of Seoul Open Data Plaza ({city}). City time {now}.\n\
         \n\
         GET  /{{KEY}}/xml/SpotInfo/1/1000/                             counting spots\n\
         GET  /{{KEY}}/xml/VolInfo/1/1000/{{spot}}/{{YYYYMMDD}}/{{HH}}/       vehicles in an hour, by lane\n\
         \n\
         and what no upstream has:\n\
         \n\
         GET  /clock                                                  the city's time\n\
         GET  /truth/volume?from=…&to=…                               final values, CSV (RFC 3339; hours that begin in [from, to))\n\
         GET  /faults, POST /faults                                   misbehaviour, JSON\n",
        city = shared.city.identity(),
        now = catalog::kst::at_kst(shared.clock.now()).to_rfc3339_opts(SecondsFormat::Secs, false),
    )
}

/// `GET /clock`
pub(crate) async fn clock(State(shared): State<Arc<Shared>>) -> Json<ClockAnswer> {
    Json(shared.clock.answer())
}

/// `GET /faults`
pub(crate) async fn faults(State(shared): State<Arc<Shared>>) -> Json<Faults> {
    Json(shared.faults.get())
}

/// `POST /faults`: replaces them, answers what is now in force.
pub(crate) async fn set_faults(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let wanted: Faults = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return bad_request(format!("not a JSON object of faults: {error}")),
    };
    match shared.faults.set(wanted) {
        Ok(()) => Json(shared.faults.get()).into_response(),
        Err(error) => bad_request(error.to_string()),
    }
}

#[derive(Deserialize)]
pub(crate) struct Span {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// `GET /truth/volume`: the final value of every lane in the hours that begin in [from, to), as CSV, whatever the city's
/// time is. Hours without a count have no line.
pub(crate) async fn truth_volume(State(shared): State<Arc<Shared>>, Query(span): Query<Span>) -> Response {
    if span.to - span.from > TimeDelta::days(TRUTH_DAYS_MAX) {
        return bad_request(format!("\"from\" and \"to\" lie more than {TRUTH_DAYS_MAX} days apart; ask for less at once"));
    }
    let (first, end) = (hour_from(span.from), hour_from(span.to));
    let head = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(TRUTH_HEADER.as_bytes()))]);
    let hours = stream::iter((first..end).map(move |hour| Ok(Bytes::from(truth_lines(&*shared.city, hour_begin(hour))))));
    let body = Body::from_stream(futures::StreamExt::chain(head, hours));
    ([(header::CONTENT_TYPE, "text/csv;charset=UTF-8")], body).into_response()
}

const TRUTH_HEADER: &str = "observed_at,spot,direction,lane,volume\n";

fn truth_lines(city: &dyn City, hour: DateTime<Utc>) -> String {
    let stamp = hour.to_rfc3339_opts(SecondsFormat::Secs, true);
    let lines = truth(city, hour)
        .into_iter()
        .map(|(spot, row)| format!("{stamp},{},{},{},{}\n", city.ids()[spot], row.direction, row.lane, row.volume));
    lines.collect()
}

fn bad_request(message: String) -> Response {
    (StatusCode::BAD_REQUEST, message + "\n").into_response()
}
