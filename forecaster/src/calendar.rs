//! Seoul's calendar as features need it: kinds of day, free days around a day, and the earlier days like it.
//!
//! Days are numbered from 1970-01-01 in KST. A public holiday counts as a Sunday. Where the catalog's table of holidays
//! does not cover a year, its days are weekdays only.

use catalog::holidays;
use catalog::kst::KST;
use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Days looked back for earlier days of one kind: thirteen weeks.
pub const LIKE_DAYS_BACK: i64 = 91;
/// Days around a day whose kind is looked at when it is described.
const MARGIN_DAYS: i64 = 4;

const DAY_SECONDS: i64 = 24 * 3600;

/// Number of the day in Seoul that an instant lies in.
pub fn day_of(instant: DateTime<Utc>) -> i64 {
    (instant.timestamp() + i64::from(KST.local_minus_utc())).div_euclid(DAY_SECONDS)
}

/// Seconds since midnight in Seoul.
pub fn second_of_day(instant: DateTime<Utc>) -> i64 {
    (instant.timestamp() + i64::from(KST.local_minus_utc())).rem_euclid(DAY_SECONDS)
}

/// The days from `first` to `last`, each described once.
pub struct Calendar {
    first: i64,
    days: Vec<Day>,
    like: Vec<Vec<i64>>,
    in_class: Vec<Vec<i64>>,
    same: Vec<Vec<i64>>,
}

#[derive(Clone, Copy)]
struct Day {
    weekday: u8,
    holiday: bool,
}

impl Day {
    fn of(number: i64) -> Day {
        let date = NaiveDate::from_epoch_days(i32::try_from(number).expect("a day within chrono's range"))
            .expect("a day within chrono's range");
        Day { weekday: date.weekday().num_days_from_monday() as u8, holiday: holidays::holiday(date).is_some() }
    }

    /// 0 = Monday … 6 = Sunday or public holiday.
    fn kind(self) -> u8 {
        if self.holiday { 6 } else { self.weekday }
    }

    /// The kind, but public holidays apart from Sundays: 7.
    fn sort(self) -> u8 {
        if self.holiday { 7 } else { self.weekday }
    }

    /// 0 = workday, 1 = Saturday, 2 = Sunday or public holiday.
    fn class(self) -> u8 {
        self.kind().saturating_sub(4)
    }
}

impl Calendar {
    /// Describes the days in which the instants from `from` to `to` lie.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Calendar {
        let (first, last) = (day_of(from) - LIKE_DAYS_BACK - MARGIN_DAYS, day_of(to) + MARGIN_DAYS);
        let days: Vec<Day> = (first..=last).map(Day::of).collect();
        let earlier = |same: &dyn Fn(Day) -> u8| -> Vec<Vec<i64>> {
            let of = |day: i64| same(days[(day - first) as usize]);
            let back = |day: i64| (day - LIKE_DAYS_BACK).max(first)..day;
            (first..=last)
                .map(|day| back(day).rev().filter(|&other| of(other) == of(day)).map(|other| day - other).collect())
                .collect()
        };
        let (like, in_class, same) = (earlier(&Day::kind), earlier(&Day::class), earlier(&Day::sort));
        Calendar { first, days, like, in_class, same }
    }

    fn day(&self, day: i64) -> Day {
        self.days[usize::try_from(day - self.first).expect("a calendar is asked about its own days")]
    }

    /// 0 = Monday … 6 = Sunday.
    pub fn weekday(&self, day: i64) -> u8 {
        self.day(day).weekday
    }

    /// 0 = Monday … 5 = Saturday, 6 = Sunday or public holiday.
    pub fn kind(&self, day: i64) -> u8 {
        self.day(day).kind()
    }

    pub fn holiday(&self, day: i64) -> bool {
        self.day(day).holiday
    }

    /// Sunday or public holiday.
    pub fn red(&self, day: i64) -> bool {
        self.day(day).kind() == 6
    }

    /// Saturday, Sunday or public holiday.
    pub fn free(&self, day: i64) -> bool {
        self.day(day).kind() >= 5
    }

    /// How many days before `day` the earlier days of its kind lie, newest first.
    pub fn like(&self, day: i64) -> &[i64] {
        &self.like[usize::try_from(day - self.first).expect("a calendar is asked about its own days")]
    }

    /// How many days before `day` the earlier days of its weekday that are no holidays lie, or for a holiday the earlier
    /// holidays, newest first.
    pub fn same(&self, day: i64) -> &[i64] {
        &self.same[usize::try_from(day - self.first).expect("a calendar is asked about its own days")]
    }

    /// How many days before `day` the earlier days of its class lie (workday, Saturday, Sunday or holiday), newest first.
    pub fn in_class(&self, day: i64) -> &[i64] {
        &self.in_class[usize::try_from(day - self.first).expect("a calendar is asked about its own days")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::kst::midnight_kst;

    fn day(text: &str) -> i64 {
        day_of(midnight_kst(text.parse().unwrap()))
    }

    #[test]
    fn a_holiday_is_like_the_sundays_and_holidays_before_it() {
        let at = midnight_kst("2022-10-10".parse().unwrap());
        let calendar = Calendar::new(at, at);
        // Hangeul Day (9th), Sunday 2nd with National Foundation Day on Monday 3rd, then the Sundays and Chuseok.
        assert_eq!(calendar.like(day("2022-10-10"))[..6], [1, 7, 8, 15, 22, 28]);
        assert_eq!(calendar.like(day("2022-10-11"))[..4], [7, 14, 21, 28]);
        assert_eq!(calendar.in_class(day("2022-10-11"))[..4], [4, 5, 6, 7], "Friday 7th to Tuesday 4th: workdays");
        assert_eq!(calendar.same(day("2022-10-10"))[..3], [1, 7, 28], "Hangeul, National Foundation and Chuseok");
        assert!(calendar.red(day("2022-10-10")) && !calendar.red(day("2022-10-08")) && calendar.free(day("2022-10-08")));
    }

    #[test]
    fn midnight_in_seoul_begins_the_day() {
        let midnight = midnight_kst("2022-10-10".parse().unwrap());
        assert_eq!(day_of(midnight - chrono::TimeDelta::seconds(1)) + 1, day_of(midnight));
        assert_eq!(second_of_day(midnight + chrono::TimeDelta::minutes(61)), 3660);
    }
}
