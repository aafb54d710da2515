//! A target: what is forecast, from which rollup, on which step and how far ahead.

use chrono::TimeDelta;

use crate::rollup::Rollup;

/// What is forecast.
#[derive(Debug)]
pub struct Target {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub rollup: &'static Rollup,
    /// Columns of the rollup that name a series; their values joined by `/` are its id, as `A-01/1`.
    pub series: &'static [&'static str],
    /// The rollup's column that is forecast.
    pub value: &'static str,
    /// The rollup's column that counts how many parts the value is the sum of. A value with fewer parts than usual (the
    /// most frequent count in the 28 days known at the origin) is null as feature, target and actual.
    pub parts: Option<&'static str>,
    /// Length of a step, in seconds. Origins lie on its grid in KST.
    pub step_seconds: i64,
    /// Steps ahead; horizon h is the interval [origin + (h−1)·step, origin + h·step).
    pub horizon: u32,
    /// Whether values below nought are impossible.
    pub non_negative: bool,
}

impl Target {
    pub fn by_name(name: &str) -> Option<&'static Target> {
        crate::TARGETS.iter().copied().find(|target| target.name == name)
    }

    pub fn step(&self) -> TimeDelta {
        TimeDelta::seconds(self.step_seconds)
    }
}
