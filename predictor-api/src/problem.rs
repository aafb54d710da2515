//! What a client is told when it can't have what it asked for: RFC 9457 problem details, all of one shape.
//!
//! `type` is a stable name to branch on, `detail` says what was wrong with this request with the value quoted, and `hint`
//! what to do. Nothing here logs: whoever meets a fault of ours logs it once, before it becomes a problem.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::params::BadParameter;

/// How soon a client may ask again when something is not there yet, in real seconds: forecasts follow within seconds of
/// the first landed hours, and a lake that is away is looked for several times a second.
const RETRY_AFTER_SECONDS: u64 = 5;

/// What every route takes.
pub const METHODS: &str = "GET, HEAD, OPTIONS";

/// Characters of a client's own words that a refusal repeats at most: enough to recognise them.
const CLIPPED_CHARS: usize = 80;

/// A client's words as a refusal repeats them.
pub fn clipped(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(CLIPPED_CHARS) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// An error, as RFC 9457 describes it (`application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A stable name of this kind of problem: `urn:hangang:problem:` and a word.
    #[serde(rename = "type")]
    #[schema(example = "urn:hangang:problem:unknown-target")]
    kind: String,
    /// The kind in words; the same for all problems of a kind.
    #[schema(example = "unknown target")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What was wrong with this request.
    detail: String,
    /// What to do about it.
    hint: String,
    /// The names that would have been known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known: Vec<String>,
    /// Each parameter that can't be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<BadParameter>,
}

impl Problem {
    pub fn unknown_target(asked: &str) -> Problem {
        let known = catalog::TARGETS.iter().map(|target| target.name.to_owned()).collect();
        Problem::new(
            "unknown-target",
            "unknown target",
            StatusCode::NOT_FOUND,
            format!("there is no target \"{}\"", clipped(asked)),
        )
        .hint("GET /v1/targets lists them")
        .known(known)
    }

    pub fn unknown_series(target: &str, asked: &str, near: Vec<String>) -> Problem {
        let detail = format!("target \"{target}\" has no series \"{}\"", clipped(asked));
        Problem::new("unknown-series", "unknown series", StatusCode::NOT_FOUND, detail)
            .hint(format!("GET /v1/series?target={target} lists them; `known` names the nearest"))
            .known(near)
    }

    pub fn unknown_origin(target: &str, asked: &str, newest: Option<String>) -> Problem {
        let detail = format!("no forecast of \"{target}\" was issued at {asked}");
        let hint = match newest {
            Some(newest) => format!("the newest was issued at {newest}; leave `issued_at` out to get it"),
            None => "no forecast has been issued yet".to_owned(),
        };
        Problem::new("unknown-origin", "no forecast of that origin", StatusCode::NOT_FOUND, detail).hint(hint)
    }

    pub fn without_places(target: &str) -> Problem {
        let detail = format!("the series of target \"{target}\" have no places on a map");
        Problem::new("no-places", "nothing to draw", StatusCode::NOT_FOUND, detail)
            .hint(format!("GET /v1/forecasts/{target} has its numbers"))
    }

    /// `untold`: how many more there are.
    pub fn bad_parameters(parameters: Vec<BadParameter>, untold: usize) -> Problem {
        let mut detail = parameters.iter().map(|bad| format!("{}: {}", bad.name, bad.detail)).collect::<Vec<_>>().join("; ");
        if untold > 0 {
            detail += &format!("; and {untold} more");
        }
        Problem { parameters, ..Problem::new("bad-parameter", "a parameter can't be used", StatusCode::BAD_REQUEST, detail) }
            .hint("/openapi.json describes every parameter")
    }

    pub fn no_forecast_yet(target: &str, why: &str) -> Problem {
        let detail = format!("no forecast of \"{target}\" has been issued yet: {why}");
        Problem::new("no-forecast-yet", "no forecast yet", StatusCode::SERVICE_UNAVAILABLE, detail)
            .hint("ask again in a few seconds; GET /v1/live tells how far the city is")
    }

    pub fn no_champion(target: &str) -> Problem {
        let detail = format!("target \"{target}\" has no champion yet");
        Problem::new("no-champion-yet", "no champion yet", StatusCode::SERVICE_UNAVAILABLE, detail)
            .hint("ask again in a few seconds, or leave `bundle` out")
    }

    pub fn nothing_counted_yet(target: &str) -> Problem {
        let detail = format!("nothing of \"{target}\" has been observed yet");
        Problem::new("nothing-observed-yet", "nothing observed yet", StatusCode::SERVICE_UNAVAILABLE, detail)
            .hint("ask again when the first rows have landed; GET /v1/live tells how far the city is")
    }

    pub fn not_ready(reasons: Vec<String>) -> Problem {
        Problem::new("not-ready", "not ready", StatusCode::SERVICE_UNAVAILABLE, reasons.join("; "))
            .hint("`hangang status` shows every stage; /healthz answers as long as the process lives")
    }

    /// The lake did not answer. Why is the operator's to read, in the log: it may name folders and hosts.
    pub fn lake_unreadable() -> Problem {
        let detail = "the lake did not answer this question".to_owned();
        Problem::new("lake-unreadable", "the lake can't be read", StatusCode::SERVICE_UNAVAILABLE, detail)
            .hint("ask again in a few seconds; if it stays so, whoever runs this finds the reason in its log and at /readyz")
    }

    pub fn busy() -> Problem {
        Problem::new(
            "busy",
            "too many questions at once",
            StatusCode::SERVICE_UNAVAILABLE,
            "the lake is answering others".to_owned(),
        )
        .hint("ask again in a few seconds")
    }

    pub fn no_such_route(path: &str) -> Problem {
        let hint = match path.strip_suffix('/') {
            Some(without) if !without.is_empty() => "no path here ends with a slash; /openapi.json lists every route",
            _ => "/openapi.json lists every route; the page is at /",
        };
        let detail = format!("nothing is served at \"{}\"", clipped(path));
        Problem::new("no-such-route", "no such route", StatusCode::NOT_FOUND, detail).hint(hint)
    }

    pub fn unreadable_path(path: &str) -> Problem {
        let detail = format!("\"{}\" is not text in UTF-8 once its percent signs are decoded", clipped(path));
        Problem::new("unreadable-path", "the path can't be read", StatusCode::BAD_REQUEST, detail)
            .hint("encode names as UTF-8, then percent-encode them")
    }

    pub fn method_not_allowed(method: &str, path: &str) -> Problem {
        let detail = format!("\"{}\" does not take {}", clipped(path), clipped(method));
        Problem::new("method-not-allowed", "method not allowed", StatusCode::METHOD_NOT_ALLOWED, detail)
            .hint("everything here is read with GET")
    }

    fn new(kind: &str, title: &'static str, status: StatusCode, detail: String) -> Problem {
        Problem {
            kind: format!("urn:hangang:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail,
            hint: String::new(),
            known: Vec::new(),
            parameters: Vec::new(),
        }
    }

    fn hint(self, hint: impl Into<String>) -> Problem {
        Problem { hint: hint.into(), ..self }
    }

    fn known(self, known: Vec<String>) -> Problem {
        Problem { known, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("problems are made from statuses");
        let body = serde_json::to_vec(&self).expect("a problem is plain text");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
        }
        response
    }
}
