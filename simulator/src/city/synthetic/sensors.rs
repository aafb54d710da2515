//! Sensors that die, get stuck or miss an hour: what of the traffic was finally counted.

use crate::random::Random;

/// A life in eras: in some a sensor is dead throughout, in few it repeats one number.
const ERA_HOURS: i64 = 150 * 24;
const ERA_DEAD: f64 = 0.07;
const ERA_STUCK: f64 = 0.008;
/// Outages of hours or days: at most one begins in each spell.
const SPELL_HOURS: i64 = 9 * 24;
const OUTAGE: f64 = 0.15;
const OUTAGE_MEAN_HOURS: f64 = 14.0;
const OUTAGE_MAX_HOURS: f64 = 96.0;
/// The cabinet by the road serves both directions.
const CABINET_OUTAGE: f64 = 0.08;
/// Repeating the last count for a while.
const STUCK: f64 = 0.03;
const STUCK_HOURS: (i64, i64) = (5, 40);
/// Single hours that are simply missing.
const HOUR_MISSING: f64 = 0.01;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Counts,
    Dead,
    /// Repeats what it counted in this hour.
    StuckSince(i64),
}

pub(super) struct Sensor {
    era: Random,
    outage: Random,
    cabinet: Random,
    stuck: Random,
    missing: Random,
}

impl Sensor {
    pub(super) fn new(own: Random, cabinet: Random) -> Sensor {
        Sensor {
            era: own.branch("era"),
            outage: own.branch("outage"),
            cabinet,
            stuck: own.branch("stuck"),
            missing: own.branch("missing"),
        }
    }

    pub(super) fn state(&self, hour: i64) -> State {
        // Each sensor's eras begin at another time, so that always some die and some come to life.
        let shifted = hour + self.era.whole(-1, 0, ERA_HOURS - 1);
        let era = shifted.div_euclid(ERA_HOURS);
        let fate = self.era.unit(era);
        if fate < ERA_DEAD || self.missing.chance(hour, HOUR_MISSING) {
            return State::Dead;
        }
        if began(self.outage, hour, OUTAGE, outage_hours).or(began(self.cabinet, hour, CABINET_OUTAGE, outage_hours)).is_some() {
            return State::Dead;
        }
        if fate < ERA_DEAD + ERA_STUCK {
            return State::StuckSince(hour - shifted.rem_euclid(ERA_HOURS));
        }
        let stuck_hours = |random: Random, at| random.whole(at, STUCK_HOURS.0, STUCK_HOURS.1);
        began(self.stuck, hour, STUCK, stuck_hours).map_or(State::Counts, State::StuckSince)
    }
}

/// When the trouble that covers an hour began, if there is any: drawn once a spell, it may reach into the next.
fn began(random: Random, hour: i64, probability: f64, hours: impl Fn(Random, i64) -> i64) -> Option<i64> {
    let spell = hour.div_euclid(SPELL_HOURS);
    [spell, spell - 1].into_iter().find_map(|spell| {
        if !random.chance(spell, probability) {
            return None;
        }
        let begin = spell * SPELL_HOURS + random.branch("begin").whole(spell, 0, SPELL_HOURS - 1);
        (begin..begin + hours(random.branch("hours"), spell)).contains(&hour).then_some(begin)
    })
}

fn outage_hours(random: Random, at: i64) -> i64 {
    (-random.unit(at).max(f64::MIN_POSITIVE).ln() * OUTAGE_MEAN_HOURS).clamp(1.0, OUTAGE_MAX_HOURS).ceil() as i64
}
