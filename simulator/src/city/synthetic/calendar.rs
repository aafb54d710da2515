//! What kind of day it is in Seoul.

use std::ops::Range;

use catalog::holidays::{covers, holiday};
use catalog::kst::midnight_kst;
use chrono::{DateTime, Datelike, NaiveDate, Utc, Weekday};

/// Hours that Seoul's clocks are ahead of UTC.
const KST_HOURS: i64 = 9;
/// Days between 0001-01-01 (day 1 of chrono's count) and 1970-01-01.
const DAYS_CE_1970: i64 = 719_163;

/// A day's kind, in the order of a series' profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Working,
    Saturday,
    /// Sundays and public holidays.
    Rest,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    pub(super) kind: Kind,
    /// Seollal or Chuseok: half the city is away.
    pub(super) festival: bool,
    /// A working day before a day of rest that isn't a plain weekend: the evening rush is long and early.
    pub(super) eve: bool,
    /// Natural logarithm of what the weekday alone does to the volume.
    pub(super) weekday_log: f64,
    /// Month, from 1.
    pub(super) month: u32,
    pub(super) weekday: Weekday,
}

/// The days of the years whose holidays are known, worked out once.
pub(super) struct Calendar {
    first: i64,
    days: Vec<Day>,
}

impl Calendar {
    pub(super) fn new() -> Calendar {
        let years = years();
        let first = day_number(NaiveDate::from_yo_opt(years.start, 1).expect("a year's first day"));
        let last = day_number(NaiveDate::from_yo_opt(years.end, 1).expect("a year's first day"));
        Calendar { first, days: (first..last).map(|number| day(date(number))).collect() }
    }

    /// The instants at which those years begin and end in Seoul.
    pub(super) fn period() -> Range<DateTime<Utc>> {
        let begin = |year| midnight_kst(NaiveDate::from_yo_opt(year, 1).expect("a year's first day"));
        begin(years().start)..begin(years().end)
    }

    /// The day in which an hour (numbered from 1970, UTC) lies, the day's number, and the hour of the day.
    pub(super) fn day(&self, hour: i64) -> (Day, i64, usize) {
        let local = hour + KST_HOURS;
        let number = local.div_euclid(24);
        let known = usize::try_from(number - self.first).ok().and_then(|at| self.days.get(at).copied());
        // Outside the known years holidays are unknown, and this city keeps none.
        (known.unwrap_or_else(|| day(date(number))), number, local.rem_euclid(24) as usize)
    }
}

/// The unbroken run of years that the catalog's table of holidays covers around the default start.
fn years() -> Range<i32> {
    let known = super::start_default().year();
    assert!(covers(known), "the catalog knows the holidays of the default start");
    let first = (0..known).rev().find(|&year| !covers(year)).map_or(0, |year| year + 1);
    let end = (known..).find(|&year| !covers(year)).expect("no table covers all years");
    first..end
}

fn day(date: NaiveDate) -> Day {
    let kind = kind(date);
    let morrow = date.succ_opt().expect("within chrono's range");
    let name = holiday(date).unwrap_or_default();
    let weekday = date.weekday();
    Day {
        kind,
        festival: name.starts_with("Seollal") || name.starts_with("Chuseok"),
        eve: kind == Kind::Working && holiday(morrow).is_some(),
        weekday_log: match weekday {
            Weekday::Mon => -0.015,
            Weekday::Fri => 0.03,
            _ => 0.0,
        },
        month: date.month(),
        weekday,
    }
}

fn kind(date: NaiveDate) -> Kind {
    match (holiday(date), date.weekday()) {
        (Some(_), _) | (None, Weekday::Sun) => Kind::Rest,
        (None, Weekday::Sat) => Kind::Saturday,
        _ => Kind::Working,
    }
}

fn day_number(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - DAYS_CE_1970
}

fn date(number: i64) -> NaiveDate {
    i32::try_from(number + DAYS_CE_1970).ok().and_then(NaiveDate::from_num_days_from_ce_opt).expect("within chrono's range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::city::hour_number;

    #[test]
    fn days_begin_at_midnight_in_seoul_and_know_their_holidays() {
        let calendar = Calendar::new();
        let at = |text: &str| calendar.day(hour_number(text.parse().unwrap()));
        let (friday, number, hour) = at("2022-09-30T14:00:00Z");
        assert_eq!((friday.kind, hour), (Kind::Working, 23));
        let (saturday, next, hour) = at("2022-09-30T15:00:00Z");
        assert_eq!((saturday.kind, next, hour), (Kind::Saturday, number + 1, 0));
        let (eve, ..) = at("2022-09-08T03:00:00Z");
        let (chuseok, ..) = at("2022-09-09T03:00:00Z");
        assert!(eve.eve && !eve.festival);
        assert!(chuseok.festival && chuseok.kind == Kind::Rest && !chuseok.eve);
    }

    #[test]
    fn the_period_is_whole_years_around_the_default_start() {
        let period = Calendar::period();
        assert!(period.contains(&super::super::start_default()));
        assert!(period.start.timestamp() % 3600 == 0 && covers(2022));
    }
}
