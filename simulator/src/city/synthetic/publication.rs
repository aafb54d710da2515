//! How the authority publishes what was counted: mostly whole after the delay, sometimes late, in part, or wrong at first.
//!
//! Whatever it does, it is done before the last time that the feed's schedule asks: what is seen then stays.

use catalog::feeds::traffic_volume::FEED;
use chrono::TimeDelta;

use crate::random::Random;

/// Before the last ask by so much everything is final: what is asked on time must find it.
const FINAL_BEFORE_LAST_ASK: TimeDelta = TimeDelta::minutes(15);
/// Shares of series-hours. Late ones come within the short re-reads mostly, some only for the last.
const LATE: f64 = 0.035;
const VERY_LATE: f64 = 0.007;
const LATE_MAX: TimeDelta = TimeDelta::minutes(380);
/// A lane that is missing at first.
const PARTIAL: f64 = 0.02;
/// A value that is corrected later.
const REVISED: f64 = 0.015;
/// Share of days on which nothing at all is published for some hours, and how many.
const STANDSTILL_DAYS: f64 = 0.04;
const STANDSTILL_HOURS: (i64, i64) = (2, 4);

/// What is to be seen of a series' hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// None while it is late.
    pub(super) total: Option<u32>,
    pub(super) missing_lane: Option<u8>,
}

pub(super) struct Publication {
    late: Random,
    partial: Random,
    revised: Random,
    standstill: Random,
}

impl Publication {
    pub(super) fn new(random: Random) -> Publication {
        Publication {
            late: random.branch("late"),
            partial: random.branch("partial"),
            revised: random.branch("revised"),
            standstill: random.branch("standstill"),
        }
    }

    /// Whether anything at all can be there so long after an hour's end.
    pub(super) fn open(&self, age: TimeDelta) -> bool {
        age >= FEED.delay()
    }

    /// What is there of a series in an hour (numbered from 1970), `age` after the hour's end, if `total` was counted.
    pub(super) fn seen(&self, series: usize, hour: i64, age: TimeDelta, total: u32) -> Seen {
        if age >= settled() {
            return Seen { total: Some(total), missing_lane: None };
        }
        if age < self.available(series, hour) {
            return Seen { total: None, missing_lane: None };
        }
        let correcting =
            |random: Random, share| random.chance(hour, share) && age < within(random.branch("until"), hour, settled());
        let total = match self.revised.member(series) {
            random if correcting(random, REVISED) => provisional(random, hour, total),
            _ => total,
        };
        let partial = self.partial.member(series);
        let missing_lane = correcting(partial, PARTIAL).then(|| partial.branch("lane").whole(hour, 1, 3) as u8);
        Seen { total: Some(total), missing_lane }
    }

    /// From when, after the hour's end, a series' hour is there at all.
    fn available(&self, series: usize, hour: i64) -> TimeDelta {
        let random = self.late.member(series);
        let own = match random.unit(hour) {
            draw if draw < VERY_LATE => within(random.branch("until"), hour, settled()),
            draw if draw < VERY_LATE + LATE => within(random.branch("until"), hour, LATE_MAX),
            _ => FEED.delay(),
        };
        own.max(self.standing_until(hour))
    }

    /// Until when, after the hour's end, nobody publishes anything, where the hour comes due in a standstill.
    fn standing_until(&self, hour: i64) -> TimeDelta {
        [hour.div_euclid(24), hour.div_euclid(24) - 1]
            .into_iter()
            .filter(|&day| self.standstill.chance(day, STANDSTILL_DAYS))
            .map(|day| {
                let begin = day * 24 + self.standstill.branch("begin").whole(day, 0, 23);
                begin..begin + self.standstill.branch("hours").whole(day, STANDSTILL_HOURS.0, STANDSTILL_HOURS.1)
            })
            .find(|standing| standing.contains(&hour))
            .map_or(FEED.delay(), |standing| FEED.delay() + TimeDelta::hours(standing.end - hour))
    }
}

/// How long after an hour's end everything is final.
fn settled() -> TimeDelta {
    FEED.settled_after() - FINAL_BEFORE_LAST_ASK
}

fn within(random: Random, at: i64, latest: TimeDelta) -> TimeDelta {
    let (first, last) = (FEED.delay().num_seconds(), latest.num_seconds());
    TimeDelta::seconds(random.whole(at, first, last))
}

/// The value before its correction: up to a fifth too low or too high, and never the final one.
fn provisional(random: Random, hour: i64, total: u32) -> u32 {
    let wrong = (f64::from(total) * random.branch("factor").within(hour, 0.8, 1.2)).round() as u32;
    if wrong == total { total + 1 } else { wrong }
}
