//! What every route shares, and the one way in which each answers.

use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use clock::Clock;
use lake::Lake;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::edition::{Edition, Kept, Part};
use crate::front::Count;
use crate::observations::BusyHours;
use crate::params::Params;
use crate::problem::{Problem, clipped};

/// What only the root knows, as JSON: lag, the producers' state. Asked at every `/v1/live`, so it must be quick.
pub type StatusSource = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Questions put to the lake at once. Each may use all cores for some 100 ms and tens of megabytes.
const QUESTIONS_MAX: usize = 2;
/// How long a request waits for its turn, in real time, before it is told that others are being answered.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// How often the histograms' samples are folded, in real time; unfolded ones take memory.
const FOLD_METRICS_EVERY: Duration = Duration::from_secs(5);

/// What every route shares.
pub struct App {
    pub lake: Lake,
    pub clock: Clock,
    pub metrics: PrometheusHandle,
    pub status: StatusSource,
    pub busy_hours: BusyHours,
    edition: RwLock<Arc<Edition>>,
    questions: Semaphore,
    /// Why the lake could not be read when it was looked at last.
    trouble: Mutex<Option<String>>,
}

/// One request that no kept body answers.
pub struct Asked {
    pub app: Arc<App>,
    pub edition: Arc<Edition>,
    pub params: Params,
}

/// Why a request gets no body.
pub enum Fault {
    /// The client's, or the city isn't there yet.
    Problem(Problem),
    /// The lake's.
    Lake(anyhow::Error),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        Fault::Problem(problem)
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Fault {
        Fault::Lake(error)
    }
}

impl App {
    pub fn new(lake: Lake, clock: Clock, metrics: PrometheusHandle, status: StatusSource) -> App {
        App {
            lake,
            clock,
            metrics,
            status,
            busy_hours: BusyHours::default(),
            edition: RwLock::new(Arc::new(Edition::empty())),
            questions: Semaphore::new(QUESTIONS_MAX),
            trouble: Mutex::default(),
        }
    }

    pub fn edition(&self) -> Arc<Edition> {
        self.edition.read().expect("no holder of the edition panics").clone()
    }

    /// Why the lake could not be read when it was looked at last; none if it could.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("no holder of the trouble panics").clone()
    }

    /// Makes a body that the front has not kept, answers with it, and keeps it until something that it rests on changes.
    pub async fn answer<Making>(
        self: Arc<Self>,
        request: Request,
        rests_on: &'static [Part],
        make: impl FnOnce(Asked) -> Making + Send,
    ) -> Response
    where
        Making: Future<Output = Result<Body, Fault>> + Send,
    {
        let (request, _) = request.into_parts();
        let key = request.uri.path_and_query().map_or("", |whole| whole.as_str());
        let edition = self.edition();
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN_WITHIN, self.questions.acquire()).await else {
            return Problem::busy().into_response();
        };
        // Another request may have asked the same while this one waited.
        if let Some(kept) = edition.kept(key) {
            return kept.body.respond(&request.headers);
        }
        let asked = Asked { app: self.clone(), edition: edition.clone(), params: Params::of(request.uri.query()) };
        match make(asked).await {
            Ok(body) => {
                let route =
                    request.extensions.get::<MatchedPath>().expect("a route was matched, or nothing would have been made");
                let response = body.respond(&request.headers);
                edition.keep(key, Kept { body, rests_on, count: Count::of(route.as_str()) });
                response
            }
            Err(Fault::Problem(problem)) => problem.into_response(),
            Err(Fault::Lake(error)) => {
                tracing::warn!(request = &*clipped(key), error = format!("{error:#}"), "the lake gave no answer");
                Problem::lake_unreadable().into_response()
            }
        }
    }

    /// Looks at the lake, and turns to the next edition if there is news.
    pub async fn refresh(&self) {
        let before = self.edition();
        let (next, error) = match before.next(&self.lake, self.clock.now()).await {
            Ok(next) => (next, None),
            Err(error) => (before.aged(self.clock.now()), Some(format!("{error:#}"))),
        };
        if let Some(next) = next {
            *self.edition.write().expect("no holder of the edition panics") = Arc::new(next);
        }
        let mut trouble = self.trouble.lock().expect("no holder of the trouble panics");
        match (&error, trouble.is_some()) {
            (Some(error), false) => tracing::warn!(error, "the lake can't be read; what was known last is served on"),
            (None, true) => tracing::info!("the lake can be read again"),
            (Some(_), true) | (None, false) => {}
        }
        *trouble = error;
    }
}

/// Refreshes until cancelled.
pub async fn keep_current(app: Arc<App>, poll: Duration, cancel: CancellationToken) {
    let mut folded_at = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(poll) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = app.refresh() => {}
        }
        if folded_at.elapsed() >= FOLD_METRICS_EVERY {
            folded_at = tokio::time::Instant::now();
            app.metrics.run_upkeep();
        }
    }
}
