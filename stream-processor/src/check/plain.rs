//! The quick way to read a record: the plain form in which our own producers write it, columns in the catalog's order,
//! no blanks, no escapes. One pass, no allocation.
//!
//! It never refuses: whatever it does not recognise goes to [`super::careful`], which decides. Where both read a record
//! they read the same; a test holds them together.

use std::borrow::Cow;

use catalog::{Column, Kind};

use super::row::Scalar;

/// A feed's plain form.
pub(super) struct Layout {
    columns: Vec<(Vec<u8>, Kind, bool)>,
}

impl Layout {
    pub(super) fn new(columns: &[Column]) -> Layout {
        let lead = |(place, column): (usize, &Column)| {
            let text = format!("{}\"{}\":", if place == 0 { '{' } else { ',' }, column.name);
            (text.into_bytes(), column.kind, column.nullable)
        };
        Layout { columns: columns.iter().enumerate().map(lead).collect() }
    }

    /// Reads a whole payload into `row`, one value a column. `false`: not in the plain form; `row` then holds nothing
    /// of worth.
    pub(super) fn read<'a>(&self, payload: &'a [u8], row: &mut Vec<Scalar<'a>>) -> bool {
        row.clear();
        let mut rest = payload;
        for (lead, kind, nullable) in &self.columns {
            let Some(after) = rest.strip_prefix(lead.as_slice()) else { return false };
            let Some((value, after)) = value(*kind, *nullable, after) else { return false };
            row.push(value);
            rest = after;
        }
        rest == b"}"
    }
}

fn value(kind: Kind, nullable: bool, rest: &[u8]) -> Option<(Scalar<'_>, &[u8])> {
    if nullable && let Some(after) = rest.strip_prefix(b"null") {
        return Some((Scalar::Null, after));
    }
    match kind {
        Kind::Text => {
            let (text, after) = string(rest)?;
            Some((Scalar::Text(Cow::Borrowed(std::str::from_utf8(text).ok()?)), after))
        }
        Kind::Int16 | Kind::Int32 | Kind::Int64 => integer(rest).map(|(value, after)| (Scalar::Integer(value), after)),
        Kind::Float64 => number(rest).map(|(value, after)| (Scalar::Number(value), after)),
        Kind::Instant => {
            let (text, after) = string(rest)?;
            Some((Scalar::Instant(instant(text)?), after))
        }
        Kind::Bool => match rest {
            [b't', b'r', b'u', b'e', after @ ..] => Some((Scalar::Bool(true), after)),
            [b'f', b'a', b'l', b's', b'e', after @ ..] => Some((Scalar::Bool(false), after)),
            _ => None,
        },
        // Base64 is rare enough to go the careful way.
        Kind::Bytes => None,
    }
}

/// What stands between quotes, without escapes or control characters.
fn string(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = rest.strip_prefix(b"\"")?;
    let end = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
    (rest[end] == b'"').then(|| (&rest[..end], &rest[end + 1..]))
}

/// At most 18 digits, so that nothing can overflow; `-0` and leading noughts go the careful way.
fn integer(rest: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, digits) = match rest {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let length = digits.iter().take(19).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = digits.split_at(length);
    if length == 0
        || length > 18
        || (digits[0] == b'0' && (length > 1 || negative))
        || !matches!(after.first(), Some(b',' | b'}'))
    {
        return None;
    }
    let value = digits.iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((if negative { -value } else { value }, after))
}

/// A JSON number, by JSON's grammar: digits before and after the point, no leading noughts.
fn number(rest: &[u8]) -> Option<(f64, &[u8])> {
    let length = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
    let (text, after) = rest.split_at(length);
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut left = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(left);
    if whole == 0 || (whole > 1 && left[0] == b'0') {
        return None;
    }
    left = &left[whole..];
    if let Some(fraction) = left.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return None;
        }
        left = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = left {
        let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
        left = &[];
    }
    let value: f64 = left.is_empty().then(|| std::str::from_utf8(text).ok()?.parse().ok())??;
    value.is_finite().then_some((value, after))
}

/// `2022-09-30T15:00:00Z`, with up to six digits of a second's fraction, in microseconds since 1970.
pub(crate) fn instant(text: &[u8]) -> Option<i64> {
    let (stamp, fraction) = text.strip_suffix(b"Z")?.split_at_checked(19)?;
    let fraction = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => two_or_more(digits)? * 10_i64.pow(6 - digits.len() as u32),
        _ => return None,
    };
    Some(seconds(stamp)? * 1_000_000 + fraction)
}

/// `2022-09-30T15:00:00`, read without a zone, in seconds since 1970.
pub(crate) fn seconds(stamp: &[u8]) -> Option<i64> {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1] = stamp else { return None };
    let [year, month, day] = [two_or_more(&[y0, y1, y2, y3])?, two_or_more(&[m0, m1])?, two_or_more(&[d0, d1])?];
    let [hour, minute, second] = [two_or_more(&[h0, h1])?, two_or_more(&[i0, i1])?, two_or_more(&[s0, s1])?];
    if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn two_or_more(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", days_from_civil).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
