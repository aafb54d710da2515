//! Korean Standard Time, the edge's time: UTC+9 the whole year. Inside, everything is UTC.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};

/// UTC+9. Korea has had no summer time since 1988.
pub const KST: FixedOffset = FixedOffset::east_opt(9 * 3600).expect("nine hours is an offset");

/// The instant as Seoul's clocks show it.
pub fn at_kst(instant: DateTime<Utc>) -> DateTime<FixedOffset> {
    instant.with_timezone(&KST)
}

/// The date in Seoul at an instant.
pub fn date_kst(instant: DateTime<Utc>) -> NaiveDate {
    at_kst(instant).date_naive()
}

/// The instant at which a date begins in Seoul.
pub fn midnight_kst(date: NaiveDate) -> DateTime<Utc> {
    from_kst(date.and_time(NaiveTime::MIN))
}

/// The instant at which Seoul's clocks show `local`.
pub fn from_kst(local: NaiveDateTime) -> DateTime<Utc> {
    KST.from_local_datetime(&local).single().expect("a fixed offset is never ambiguous").to_utc()
}

/// The last point of the grid of `step` at or before an instant; the grid begins at midnight in Seoul.
pub fn floor(instant: DateTime<Utc>, step: TimeDelta) -> DateTime<Utc> {
    let offset = KST.local_minus_utc() as i64;
    let step = step.num_seconds();
    assert!(step > 0, "a grid's step is positive");
    let local = instant.timestamp() + offset;
    DateTime::from_timestamp(local - local.rem_euclid(step) - offset, 0).expect("within chrono's range")
}

/// Hour of the week in Seoul, 0 = Monday 00 h.
pub fn hour_of_week(instant: DateTime<Utc>) -> u32 {
    let local = at_kst(instant);
    local.weekday().num_days_from_monday() * 24 + local.hour()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_of_days_begins_at_midnight_in_seoul() {
        let instant = "2022-10-01T14:59:59Z".parse().unwrap();
        assert_eq!(floor(instant, TimeDelta::days(1)), "2022-09-30T15:00:00Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(floor(instant, TimeDelta::hours(1)), "2022-10-01T14:00:00Z".parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn monday_midnight_is_hour_nought_of_the_week() {
        assert_eq!(hour_of_week("2022-10-02T15:00:00Z".parse().unwrap()), 0);
        assert_eq!(hour_of_week("2022-10-02T14:00:00Z".parse().unwrap()), 167);
    }
}
