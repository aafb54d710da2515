//! City time that passes faster than real time and outlives its process.
//!
//! The file holds a *lease*: a city time that is never overtaken before a later lease has been written. Whatever was
//! answered before a crash therefore lies at or before the lease, from which the next process goes on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::ClockError;
use crate::kept::{read, write};

/// How far ahead of real time a lease reaches. A crash costs at most this, times the speed, of city time.
const LEASE: Duration = Duration::from_millis(1000);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_millis(250);

pub(crate) struct Scaled {
    state: Arc<Mutex<State>>,
    speed: f64,
    renewal: tokio::task::JoinHandle<()>,
}

struct State {
    path: PathBuf,
    started_at: Instant,
    start: DateTime<Utc>,
    speed: f64,
    lease: DateTime<Utc>,
    /// The latest time answered: where an orderly stop leaves the file.
    latest: DateTime<Utc>,
}

impl Scaled {
    pub(crate) fn start(path: &Path, start: DateTime<Utc>, speed: f64) -> Result<Scaled, ClockError> {
        assert!(speed > 0.0 && speed.is_finite(), "a city's speed is positive");
        let start = read(path)?.unwrap_or(start);
        let mut state = State { path: path.to_owned(), started_at: Instant::now(), start, speed, lease: start, latest: start };
        state.renew()?;
        let state = Arc::new(Mutex::new(state));
        let renewal = tokio::spawn(keep_renewing(Arc::downgrade(&state)));
        Ok(Scaled { state, speed, renewal })
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        let mut state = self.state.lock().expect("no holder of the clock panics");
        let now = state.position(Duration::ZERO).min(state.lease).max(state.latest);
        state.latest = now;
        now
    }

    pub(crate) fn speed(&self) -> f64 {
        self.speed
    }
}

impl Drop for Scaled {
    fn drop(&mut self) {
        self.renewal.abort();
        let state = self.state.lock().expect("no holder of the clock panics");
        if let Err(error) = write(&state.path, state.latest) {
            tracing::warn!(%error, "the city's time could not be kept at its last moment; it goes on from its lease");
        }
    }
}

async fn keep_renewing(state: std::sync::Weak<Mutex<State>>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(RENEWAL).await;
        let Some(state) = state.upgrade() else { return };
        let renewed = state.lock().expect("no holder of the clock panics").renew();
        match renewed {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the city's time stands until it can be kept");
            }
            Err(_) => {}
        }
    }
}

impl State {
    fn position(&self, ahead: Duration) -> DateTime<Utc> {
        let passed = (self.started_at.elapsed() + ahead).mul_f64(self.speed);
        // Whole microseconds, as the file keeps them: a finer answer would lie after what a restart reads.
        self.start + TimeDelta::microseconds(i64::try_from(passed.as_micros()).expect("a process does not run for 292,000 years"))
    }

    fn renew(&mut self) -> Result<(), ClockError> {
        let lease = self.position(LEASE);
        write(&self.path, lease)?;
        self.lease = lease;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        "2022-09-30T15:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn time_passes_at_its_speed_and_stands_while_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let clock = Scaled::start(&path, start(), 3600.0).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let stopped_at = clock.now();
        assert!(stopped_at - start() >= TimeDelta::seconds(360), "100 ms are six minutes, not {}", stopped_at - start());
        drop(clock);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(read(&path).unwrap(), Some(stopped_at));
    }

    #[tokio::test]
    async fn a_killed_clock_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let killed = Scaled::start(&path, start(), 3600.0).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let answered = killed.now();
        // A kill runs no destructor: only what is on disk remains.
        killed.renewal.abort();
        std::mem::forget(killed);
        let next = Scaled::start(&path, start(), 3600.0).unwrap();
        assert!(next.now() >= answered);
    }
}
