//! City time that moves only when asked: the fastest, and exact, for tests that replay a week or a year.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, oneshot};

use crate::ClockError;
use crate::kept;

#[derive(Clone)]
pub(crate) struct Stepped(Arc<Shared>);

struct Shared {
    path: Option<PathBuf>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    now: DateTime<Utc>,
    participants: usize,
    /// Participants asleep now; their waking is among `sleepers`.
    asleep: usize,
    sleepers: BTreeMap<(DateTime<Utc>, u64), Sleeper>,
    next_id: u64,
}

struct Sleeper {
    wake: oneshot::Sender<()>,
    participant: bool,
}

impl Stepped {
    pub(crate) fn new(start: DateTime<Utc>, path: Option<PathBuf>) -> Stepped {
        let state = State { now: start, participants: 0, asleep: 0, sleepers: BTreeMap::new(), next_id: 0 };
        Stepped(Arc::new(Shared { path, state: Mutex::new(state), changed: Notify::new() }))
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.state().now
    }

    pub(crate) fn join(&self) {
        self.state().participants += 1;
    }

    pub(crate) fn leave(&self) {
        self.state().participants -= 1;
        self.0.changed.notify_one();
    }

    pub(crate) async fn sleep_until(&self, instant: DateTime<Utc>) {
        self.sleep(instant, false).await;
    }

    pub(crate) async fn sleep_as_participant(&self, instant: DateTime<Utc>) {
        self.sleep(instant, true).await;
    }

    async fn sleep(&self, instant: DateTime<Utc>, participant: bool) {
        let (wake, woken) = oneshot::channel();
        let key = {
            let mut state = self.state();
            if instant <= state.now {
                return;
            }
            let key = (instant, state.next_id);
            state.next_id += 1;
            state.sleepers.insert(key, Sleeper { wake, participant });
            state.asleep += usize::from(participant);
            key
        };
        self.0.changed.notify_one();
        let _cancelled = Cancel { clock: self, key };
        woken.await.ok();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder of the clock panics")
    }
}

/// Takes a sleeper that stopped waiting out of the list.
struct Cancel<'a> {
    clock: &'a Stepped,
    key: (DateTime<Utc>, u64),
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let mut state = self.clock.state();
        if let Some(sleeper) = state.sleepers.remove(&self.key) {
            state.asleep -= usize::from(sleeper.participant);
        }
    }
}

/// Moves a stepped clock.
pub struct Stepper {
    clock: Stepped,
}

impl Stepper {
    pub(crate) fn new(clock: Stepped) -> Stepper {
        Stepper { clock }
    }

    /// Waits until every participant sleeps and `settled` says that what they did has arrived everywhere, then jumps to
    /// the earliest waking, or to `until` if nothing is due before it. Says whether there is more before `until`.
    ///
    /// `settled` may wait; it is asked anew whenever a participant woke meanwhile.
    pub async fn step(&mut self, until: DateTime<Utc>, mut settled: impl AsyncFnMut()) -> Result<bool, ClockError> {
        loop {
            self.quiet().await;
            settled().await;
            let mut state = self.clock.state();
            if state.asleep < state.participants {
                continue;
            }
            let next = state.sleepers.keys().next().map_or(until, |(instant, _)| (*instant).min(until));
            let next = next.max(state.now);
            if let Some(path) = &self.clock.0.path {
                kept::write(path, next)?;
            }
            state.now = next;
            while let Some(entry) = state.sleepers.first_entry() {
                if entry.key().0 > next {
                    break;
                }
                let sleeper = entry.remove();
                state.asleep -= usize::from(sleeper.participant);
                // A sleeper that has stopped waiting takes itself out of the list: nobody is left to tell.
                sleeper.wake.send(()).ok();
            }
            return Ok(state.now < until);
        }
    }

    async fn quiet(&self) {
        loop {
            let changed = self.clock.0.changed.notified();
            {
                let state = self.clock.state();
                if state.asleep >= state.participants {
                    return;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::Clock;

    #[tokio::test]
    async fn it_waits_for_work_and_then_jumps_to_the_next_thing_due() {
        let start = "2022-09-30T15:00:00Z".parse().unwrap();
        let (clock, mut stepper) = Clock::stepped(None, start).unwrap();
        let mut participant = clock.participant();
        let worker = tokio::spawn(async move {
            let mut seen = Vec::new();
            for hour in 1..=3 {
                participant.sleep_until(start + TimeDelta::hours(hour)).await;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await; // work, which the clock must not overtake
                seen.push(participant.clock().now());
            }
            seen
        });
        while stepper.step(start + TimeDelta::hours(5), async || ()).await.unwrap() {}
        let seen = worker.await.unwrap();
        assert_eq!(seen, (1..=3).map(|hour| start + TimeDelta::hours(hour)).collect::<Vec<_>>());
        assert_eq!(clock.now(), start + TimeDelta::hours(5));
    }
}
