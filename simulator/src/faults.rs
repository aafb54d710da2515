//! Misbehaviour on request: what public servers do on bad days, in chosen shares of requests.
//!
//! Which request gets which fault hangs only on the seed and on how many requests came since the faults were set. Off
//! by default. The simulator's own paths (`/clock`, `/truth`, `/faults`) are never touched.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use crate::SimulatorError;
use crate::random::Random;

/// Longest delay of a slow answer: beyond it one means `hang`.
const SLOW_MS_MAX: u64 = 600_000;

/// Shares of requests, each from 0 to 1, together at most 1. Left-out members are 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The same seed gives the same requests the same faults.
    pub seed: u64,
    /// HTTP status 500.
    pub http_500: f64,
    /// An HTML page with HTTP 200 that speaks of maintenance.
    pub maintenance: f64,
    /// No answer at all, until the asker or the simulator goes.
    pub hang: f64,
    /// An answer cut in its middle.
    pub truncated: f64,
    /// The envelope ERROR-500, HTTP 200.
    pub error_500: f64,
    /// The envelope ERROR-600, HTTP 200.
    pub error_600: f64,
    /// An answer that is right, but late by `slow_ms` of real time.
    pub slow: f64,
    pub slow_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Http500,
    Maintenance,
    Hang,
    Truncated,
    Error500,
    Error600,
    Slow { ms: u64 },
}

impl Fault {
    /// For a metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Http500 => "http_500",
            Fault::Maintenance => "maintenance",
            Fault::Hang => "hang",
            Fault::Truncated => "truncated",
            Fault::Error500 => "error_500",
            Fault::Error600 => "error_600",
            Fault::Slow { .. } => "slow",
        }
    }
}

impl Faults {
    fn shares(&self) -> [(f64, Fault); 7] {
        [
            (self.http_500, Fault::Http500),
            (self.maintenance, Fault::Maintenance),
            (self.hang, Fault::Hang),
            (self.truncated, Fault::Truncated),
            (self.error_500, Fault::Error500),
            (self.error_600, Fault::Error600),
            (self.slow, Fault::Slow { ms: self.slow_ms }),
        ]
    }

    pub(crate) fn check(&self) -> Result<(), SimulatorError> {
        let refuse = |detail: String| Err(SimulatorError::Faults { detail });
        for (share, fault) in self.shares() {
            if !(0.0..=1.0).contains(&share) {
                return refuse(format!("\"{}\" is {share}, but a share lies between 0 and 1", fault.name()));
            }
        }
        let sum: f64 = self.shares().iter().map(|(share, _)| share).sum();
        if sum > 1.0 + f64::EPSILON {
            return refuse(format!("the shares sum to {sum}, but a request has at most one fault: lower them to at most 1"));
        }
        if self.slow_ms > SLOW_MS_MAX {
            return refuse(format!("\"slow_ms\" is {}, but at most {SLOW_MS_MAX}; use \"hang\" beyond it", self.slow_ms));
        }
        Ok(())
    }

    /// The fault of the request with this number since the faults were set.
    fn of_request(&self, number: i64) -> Option<Fault> {
        let mut draw = Random::new(self.seed).branch("faults").unit(number);
        self.shares().into_iter().find_map(|(share, fault)| {
            let hit = draw < share;
            draw -= share;
            hit.then_some(fault)
        })
    }
}

/// The faults now in force, changeable while requests run. Without faults a request costs one atomic read here.
pub(crate) struct FaultSwitch {
    on: AtomicBool,
    faults: RwLock<Faults>,
    requests: AtomicI64,
}

impl FaultSwitch {
    pub(crate) fn new(faults: Faults) -> Result<FaultSwitch, SimulatorError> {
        let switch = FaultSwitch { on: AtomicBool::new(false), faults: RwLock::default(), requests: AtomicI64::new(0) };
        switch.set(faults)?;
        Ok(switch)
    }

    /// Replaces the faults and begins to count requests anew.
    pub(crate) fn set(&self, faults: Faults) -> Result<(), SimulatorError> {
        faults.check()?;
        let mut now = self.faults.write().expect("no holder of the faults panics");
        self.on.store(faults.shares().iter().any(|(share, _)| *share > 0.0), Ordering::Release);
        self.requests.store(0, Ordering::Relaxed);
        *now = faults;
        Ok(())
    }

    pub(crate) fn get(&self) -> Faults {
        self.faults.read().expect("no holder of the faults panics").clone()
    }

    /// What befalls the next request.
    pub(crate) fn next(&self) -> Option<Fault> {
        if !self.on.load(Ordering::Acquire) {
            return None;
        }
        let faults = self.faults.read().expect("no holder of the faults panics");
        faults.of_request(self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_a_seed_repeats_its_faults() {
        let faults = Faults { seed: 5, hang: 0.1, slow: 0.3, slow_ms: 20, ..Faults::default() };
        let count = |fault| (0..10_000).filter(|&number| faults.of_request(number) == Some(fault)).count() as f64 / 10_000.0;
        assert!((count(Fault::Hang) - 0.1).abs() < 0.01);
        assert!((count(Fault::Slow { ms: 20 }) - 0.3).abs() < 0.02);
        let switch = FaultSwitch::new(faults.clone()).unwrap();
        let first: Vec<_> = (0..100).map(|_| switch.next()).collect();
        switch.set(faults.clone()).unwrap();
        assert_eq!((0..100).map(|_| switch.next()).collect::<Vec<_>>(), first);
        switch.set(Faults { seed: 6, ..faults }).unwrap();
        assert_ne!((0..100).map(|_| switch.next()).collect::<Vec<_>>(), first);
    }

    #[test]
    fn impossible_faults_are_refused_with_the_reason() {
        let message = |faults: Faults| faults.check().unwrap_err().to_string();
        insta::assert_snapshot!(message(Faults { hang: 1.5, ..Faults::default() }), @r#"impossible faults: "hang" is 1.5, but a share lies between 0 and 1"#);
        insta::assert_snapshot!(message(Faults { hang: 0.7, slow: 0.7, ..Faults::default() }), @"impossible faults: the shares sum to 1.4, but a request has at most one fault: lower them to at most 1");
        assert!(message(Faults { http_500: f64::NAN, ..Faults::default() }).contains("http_500"));
    }
}
