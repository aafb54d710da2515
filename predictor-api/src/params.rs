//! What a request's address says: the names in its path, and its query string, read by name. All that is wrong with a query
//! is told together, each parameter by its name and with what would have been right.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::problem::{Problem, clipped};

/// Mistakes that a refusal tells at most: a person reads a dozen, and an answer stays small however long the question.
const BAD_MAX: usize = 12;

/// The names in a path, percent-decoded.
pub struct Names<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Names<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Names<T>, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Names(names)),
            Err(rejection) => {
                assert!(rejection.status().is_client_error(), "a route takes as many names as its path has: {rejection}");
                Err(Problem::unreadable_path(parts.uri.path()))
            }
        }
    }
}

/// A parameter that can't be used, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct BadParameter {
    pub name: String,
    /// What came and what was expected.
    pub detail: String,
}

/// The parameters of one request. Take each by name, then [`Params::finish`]: it refuses the request when any could not
/// be used, or when there is one that the route doesn't know.
pub struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    bad: Vec<BadParameter>,
}

impl Params {
    /// Reads `name=value&…`, percent-encoded.
    pub fn of(query: Option<&str>) -> Params {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Params { pairs: pairs.into_owned().collect(), known: Vec::new(), bad: Vec::new() }
    }

    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
        let value = values.next()?;
        if values.next().is_some() {
            self.refuse(name, "given more than once; expected it once".to_owned());
            return None;
        }
        if value.is_empty() {
            self.refuse(name, "given without a value".to_owned());
            return None;
        }
        Some(value)
    }

    /// A whole number within `least..=greatest`.
    pub fn integer(&mut self, name: &'static str, least: u32, greatest: u32) -> Option<u32> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) if (least..=greatest).contains(&value) => Some(value),
            _ => {
                self.refuse(name, format!("\"{}\" is not a whole number from {least} to {greatest}", clipped(&text)));
                None
            }
        }
    }

    /// An instant with its offset, as RFC 3339 writes it.
    pub fn instant(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        // A `+` that a client forgot to encode arrives as a space; the only place for one is the offset's sign.
        match DateTime::parse_from_rfc3339(&text.replace(' ', "+")) {
            Ok(instant) => Some(instant.to_utc()),
            Err(_) => {
                let expected = "is not an RFC 3339 instant with its offset, as 2022-10-01T09:00:00+09:00";
                self.refuse(name, format!("\"{}\" {expected}", clipped(&text)));
                None
            }
        }
    }

    /// A parameter that the route can't do without.
    pub fn required(&mut self, name: &'static str, example: &str) -> String {
        let absent = !self.pairs.iter().any(|(key, _)| key == name);
        let text = self.text(name);
        if absent {
            self.refuse(name, format!("is missing; expected {example}"));
        }
        text.unwrap_or_default()
    }

    pub fn refuse(&mut self, name: &str, detail: String) {
        self.bad.push(BadParameter { name: name.to_owned(), detail });
    }

    /// Whether all was well.
    pub fn finish(mut self) -> Result<(), Problem> {
        let known = if self.known.is_empty() { "no parameter".to_owned() } else { self.known.join(", ") };
        let unknown: Vec<String> =
            self.pairs.iter().map(|(name, _)| name.clone()).filter(|name| !self.known.contains(&name.as_str())).collect();
        for name in unknown {
            self.refuse(&clipped(&name), format!("is not known here; expected {known}"));
        }
        if self.bad.is_empty() {
            return Ok(());
        }
        let untold = self.bad.len().saturating_sub(BAD_MAX);
        self.bad.truncate(BAD_MAX);
        Err(Problem::bad_parameters(self.bad, untold))
    }
}
