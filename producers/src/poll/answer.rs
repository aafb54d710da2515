//! One ask through its steps: fetch, parse, publish; attempted again after passing faults.
//!
//! Nothing is said in the log here but what becomes of this one ask: what a poll's faults mean together is for
//! [`super::alert`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::breaker::Breakers;
use super::{ASKS_AT_ONCE, Poller};
use crate::ask::Ask;
use crate::fault::{Fault, Remedy};
use crate::fetch::Response;
use crate::observation::{Observation, Value};
use crate::parse::{Answer, ParseError, parse};
use crate::publish::{DeadLetter, Unacknowledged};
use crate::record::record;
use crate::request::{PAGE_ROWS, PAGES_MAX, Request, request};

/// Pauses, in real time, before the second, third and fourth attempt at a request. Of a place that failed last time,
/// one attempt tells enough.
const ATTEMPT_PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// So many asks in a row without an answer, each after all its attempts: the upstream is down, and the rest of the round
/// waits with them. Those that answered last time are asked first, so it is never they who wait.
const FAILURES_IN_A_ROW_MAX: usize = ASKS_AT_ONCE;

/// What became of one ask.
pub(super) enum Outcome {
    Answered,
    /// An answer came, but not all of it could be read: the rest is in the dead letters.
    Left(Fault),
    /// No answer: the ask stays due.
    Unanswered(Ask, Fault),
    /// Not made, or broken off by a stop: the ask stays due.
    Untried(Ask),
}

/// What stopped the reading of an answer.
enum Stopped {
    Fault(Fault),
    /// The loop is to end.
    Cancelled,
}

impl Poller {
    /// Makes one ask, unless its place or the upstream has stopped answering in this round, or the loop is to end. What
    /// became of it is told to `breakers`.
    pub(super) async fn ask(&self, mut ask: Ask, is_probe: bool, down: &Down, breakers: &Mutex<Breakers>) -> Outcome {
        let breakers = || breakers.lock().expect("no holder of the breakers panics");
        if self.cancel.is_cancelled() || down.is_down() || (!is_probe && breakers().is_failing(&ask.place)) {
            breakers().untried(&ask.place);
            return Outcome::Untried(ask);
        }
        metrics::counter!("hangang_ask_made_total", "feed" => self.source.feed.name).increment(1);
        self.status().asked += 1;
        let pauses = if is_probe { &[][..] } else { &ATTEMPT_PAUSES };
        let fault = match self.answer(&mut ask, pauses).await {
            Ok(None) => {
                down.answered();
                breakers().answered(&ask.place);
                return Outcome::Answered;
            }
            Ok(Some(fault)) => Fault::Parse(fault),
            Err(Stopped::Cancelled) => return Outcome::Untried(ask),
            Err(Stopped::Fault(fault)) => fault,
        };
        self.status().failed += 1;
        if fault.remedy() == Remedy::Leave {
            down.answered();
            breakers().answered(&ask.place);
            return Outcome::Left(fault);
        }
        down.failed();
        breakers().failed(&ask.place, fault.remedy(), self.now());
        ask.attempt += 1;
        Outcome::Unanswered(ask, fault)
    }

    /// Fetches, parses and publishes all pages of an answer. What was wrong with parts of it is returned.
    async fn answer(&self, ask: &mut Ask, pauses: &[Duration]) -> Result<Option<ParseError>, Stopped> {
        let (mut fault, mut listed, mut published) = (None, Vec::new(), 0);
        for page in 1..=PAGES_MAX {
            let request = request(ask, page);
            let (answer, received_at) = self.page(ask, &request, pauses).await?;
            fault = fault.or(answer.fault);
            if self.source.lists.is_some() {
                listed.extend(answer.observations.iter().map(place));
            }
            published += self.publish(answer.observations, received_at).await?;
            if page * PAGE_ROWS >= answer.total {
                self.count(answer.total, published);
                break;
            }
        }
        if self.source.lists.is_some() && !listed.is_empty() {
            self.list(listed, fault.is_none());
        }
        Ok(fault)
    }

    /// One page, attempted again after passing faults and each of `pauses`. An answer that cannot be read, or not all of it, is kept in the
    /// dead letters, once an ask and reason.
    async fn page(&self, ask: &mut Ask, request: &Request, pauses: &[Duration]) -> Result<(Answer, DateTime<Utc>), Stopped> {
        let mut pauses = pauses.iter();
        loop {
            let (response, read) = match self.attempt(request).await? {
                Ok(response) => {
                    let read = parse(self.source, request, &response.bytes, response.received_at);
                    (Some(response), read.map_err(Fault::Parse))
                }
                Err(error) => (None, Err(error)),
            };
            let fault = match &read {
                Ok(Answer { fault: Some(fault), .. }) => Some(Fault::Parse(fault.clone())),
                Ok(_) => None,
                Err(fault) => Some(fault.clone()),
            };
            if let Some(fault) = &fault {
                metrics::counter!("hangang_fetch_failed_total", "feed" => self.source.feed.name, "reason" => fault.code())
                    .increment(1);
                tracing::debug!(feed = self.source.feed.name, %request, %fault, "no good answer");
                if fault.remedy() == Remedy::Again
                    && let Some(&pause) = pauses.next()
                {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => continue,
                        () = self.cancel.cancelled() => return Err(Stopped::Cancelled),
                    }
                }
            }
            if let (Some(Fault::Parse(fault)), Some(response)) = (&fault, &response) {
                self.keep(ask, fault, response).await?;
            }
            let received_at = response.map(|response| response.received_at);
            return match (read, received_at) {
                (Ok(answer), Some(received_at)) => Ok((answer, received_at)),
                (Ok(_), None) => unreachable!("only a response can be read"),
                (Err(fault), _) => Err(Stopped::Fault(fault)),
            };
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Result<Response, Fault>, Stopped> {
        let feed = self.source.feed.name;
        metrics::counter!("hangang_fetch_requests_total", "feed" => feed).increment(1);
        let started_at = Instant::now();
        let fetched = tokio::select! {
            fetched = self.fetcher.fetch(request) => fetched,
            () = self.cancel.cancelled() => return Err(Stopped::Cancelled),
        };
        metrics::histogram!("hangang_fetch_seconds", "feed" => feed).record(started_at.elapsed().as_secs_f64());
        Ok(fetched.map_err(Fault::Fetch))
    }

    /// Publishes what is new or changed, and says how many records that was.
    async fn publish(&self, observations: Vec<Observation>, received_at: DateTime<Utc>) -> Result<usize, Stopped> {
        metrics::counter!("hangang_parse_rows_total", "feed" => self.source.feed.name).increment(observations.len() as u64);
        let fresh = self.known().fresh(observations);
        if fresh.is_empty() {
            return Ok(0);
        }
        let records: Vec<_> = fresh.iter().map(|observation| record(observation, received_at)).collect();
        self.publisher.publish(self.source.feed, &records).await.map_err(|error| self.unacknowledged(&error))?;
        let mut known = self.known();
        fresh.iter().for_each(|observation| known.learn(observation));
        self.status().published += fresh.len() as u64;
        Ok(fresh.len())
    }

    async fn keep(&self, ask: &mut Ask, fault: &ParseError, response: &Response) -> Result<(), Stopped> {
        if !fault.keeps_answer() || ask.dead_letter == Some(fault.code()) {
            return Ok(());
        }
        let letter = DeadLetter {
            bytes: response.bytes.clone(),
            reason: fault.code(),
            detail: format!("{fault}; asked for {}", request(ask, 1)),
            refused_at: response.received_at,
            received_at: response.received_at,
        };
        self.publisher.dead_letter(self.source.feed, &letter).await.map_err(|error| self.unacknowledged(&error))?;
        ask.dead_letter = Some(fault.code());
        self.status().dead_letters += 1;
        Ok(())
    }

    fn unacknowledged(&self, error: &Unacknowledged) -> Stopped {
        tracing::warn!(feed = self.source.feed.name, "{error}");
        Stopped::Cancelled
    }

    fn count(&self, total: usize, published: usize) {
        let outcome = if total == 0 {
            "empty"
        } else if published == 0 {
            "unchanged"
        } else {
            "fresh"
        };
        metrics::counter!("hangang_parse_answers_total", "feed" => self.source.feed.name, "outcome" => outcome).increment(1);
        self.status().empty += u64::from(outcome == "empty");
        self.status().unchanged += u64::from(outcome == "unchanged");
    }

    /// Hands a list of places on. One that could not be read whole takes none away.
    fn list(&self, mut listed: Vec<Arc<str>>, whole: bool) {
        self.places.send_if_modified(|places| {
            if !whole {
                listed.extend(places.iter().cloned());
            }
            listed.sort();
            listed.dedup();
            let changed = **places != *listed;
            *places = listed.into();
            changed
        });
    }
}

/// The place that a row of a list is about.
fn place(observation: &Observation) -> Arc<str> {
    match &observation.values()[0] {
        Value::Text(place) => place.as_str().into(),
        other => panic!("a list's first column is the place's id, not {other:?}"),
    }
}

/// Whether, within one round, the upstream has stopped answering.
#[derive(Default)]
pub(super) struct Down {
    failures_in_a_row: AtomicUsize,
    answered: AtomicBool,
}

impl Down {
    fn is_down(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) >= FAILURES_IN_A_ROW_MAX
    }

    /// Whether anybody answered.
    pub(super) fn any_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    fn failed(&self) {
        self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
    }
}
