//! One feed's loop: wait until asks are due, make them, publish what they bring, wait again.
//!
//! [`Poller::run`] is the path in order. A poll is all that is due at a moment; it is over when every answer's records
//! are acknowledged. What got no good answer stays due and is asked again, whatever the reason; the loop ends when it is
//! told to stop, and then only.

mod alert;
mod answer;
mod breaker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use clock::{Clock, Participant, kept};
use futures::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ask::Schedule;
use crate::fault::Remedy;
use crate::feeds::Source;
use crate::fetch::Fetcher;
use crate::known::Known;
use crate::publish::Publisher;
use crate::status::FeedStatus;
use alert::Alerts;
use answer::{Down, Outcome};
use breaker::{Breakers, Round};

/// Asks made at once: enough to go through 700 in a few seconds at 100 ms each, and no burden to a public portal.
const ASKS_AT_ONCE: usize = 16;
/// City time after which unanswered asks are made again.
const UNANSWERED_PAUSE: TimeDelta = TimeDelta::minutes(5);
/// City time after which a feed that is asked place by place looks again whether the places are known.
const PLACES_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// So many looks are no reason for an alert: at a first start the list is being asked for.
const LOOKS_IN_VAIN_MAX: u32 = 3;

/// The places that one feed lists and others are asked by, sorted.
pub(crate) type PlacesSender = Arc<watch::Sender<Arc<[Arc<str>]>>>;

/// One feed's loop and all it needs.
pub(crate) struct Poller {
    pub(crate) source: &'static Source,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) known: Mutex<Known>,
    pub(crate) places: PlacesSender,
    pub(crate) status: Arc<Mutex<FeedStatus>>,
    /// File in which it is kept up to when all asks have been answered.
    pub(crate) progress: Option<PathBuf>,
    pub(crate) clock: Clock,
    pub(crate) cancel: CancellationToken,
}

impl Poller {
    /// Runs until it is told to stop. `schedule` begins where the lake ends.
    pub(crate) async fn run(self, mut participant: Participant, mut schedule: Schedule, holes: Vec<DateTime<Utc>>) {
        let clock = participant.clock().clone();
        let mut holes = Some(holes);
        let mut alerts = Alerts::new(self.source.feed.name);
        let breakers = Mutex::default();
        let mut looks_in_vain = 0;
        while !self.cancel.is_cancelled() {
            let now = clock.now();
            let places = self.places.borrow().clone();
            let wake_at = if self.source.by.is_some() && places.is_empty() {
                looks_in_vain += 1;
                if looks_in_vain > LOOKS_IN_VAIN_MAX {
                    alerts.raise(
                        "no-places",
                        "no spots are known to ask by; the feed traffic_spot has to be polled first",
                        false,
                    );
                }
                now + PLACES_PAUSE
            } else {
                if std::mem::take(&mut looks_in_vain) > LOOKS_IN_VAIN_MAX {
                    alerts.calm();
                }
                for hole in holes.take().unwrap_or_default() {
                    // Due since its last scheduled ask, so that a start after a kill finds it unanswered.
                    let feed = self.source.feed;
                    schedule.wait(hole, now.min(hole + feed.interval() + feed.settled_after()), &places);
                }
                schedule.advance(now, &places);
                self.poll(&mut schedule, &mut alerts, &breakers, now).await;
                self.forget(&schedule, clock.now());
                self.keep_progress(&schedule);
                match schedule.waiting() {
                    0 => schedule.next_due(),
                    _ => schedule.next_due().min(clock.now() + UNANSWERED_PAUSE),
                }
            };
            self.tell(&schedule, &alerts, Some(wake_at));
            tokio::select! {
                () = participant.sleep_until(wake_at) => {}
                () = self.cancel.cancelled() => {}
            }
        }
        self.tell(&schedule, &alerts, None);
    }

    /// Makes the asks that wait, and puts back what got no answer.
    async fn poll(&self, schedule: &mut Schedule, alerts: &mut Alerts, breakers: &Mutex<Breakers>, now: DateTime<Utc>) {
        let asks = schedule.take();
        if asks.is_empty() {
            return;
        }
        let (feed, total) = (self.source.feed.name, asks.len());
        let oldest_due = asks.iter().map(|ask| ask.due_at).min().expect("some asks wait");
        metrics::gauge!("hangang_ask_late_seconds", "feed" => feed).set((now - oldest_due).as_seconds_f64());
        let locked = || breakers.lock().expect("no holder of the breakers panics");
        let Round { made, waiting } = locked().round(asks, now);
        let asked_none = made.is_empty();
        let probes: Vec<bool> = made.iter().map(|ask| locked().is_failing(&ask.place)).collect();
        let down = Down::default();
        let mut outcomes = futures::stream::iter(made.into_iter().zip(probes))
            .map(|(ask, is_probe)| self.ask(ask, is_probe, &down, breakers))
            .buffer_unordered(ASKS_AT_ONCE);
        let (mut faults, mut unanswered) = (Vec::new(), waiting);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Outcome::Answered => {}
                Outcome::Left(fault) => faults.push(fault),
                Outcome::Unanswered(ask, fault) => {
                    faults.push(fault);
                    unanswered.push(ask);
                }
                Outcome::Untried(ask) => unanswered.push(ask),
            }
        }
        drop(outcomes);
        if faults.iter().any(|fault| fault.remedy() == Remedy::Key) && !down.any_answered() {
            locked().close(now);
        }
        let untried = unanswered.len().saturating_sub(faults.len());
        for ask in unanswered {
            match down.any_answered() && locked().gives_up(&ask, now) {
                false => schedule.put_back(ask),
                true => {
                    metrics::counter!("hangang_ask_given_up_total", "feed" => feed).increment(1);
                    tracing::error!(feed, interval = %ask.interval, place = ask.place.as_deref().unwrap_or("whole"),
                        "an ask is given up: its place has not answered for a week, while others do");
                }
            }
        }
        metrics::gauge!("hangang_ask_waiting", "feed" => feed).set(schedule.waiting() as f64);
        if self.cancel.is_cancelled() || asked_none {
            return;
        }
        alerts.after_poll(&faults, total, untried);
        self.status().last_poll_at = Some(now);
    }

    /// Writes down up to when all asks have been answered. Where that fails, a start asks more than it would have to.
    fn keep_progress(&self, schedule: &Schedule) {
        let Some(path) = &self.progress else { return };
        if let Err(error) = kept::write(path, schedule.answered_up_to()) {
            tracing::warn!(feed = self.source.feed.name, %error, "how far asking has come is not kept; a start would ask more than it must");
        }
    }

    /// Forgets values of intervals that nothing asks for any more.
    fn forget(&self, schedule: &Schedule, now: DateTime<Utc>) {
        let feed = self.source.feed;
        // An interval more than the schedule reaches, for asks that are made a little late.
        let asked_since = now - feed.settled_after() - feed.interval() * 2;
        self.known().forget_before(schedule.oldest().map_or(asked_since, |oldest| oldest.min(asked_since)));
    }

    fn tell(&self, schedule: &Schedule, alerts: &Alerts, next_ask_at: Option<DateTime<Utc>>) {
        let mut status = self.status();
        status.next_ask_at = next_ask_at;
        status.waiting = schedule.waiting();
        status.alert = alerts.message();
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn status(&self) -> std::sync::MutexGuard<'_, FeedStatus> {
        self.status.lock().expect("no holder of a status panics")
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of what is known panics")
    }
}
