//! Step 2: request → response bytes. One attempt; what to do after a failure is decided by the caller with
//! [`FetchError::remedy`].
//!
//! The key goes into the address here and nowhere else: errors lose their address, and the answer loses the key before
//! anyone reads it. Status 200 is not taken as success, which only the body tells; other statuses are failures.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, SubsecRound, Utc};
use clock::Clock;
use reqwest::{StatusCode, Url, redirect};

use crate::fault::Remedy;
use crate::request::Request;
use crate::secret::Secret;

/// A host in the same country answers or doesn't.
const CONNECT_SECONDS_MAX: u64 = 3;
/// The whole of a request, body included: ten times what the portal takes on a bad day.
const REQUEST_SECONDS_MAX: u64 = 10;
/// 1000 rows of the widest feed are 250 kB; a Kafka record, in which an unreadable answer is kept whole with its reason,
/// holds 1 MiB.
const BODY_BYTES_MAX: usize = 1_000_000;

/// A complete answer, the key taken out.
#[derive(Clone, Debug)]
pub struct Response {
    pub bytes: Bytes,
    /// City time, UTC in microseconds, at which the answer was complete.
    pub received_at: DateTime<Utc>,
}

/// Why there is no complete answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("no connection to the upstream: {detail}; check the base address and the network")]
    Unreachable { detail: String },
    #[error("the upstream did not answer within {seconds} s")]
    TimedOut { seconds: u64 },
    #[error("the answer broke off: {detail}")]
    BrokenOff { detail: String },
    #[error("the upstream answered with HTTP status {status}")]
    Status { status: u16 },
    #[error("the answer is larger than {BODY_BYTES_MAX} bytes, which no page of {rows} rows is", rows = crate::request::PAGE_ROWS)]
    TooLarge,
}

impl FetchError {
    pub fn remedy(&self) -> Remedy {
        match self {
            FetchError::Unreachable { .. } | FetchError::TimedOut { .. } | FetchError::BrokenOff { .. } => Remedy::Again,
            FetchError::Status { status: 500..=599 } => Remedy::Again,
            FetchError::Status { status: 429 } => Remedy::Later,
            FetchError::Status { .. } | FetchError::TooLarge => Remedy::Patiently,
        }
    }

    /// A short stable name, for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            FetchError::Unreachable { .. } => "unreachable",
            FetchError::TimedOut { .. } => "timed-out",
            FetchError::BrokenOff { .. } => "broken-off",
            FetchError::Status { .. } => "http-status",
            FetchError::TooLarge => "too-large",
        }
    }
}

/// Fetches from one upstream host with one key.
#[derive(Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    base: Url,
    key: Secret,
    clock: Clock,
}

impl Fetcher {
    /// `base` is the upstream's address without the key: `http://openapi.seoul.go.kr:8088`. Errors say what is wrong
    /// with it, in words.
    pub fn new(base: &str, key: Secret, clock: Clock) -> Result<Fetcher, String> {
        let url = Url::parse(base).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("it has to begin with http:// and name a host".to_owned());
        }
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("hangang/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .timeout(Duration::from_secs(REQUEST_SECONDS_MAX))
            // A redirect would hand the key, which is part of the path, to another host.
            .redirect(redirect::Policy::none());
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| error.without_url().to_string())?;
        Ok(Fetcher { client, base: url, key, clock })
    }

    /// One attempt.
    pub async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let mut response =
            self.client.get(request.url(&self.base, &self.key)).send().await.map_err(|error| self.failed(error))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { status: response.status().as_u16() });
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let received_at = self.clock.now().trunc_subsecs(6);
        Ok(Response { bytes: self.key.redact(body.freeze()), received_at })
    }

    fn failed(&self, error: reqwest::Error) -> FetchError {
        if error.is_timeout() && !error.is_connect() {
            return FetchError::TimedOut { seconds: REQUEST_SECONDS_MAX };
        }
        let (connect, error) = (error.is_connect(), error.without_url());
        let mut causes = Vec::new();
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let detail = self.key.redact_text(causes.join(": "));
        if connect { FetchError::Unreachable { detail } } else { FetchError::BrokenOff { detail } }
    }
}
