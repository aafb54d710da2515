//! A small made-up city for tests: days, weeks, holidays, noise, gaps, lanes, late and revised values, all from a seed.

use catalog::kst;
use chrono::{DateTime, TimeDelta, Utc};

use crate::calendar::{Calendar, day_of};
use crate::history::{History, Revision};

/// Where the made-up history begins: midnight KST.
pub fn start() -> DateTime<Utc> {
    "2022-05-31T15:00:00Z".parse().expect("it is an instant")
}

/// The states of every cell of `series` × `days`, in a fixed order.
pub fn states(seed: u64, series: usize, days: i64) -> Vec<(usize, DateTime<Utc>, Revision)> {
    let calendar = Calendar::new(start(), start() + TimeDelta::days(days));
    let mut random = Random(seed);
    let mut states = Vec::new();
    for number in 0..series {
        for hour in 0..days * 24 {
            let at = start() + TimeDelta::hours(hour);
            if random.below(20) == 0 {
                continue;
            }
            let of_day = f64::from(kst::hour_of_week(at) % 24);
            let daily = 1.0 + (std::f64::consts::TAU * (of_day - 8.0) / 24.0).sin() * 0.8;
            let free = if calendar.free(day_of(at)) { 0.7 } else { 1.0 };
            let noise = 0.9 + random.below(1000) as f64 / 5000.0;
            let value = ((200.0 + 300.0 * number as f64) * daily * free * noise).round();
            let received_at = at + TimeDelta::minutes(90);
            match random.below(12) {
                // A lane is late by two hours: first three lanes, then all four.
                0 => {
                    states.push((number, at, Revision { value: (value * 0.75).round(), parts: Some(3), received_at }));
                    states.push((number, at, Revision { value, parts: Some(4), received_at: received_at + TimeDelta::hours(2) }));
                }
                // Revised a day later.
                1 => {
                    states.push((number, at, Revision { value, parts: Some(4), received_at }));
                    let value = (value * 1.3).round();
                    states.push((
                        number,
                        at,
                        Revision { value, parts: Some(4), received_at: received_at + TimeDelta::hours(24) },
                    ));
                }
                _ => states.push((number, at, Revision { value, parts: Some(4), received_at })),
            }
        }
    }
    states
}

pub fn history(states: &[(usize, DateTime<Utc>, Revision)], series: usize, days: i64) -> History {
    let names = (0..series).map(|number| format!("A-{number:02}/1")).collect();
    let mut history = History::new(names, start(), TimeDelta::hours(1), (days * 24) as usize).expect("a small history");
    for &(series, at, revision) in states {
        history.insert(series, at, revision).expect("it fits");
    }
    history
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
