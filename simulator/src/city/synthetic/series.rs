//! The character of one series: how much passes there, and when.

use super::places::Class;
use super::sensors::Sensor;
use crate::city::Lanes;
use crate::random::Random;

pub(super) struct Series {
    pub(super) class: Class,
    /// Vehicles an hour at a level of 1, by kind of day and hour of day.
    pub(super) profiles: [[f64; 24]; 3],
    /// How much of the volume a good rain takes, as a natural logarithm.
    pub(super) rain_log: f64,
    /// What falls away when half the city is at its parents', as a natural logarithm.
    pub(super) festival_log: f64,
    pub(super) lanes: Lanes,
    pub(super) sensor: Sensor,
    pub(super) noise: Noise,
}

/// The streams from which a series' own ups and downs are drawn.
pub(super) struct Noise {
    /// Roadworks, new housing, a market: over a week or two.
    pub(super) slow: Random,
    /// A day's mood.
    pub(super) day: Random,
    /// What no one can know.
    pub(super) hour: Random,
    pub(super) count: Random,
    pub(super) incident: Random,
}

impl Series {
    /// Invents the series of this number; both directions of a spot share its road.
    pub(super) fn invent(random: Random, number: usize, class: Class, direction: u8) -> Series {
        let road = random.branch("road").member(number / 2);
        let own = random.branch("series").member(number);
        let (low, high) = class.level();
        let level = low * (high / low).powf(road.unit(0)) * own.within(0, 0.85, 1.15);
        let profiles = profiles(class, direction, level, road, own);
        let mean =
            profiles.iter().zip([5.0, 1.0, 1.0]).map(|(hours, days)| hours.iter().sum::<f64>() * days).sum::<f64>() / 168.0;
        Series {
            class,
            profiles,
            rain_log: -own.within(1, 0.02, 0.09),
            festival_log: -match class {
                Class::Expressway | Class::Border => own.within(2, 0.0, 0.1),
                _ => own.within(2, 0.0, 0.2),
            },
            lanes: Lanes::of_level(mean, own.branch("lanes")),
            sensor: Sensor::new(random.branch("sensor").member(number), random.branch("cabinet").member(number / 2)),
            noise: Noise {
                slow: own.branch("slow"),
                day: own.branch("day"),
                hour: own.branch("hour"),
                count: own.branch("count"),
                incident: own.branch("incident"),
            },
        }
    }
}

/// Hour by hour for working days, Saturdays and days of rest: a night's floor, a day's plateau, and a rush on top of it
/// in the direction that goes to work, back in the evening.
fn profiles(class: Class, direction: u8, level: f64, road: Random, own: Random) -> [[f64; 24]; 3] {
    let night = {
        let (low, high) = class.night();
        // Small roads are the quietest at night.
        low * (high / low).powf(0.5 * road.unit(1) + 0.5 * road.unit(0))
    };
    let rush = own.within(3, 0.1, 0.35) * class.rush();
    let (morning, evening) = if direction == 1 { (rush, 0.4 * rush) } else { (0.4 * rush, rush) };
    let weekend = own.within(4, 0.86, 1.04);
    let mut profiles = [[0.0; 24]; 3];
    for (kind, hours) in profiles.iter_mut().enumerate() {
        for (hour, vehicles) in hours.iter_mut().enumerate() {
            let at = hour as f64 + 0.5;
            let shape = match kind {
                0 => 0.8 * plateau(at, 6.2, 0.6, 22.6) + morning * bell(at, 8.2, 1.1) + evening * bell(at, 18.4, 1.6),
                1 => weekend * (0.8 * plateau(at, 6.6, 0.8, 22.9) + 0.12 * bell(at, 14.0, 3.5)),
                _ => 0.95 * weekend * (0.76 * plateau(at, 7.0, 1.0, 22.2) + 0.16 * bell(at, 15.5, 3.0)),
            };
            // A habit of this very hour here: a school, a shift, a signal's plan.
            let habit = (0.05 * own.branch("habit").normal((kind * 24 + hour) as i64)).exp();
            *vehicles = level * (night + (1.0 - night) * shape) * habit;
        }
    }
    profiles
}

/// 0 at night, 1 by day: rises about `from` within `rise` hours, falls about `until`, past midnight if it must.
fn plateau(at: f64, from: f64, rise: f64, until: f64) -> f64 {
    let step = |x: f64| 1.0 / (1.0 + (-x).exp());
    step((at - from) / rise) * step((until - at) / FALL_HOURS) + step((until - 24.0 - at) / FALL_HOURS)
}

/// How slowly a day ends.
const FALL_HOURS: f64 = 0.8;

fn bell(at: f64, middle: f64, width: f64) -> f64 {
    (-((at - middle) / width).powi(2) / 2.0).exp()
}
