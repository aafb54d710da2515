//! How many vehicles pass: the calendar's pattern, moved by weather, moods, accidents and chance.
//!
//! The sizes are chosen so that a forecaster finds here about what it finds in the real city (2022-09 and -10): last
//! week's value errs by a tenth, the mean of four days alike by seven tenths of that, a good model by six.

use chrono::Weekday;

use super::calendar::{Calendar, Day};
use super::places::Class;
use super::series::Series;
use super::weather::Weather;
use crate::random::Random;

/// Most vehicles in an hour and direction: what the feed's contract allows in one lane.
const COUNT_MAX: u32 = 30_000;

/// Standard deviations, as natural logarithms, of what the calendar doesn't know.
const CITY_SLOW: f64 = 0.015;
const CITY_DAY: f64 = 0.015;
const OWN_SLOW: f64 = 0.025;
const OWN_DAY: f64 = 0.03;
const OWN_HOUR: f64 = 0.048;
/// Hours from one independent value to the next.
const CITY_SLOW_HOURS: f64 = 12.0 * 24.0;
const CITY_DAY_HOURS: f64 = 30.0;
const OWN_SLOW_HOURS: f64 = 9.0 * 24.0;
const OWN_DAY_HOURS: f64 = 26.0;
/// Share of days on which an accident blocks a road somewhere along a series.
const INCIDENT_DAYS: f64 = 0.015;
/// Share of Saturdays with a march through the centre, and what it leaves of the traffic.
const MARCH_SATURDAYS: f64 = 0.25;
const MARCH_LOG: f64 = -0.4;

/// What all series share in one hour.
pub(super) struct Moment {
    pub(super) hour: i64,
    day: Day,
    day_number: i64,
    hour_of_day: usize,
    wetness: f64,
    city_log: f64,
    march: bool,
}

pub(super) struct Demand {
    calendar: Calendar,
    weather: Weather,
    slow: Random,
    mood: Random,
    march: Random,
}

impl Demand {
    pub(super) fn new(random: Random) -> Demand {
        Demand {
            calendar: Calendar::new(),
            weather: Weather::new(random.branch("weather")),
            slow: random.branch("city slow"),
            mood: random.branch("city mood"),
            march: random.branch("march"),
        }
    }

    pub(super) fn moment(&self, hour: i64) -> Moment {
        let (day, day_number, hour_of_day) = self.calendar.day(hour);
        let at = hour as f64;
        let mut city_log = day.weekday_log
            + CITY_SLOW * self.slow.smooth(at / CITY_SLOW_HOURS)
            + CITY_DAY * self.mood.smooth(at / CITY_DAY_HOURS);
        if day.eve && (14..21).contains(&hour_of_day) {
            city_log += 0.08;
        }
        Moment {
            hour,
            day,
            day_number,
            hour_of_day,
            wetness: self.weather.wetness(hour, day.month),
            city_log,
            march: day.weekday == Weekday::Sat
                && (13..18).contains(&hour_of_day)
                && self.march.chance(day_number, MARCH_SATURDAYS),
        }
    }

    /// Vehicles that pass in an hour.
    pub(super) fn count(&self, series: &Series, moment: &Moment) -> u32 {
        let mean = self.expected(series, moment) * (OWN_HOUR * series.noise.hour.normal(moment.hour)).exp();
        series.noise.count.poisson(moment.hour, mean).min(COUNT_MAX)
    }

    /// Vehicles that one who knew everything but the hour's own chance would expect.
    pub(super) fn expected(&self, series: &Series, moment: &Moment) -> f64 {
        let at = moment.hour as f64;
        let mut log = moment.city_log
            + OWN_SLOW * series.noise.slow.smooth(at / OWN_SLOW_HOURS)
            + OWN_DAY * series.noise.day.smooth(at / OWN_DAY_HOURS)
            + series.rain_log * moment.wetness
            + incident_log(series.noise.incident, moment);
        if moment.day.festival {
            log += series.festival_log;
        }
        if moment.march && series.class == Class::Centre {
            log += MARCH_LOG;
        }
        series.profiles[moment.day.kind as usize][moment.hour_of_day] * log.exp()
    }
}

/// What an accident leaves, from one to four hours long, if the day has one.
fn incident_log(random: Random, moment: &Moment) -> f64 {
    if !random.chance(moment.day_number, INCIDENT_DAYS) {
        return 0.0;
    }
    let draw = random.branch("how");
    let begin = draw.whole(moment.day_number * 3, 6, 20);
    let hours = draw.whole(moment.day_number * 3 + 1, 1, 4);
    match (begin..begin + hours).contains(&(moment.hour_of_day as i64)) {
        true => draw.within(moment.day_number * 3 + 2, 0.3, 0.8).ln(),
        false => 0.0,
    }
}
