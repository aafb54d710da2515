//! The time of a city that another process owns, followed over HTTP.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::ClockError;

/// How often the owner is asked. Between answers time passes at the owner's speed, but no further than one interval.
const INTERVAL: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(5);

/// What `GET /clock` answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockAnswer {
    /// City time, UTC.
    pub now: DateTime<Utc>,
    /// City seconds a real second; null for a stepped clock.
    pub speed: Option<f64>,
}

pub(crate) struct Followed {
    state: Arc<Mutex<State>>,
    follower: tokio::task::JoinHandle<()>,
}

struct State {
    answer: ClockAnswer,
    answered_at: Instant,
    latest: DateTime<Utc>,
}

impl Followed {
    pub(crate) async fn start(url: &str) -> Result<Followed, ClockError> {
        let unreachable = |detail: String| ClockError::Unreachable { url: url.to_owned(), detail };
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| unreachable(error.to_string()))?;
        let url = format!("{}/clock", url.trim_end_matches('/'));
        let answer = ask(&client, &url).await.map_err(|error| unreachable(deepest(&error)))?;
        let state = Arc::new(Mutex::new(State { answer, answered_at: Instant::now(), latest: answer.now }));
        let follower = tokio::spawn(follow(client, url, state.clone()));
        Ok(Followed { state, follower })
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        let mut state = self.state.lock().expect("no holder of the clock panics");
        let passed = state.answered_at.elapsed().min(INTERVAL).mul_f64(state.answer.speed.unwrap_or(0.0));
        let now = state.answer.now + TimeDelta::from_std(passed).expect("a quarter of a second fits");
        state.latest = state.latest.max(now);
        state.latest
    }

    pub(crate) fn speed(&self) -> Option<f64> {
        self.state.lock().expect("no holder of the clock panics").answer.speed
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn follow(client: reqwest::Client, url: String, state: Arc<Mutex<State>>) {
    let mut standing = false;
    loop {
        tokio::time::sleep(INTERVAL).await;
        match ask(&client, &url).await {
            Ok(answer) => {
                standing = false;
                let mut state = state.lock().expect("no holder of the clock panics");
                state.answer = answer;
                state.answered_at = Instant::now();
            }
            Err(error) if !standing => {
                standing = true;
                tracing::warn!(%error, "the city's clock does not answer; time stands until it does");
            }
            Err(_) => {}
        }
    }
}

/// The last cause says what happened; those above it only where.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<ClockAnswer, reqwest::Error> {
    client.get(url).send().await?.error_for_status()?.json().await
}
