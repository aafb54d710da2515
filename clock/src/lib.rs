//! The one way to ask what time it is in the city.
//!
//! Three clocks answer through one [`Clock`]: the *real* one; a *scaled* one, whose position is kept on disk and never
//! goes back; and a *stepped* one, which stands until all due work is done and then jumps to the next thing due.
//! A process that does not own the city's time follows the one that does over HTTP ([`Clock::follow`]).
//!
//! Nothing else in the project reads the machine's clock to learn the time of an observation, an ask or a forecast.

mod followed;
pub mod kept;
mod scaled;
mod stepped;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use followed::ClockAnswer;
pub use stepped::Stepper;

/// What can go wrong with a clock; each needs a person.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error("cannot keep the city's time in \"{path}\": {source}; make the folder writable or choose another with --data")]
    Keep { path: String, source: std::io::Error },
    #[error(
        "\"{path}\" does not hold a city time ({detail}): it is damaged. Write one into it, as 2022-10-01T15:00:00Z, no earlier than anything that its lake has received"
    )]
    Damaged { path: String, detail: String },
    #[error(
        "no city clock answers at \"{url}\": {detail}; start it with `hangang simulate` or `hangang up`, or give its address with --simulator URL"
    )]
    Unreachable { url: String, detail: String },
}

/// A city's time. Cheap to clone; all clones agree.
#[derive(Clone)]
pub struct Clock(Arc<Kind>);

enum Kind {
    Real,
    Scaled(scaled::Scaled),
    Stepped(stepped::Stepped),
    Followed(followed::Followed),
}

impl Clock {
    /// The machine's own time.
    pub fn real() -> Clock {
        Clock(Arc::new(Kind::Real))
    }

    /// City time that begins at `start` and passes `speed` times as fast as real time. Its position is kept in `path`:
    /// it stands while no process runs, and goes on from there, never back, even after `kill -9`. Only one process may
    /// own a path at a time.
    ///
    /// Must be called inside a tokio runtime.
    pub fn scaled(path: &std::path::Path, start: DateTime<Utc>, speed: f64) -> Result<Clock, ClockError> {
        Ok(Clock(Arc::new(Kind::Scaled(scaled::Scaled::start(path, start, speed)?))))
    }

    /// City time that stands at `start` until the [`Stepper`] moves it. With a `path` its position is kept there, and
    /// goes on from there.
    pub fn stepped(path: Option<&std::path::Path>, start: DateTime<Utc>) -> Result<(Clock, Stepper), ClockError> {
        let start = path.map(kept::read).transpose()?.flatten().unwrap_or(start);
        let stepped = stepped::Stepped::new(start, path.map(Into::into));
        Ok((Clock(Arc::new(Kind::Stepped(stepped.clone()))), Stepper::new(stepped)))
    }

    /// The time of the process whose simulator answers at `url` (its `/clock`). Asks once before it returns, and
    /// then keeps following; while that process is down, time stands.
    pub async fn follow(url: &str) -> Result<Clock, ClockError> {
        Ok(Clock(Arc::new(Kind::Followed(followed::Followed::start(url).await?))))
    }

    /// The city's time now. Never earlier than an answer given before.
    pub fn now(&self) -> DateTime<Utc> {
        match &*self.0 {
            Kind::Real => Utc::now(),
            Kind::Scaled(clock) => clock.now(),
            Kind::Stepped(clock) => clock.now(),
            Kind::Followed(clock) => clock.now(),
        }
    }

    /// City seconds a real second: 1 for the real clock; for the stepped one none, since it waits for work, not time.
    pub fn speed(&self) -> Option<f64> {
        match &*self.0 {
            Kind::Real => Some(1.0),
            Kind::Scaled(clock) => Some(clock.speed()),
            Kind::Stepped(_) => None,
            Kind::Followed(clock) => clock.speed(),
        }
    }

    /// What `/clock` answers for this clock.
    pub fn answer(&self) -> ClockAnswer {
        ClockAnswer { now: self.now(), speed: self.speed() }
    }

    /// Takes part in the city's work. A stepped clock stands while any participant is awake, so whoever does work that
    /// is due at a city time holds one, and waits for that time through it.
    pub fn participant(&self) -> Participant {
        if let Kind::Stepped(clock) = &*self.0 {
            clock.join();
        }
        Participant { clock: self.clone() }
    }

    /// Waits until the city's time is `instant` or later. Work that a stepped clock must wait for is done by a
    /// [`Participant`] instead; this is for those who only watch.
    pub async fn sleep_until(&self, instant: DateTime<Utc>) {
        if let Kind::Stepped(clock) = &*self.0 {
            return clock.sleep_until(instant).await;
        }
        loop {
            let left = (instant - self.now()).to_std().unwrap_or_default();
            if left.is_zero() {
                return;
            }
            // Followed clocks may stand or change their speed: look again at least every half second.
            let real = left.div_f64(self.speed().filter(|&speed| speed > 0.0).unwrap_or(1.0));
            tokio::time::sleep(real.clamp(SLEEP_MIN, SLEEP_MAX)).await;
        }
    }
}

const SLEEP_MIN: std::time::Duration = std::time::Duration::from_millis(1);
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_millis(500);

/// One worker for whom a stepped clock waits. Awake from its making on; asleep only inside [`Participant::sleep_until`];
/// gone when dropped.
pub struct Participant {
    clock: Clock,
}

impl Participant {
    /// Waits until the city's time is `instant` or later. Cancel-safe.
    pub async fn sleep_until(&mut self, instant: DateTime<Utc>) {
        match &*self.clock.0 {
            Kind::Stepped(clock) => clock.sleep_as_participant(instant).await,
            _ => self.clock.sleep_until(instant).await,
        }
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        if let Kind::Stepped(clock) = &*self.clock.0 {
            clock.leave();
        }
    }
}
