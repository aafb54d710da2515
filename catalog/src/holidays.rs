//! Korean public holidays, substitute ones too.
//!
//! Source: 관공서의 공휴일에 관한 규정 (Presidential Decree on public offices' holidays), the dates as published each
//! year by the Korea Astronomy and Space Science Institute (월력요항), with the elections and temporary holidays that
//! the cabinet declared. A year that is missing here is unknown, not free of holidays: [`covers`] says which.

use chrono::{Datelike, NaiveDate};

/// A holiday: month, day and name.
pub type Holiday = (u32, u32, &'static str);

/// Each year's holidays, ascending.
pub const HOLIDAYS: &[(i32, &[Holiday])] = &[
    (
        2021,
        &[
            (1, 1, "New Year's Day"),
            (2, 11, "Seollal"),
            (2, 12, "Seollal"),
            (2, 13, "Seollal"),
            (3, 1, "Independence Movement Day"),
            (5, 5, "Children's Day"),
            (5, 19, "Buddha's Birthday"),
            (6, 6, "Memorial Day"),
            (8, 15, "Liberation Day"),
            (8, 16, "Liberation Day (substitute)"),
            (9, 20, "Chuseok"),
            (9, 21, "Chuseok"),
            (9, 22, "Chuseok"),
            (10, 3, "National Foundation Day"),
            (10, 4, "National Foundation Day (substitute)"),
            (10, 9, "Hangeul Day"),
            (10, 11, "Hangeul Day (substitute)"),
            (12, 25, "Christmas Day"),
        ],
    ),
    (
        2022,
        &[
            (1, 1, "New Year's Day"),
            (1, 31, "Seollal"),
            (2, 1, "Seollal"),
            (2, 2, "Seollal"),
            (3, 1, "Independence Movement Day"),
            (3, 9, "Presidential election"),
            (5, 5, "Children's Day"),
            (5, 8, "Buddha's Birthday"),
            (6, 1, "Local elections"),
            (6, 6, "Memorial Day"),
            (8, 15, "Liberation Day"),
            (9, 9, "Chuseok"),
            (9, 10, "Chuseok"),
            (9, 11, "Chuseok"),
            (9, 12, "Chuseok (substitute)"),
            (10, 3, "National Foundation Day"),
            (10, 9, "Hangeul Day"),
            (10, 10, "Hangeul Day (substitute)"),
            (12, 25, "Christmas Day"),
        ],
    ),
    (
        2023,
        &[
            (1, 1, "New Year's Day"),
            (1, 21, "Seollal"),
            (1, 22, "Seollal"),
            (1, 23, "Seollal"),
            (1, 24, "Seollal (substitute)"),
            (3, 1, "Independence Movement Day"),
            (5, 5, "Children's Day"),
            (5, 27, "Buddha's Birthday"),
            (5, 29, "Buddha's Birthday (substitute)"),
            (6, 6, "Memorial Day"),
            (8, 15, "Liberation Day"),
            (9, 28, "Chuseok"),
            (9, 29, "Chuseok"),
            (9, 30, "Chuseok"),
            (10, 2, "temporary holiday"),
            (10, 3, "National Foundation Day"),
            (10, 9, "Hangeul Day"),
            (12, 25, "Christmas Day"),
        ],
    ),
    (
        2024,
        &[
            (1, 1, "New Year's Day"),
            (2, 9, "Seollal"),
            (2, 10, "Seollal"),
            (2, 11, "Seollal"),
            (2, 12, "Seollal (substitute)"),
            (3, 1, "Independence Movement Day"),
            (4, 10, "National Assembly election"),
            (5, 5, "Children's Day"),
            (5, 6, "Children's Day (substitute)"),
            (5, 15, "Buddha's Birthday"),
            (6, 6, "Memorial Day"),
            (8, 15, "Liberation Day"),
            (9, 16, "Chuseok"),
            (9, 17, "Chuseok"),
            (9, 18, "Chuseok"),
            (10, 1, "Armed Forces Day (temporary)"),
            (10, 3, "National Foundation Day"),
            (10, 9, "Hangeul Day"),
            (12, 25, "Christmas Day"),
        ],
    ),
    (
        2025,
        &[
            (1, 1, "New Year's Day"),
            (1, 27, "temporary holiday"),
            (1, 28, "Seollal"),
            (1, 29, "Seollal"),
            (1, 30, "Seollal"),
            (3, 1, "Independence Movement Day"),
            (3, 3, "Independence Movement Day (substitute)"),
            (5, 5, "Children's Day, Buddha's Birthday"),
            (5, 6, "Children's Day (substitute)"),
            (6, 3, "Presidential election"),
            (6, 6, "Memorial Day"),
            (8, 15, "Liberation Day"),
            (10, 3, "National Foundation Day"),
            (10, 5, "Chuseok"),
            (10, 6, "Chuseok"),
            (10, 7, "Chuseok"),
            (10, 8, "Chuseok (substitute)"),
            (10, 9, "Hangeul Day"),
            (12, 25, "Christmas Day"),
        ],
    ),
    (
        2026,
        &[
            (1, 1, "New Year's Day"),
            (2, 16, "Seollal"),
            (2, 17, "Seollal"),
            (2, 18, "Seollal"),
            (3, 1, "Independence Movement Day"),
            (3, 2, "Independence Movement Day (substitute)"),
            (5, 5, "Children's Day"),
            (5, 24, "Buddha's Birthday"),
            (5, 25, "Buddha's Birthday (substitute)"),
            (6, 3, "Local elections"),
            (6, 6, "Memorial Day"),
            (8, 15, "Liberation Day"),
            (8, 17, "Liberation Day (substitute)"),
            (9, 24, "Chuseok"),
            (9, 25, "Chuseok"),
            (9, 26, "Chuseok"),
            (10, 3, "National Foundation Day"),
            (10, 5, "National Foundation Day (substitute)"),
            (10, 9, "Hangeul Day"),
            (12, 25, "Christmas Day"),
        ],
    ),
];

/// The holiday's name, if a date (in Seoul) is one.
pub fn holiday(date: NaiveDate) -> Option<&'static str> {
    let (_, days) = HOLIDAYS.iter().find(|(year, _)| *year == date.year())?;
    days.iter().find(|(month, day, _)| (*month, *day) == (date.month(), date.day())).map(|(_, _, name)| *name)
}

/// Whether the table knows the holidays of a year.
pub fn covers(year: i32) -> bool {
    HOLIDAYS.iter().any(|(known, _)| *known == year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_holiday_is_a_date_and_years_ascend() {
        assert!(HOLIDAYS.is_sorted_by_key(|(year, _)| *year));
        for (year, days) in HOLIDAYS {
            let dates: Vec<NaiveDate> =
                days.iter().map(|(month, day, name)| NaiveDate::from_ymd_opt(*year, *month, *day).expect(name)).collect();
            assert!(dates.is_sorted_by(|a, b| a < b), "holidays of {year} ascend");
        }
    }

    #[test]
    fn chuseok_of_2022_has_its_substitute() {
        assert_eq!(holiday(NaiveDate::from_ymd_opt(2022, 9, 12).unwrap()), Some("Chuseok (substitute)"));
        assert_eq!(holiday(NaiveDate::from_ymd_opt(2022, 9, 13).unwrap()), None);
    }
}
