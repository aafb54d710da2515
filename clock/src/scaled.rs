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
    file: Arc<Mutex<Leases>>,
    speed: f64,
    renewal: tokio::task::JoinHandle<()>,
}

/// The file with the lease. Held while it is written, so that nobody who asks for the time waits for the disk.
struct Leases {
    path: PathBuf,
    /// The clock has stopped, and left its last moment in the file.
    stopped: bool,
}

struct State {
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
        let mut state = State { started_at: Instant::now(), start, speed, lease: start, latest: start };
        state.lease = state.position(LEASE);
        write(path, state.lease)?;
        let state = Arc::new(Mutex::new(state));
        let file = Arc::new(Mutex::new(Leases { path: path.to_owned(), stopped: false }));
        let renewal = tokio::spawn(keep_renewing(state.clone(), file.clone()));
        Ok(Scaled { state, file, speed, renewal })
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
        let mut file = self.file.lock().expect("no holder of the lease panics");
        file.stopped = true;
        let latest = self.state.lock().expect("no holder of the clock panics").latest;
        if let Err(error) = write(&file.path, latest) {
            tracing::warn!(%error, "the city's time could not be kept at its last moment; it goes on from its lease");
        }
    }
}

async fn keep_renewing(state: Arc<Mutex<State>>, file: Arc<Mutex<Leases>>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(RENEWAL).await;
        let (state, file) = (state.clone(), file.clone());
        let renewed = tokio::task::spawn_blocking(move || file.lock().expect("no holder of the lease panics").renew(&state));
        let renewed = renewed.await.expect("keeping a time does not panic");
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

impl Leases {
    fn renew(&self, state: &Mutex<State>) -> Result<(), ClockError> {
        if self.stopped {
            return Ok(());
        }
        let locked = || state.lock().expect("no holder of the clock panics");
        let lease = locked().position(LEASE);
        write(&self.path, lease)?;
        locked().lease = lease;
        Ok(())
    }
}

impl State {
    fn position(&self, ahead: Duration) -> DateTime<Utc> {
        let passed = (self.started_at.elapsed() + ahead).mul_f64(self.speed);
        // Whole microseconds, as the file keeps them: a finer answer would lie after what a restart reads.
        self.start + TimeDelta::microseconds(i64::try_from(passed.as_micros()).expect("a process does not run for 292,000 years"))
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
