//! The monthly sheets of traffic volume, `observed_at,spot_num,io_type,vol`: lines → packed values.
//!
//! Read by hand, since it is the bulk of an import: each line costs some tens of nanoseconds. Hours and spots repeat, so
//! both are looked up by what the lines before had. A line that can't be read ends the import; an empty `vol` is no
//! observation.

use std::collections::HashMap;

use catalog::feeds::traffic_volume::FEED;
use catalog::kst;
use chrono::{DateTime, TimeDelta, Utc};

use super::{ImportError, Tally, Within};
use crate::check::plain;

pub(super) const HEADER: &str = "observed_at,spot_num,io_type,vol";

/// Values of all files, packed: 16 bytes each.
#[derive(Default)]
pub(super) struct Volumes {
    pub(super) spots: Spots,
    pub(super) values: Vec<Value>,
}

/// One value and what it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// Hours since 1970, then the spot's number, then the direction: ordered as the table is.
    pub(super) key: u64,
    pub(super) volume: i32,
}

impl Value {
    pub(super) fn key(hour: i64, spot: u16, direction: u8) -> u64 {
        (hour as u64) << 24 | u64::from(spot) << 8 | u64::from(direction)
    }

    pub(super) fn hour(&self) -> i64 {
        (self.key >> 24) as i64
    }

    pub(super) fn spot(&self) -> u16 {
        (self.key >> 8) as u16
    }

    pub(super) fn direction(&self) -> u8 {
        self.key as u8
    }
}

/// Spot ids, numbered as they come.
#[derive(Default)]
pub(super) struct Spots {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
    last: u16,
}

impl Spots {
    pub(super) fn name(&self, number: u16) -> &str {
        &self.names[usize::from(number)]
    }

    pub(super) fn find(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    fn number(&mut self, name: &[u8]) -> Option<u16> {
        // Sheets list the spots in one order: it is the same as in the line before, or the next one.
        for guess in [self.last, self.last.wrapping_add(1), 0] {
            if self.names.get(usize::from(guess)).is_some_and(|known| known.as_bytes() == name) {
                self.last = guess;
                return Some(guess);
            }
        }
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.len() <= SPOT_BYTES_MAX)?;
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None => {
                let number = u16::try_from(self.names.len()).ok()?;
                self.names.push(name.to_owned());
                self.numbers.insert(name.to_owned(), number);
                number
            }
        };
        self.last = number;
        Some(number)
    }
}

/// Spot ids have four characters; what is much longer is none.
const SPOT_BYTES_MAX: usize = 32;

/// Reads the lines of one file behind its header.
pub(super) struct Reader<'a> {
    within: Within,
    volumes: &'a mut Volumes,
    /// Least and greatest value that the catalog allows.
    range: (f64, f64),
    stamp: Vec<u8>,
    /// What the stamp says: the hour, or `None` when its rows are left out.
    hour: Option<i64>,
}

const EXPECTED: &str = "as 2022-01-01T00:00:00+09:00,A-01,1,479";

impl<'a> Reader<'a> {
    pub(super) fn new(within: Within, volumes: &'a mut Volumes) -> Reader<'a> {
        let range = FEED.column("volume").and_then(|column| column.range).expect("the catalog bounds a volume");
        Reader { within, volumes, range, stamp: Vec::new(), hour: None }
    }

    /// Reads a block of whole lines; `line` counts on. The error says what was expected of the line.
    pub(super) fn read(&mut self, block: &[u8], line: &mut u64, tally: &mut Tally) -> Result<(), ImportError> {
        for text in block.split_inclusive(|&byte| byte == b'\n') {
            *line += 1;
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            self.line(text, tally).map_err(|expected| ImportError::line(*line, expected, text))?;
        }
        Ok(())
    }

    fn line(&mut self, text: &[u8], tally: &mut Tally) -> Result<(), String> {
        let mut cells = text.split(|&byte| byte == b',');
        let (Some(stamp), Some(spot), Some(direction), Some(volume), None) =
            (cells.next(), cells.next(), cells.next(), cells.next(), cells.next())
        else {
            return Err(format!("four cells, {EXPECTED}"));
        };
        if stamp != self.stamp {
            self.hour = self.hour(stamp)?;
            self.stamp.clear();
            self.stamp.extend_from_slice(stamp);
        }
        let spot = self.volumes.spots.number(spot).ok_or_else(|| format!("a spot id in the second cell, {EXPECTED}"))?;
        let direction = match direction {
            b"1" => 1,
            b"2" => 2,
            _ => return Err("1 (in) or 2 (out) in the third cell".to_owned()),
        };
        tally.lines += 1;
        if volume.is_empty() {
            tally.empty += 1;
            return Ok(());
        }
        let volume = self.volume(volume)?;
        match self.hour {
            Some(hour) => self.volumes.values.push(Value { key: Value::key(hour, spot, direction), volume }),
            None => tally.left_out += 1,
        }
        Ok(())
    }

    fn volume(&self, cell: &[u8]) -> Result<i32, String> {
        const DIGITS_MAX: usize = 9;
        let (least, greatest) = self.range;
        let digits = cell.len() <= DIGITS_MAX && cell.iter().all(u8::is_ascii_digit);
        let value = digits.then(|| cell.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0')));
        value
            .filter(|&value| (least..=greatest).contains(&f64::from(value)))
            .ok_or_else(|| format!("a whole number from {least} to {greatest} in the fourth cell, or nothing"))
    }

    /// The hour that a stamp names, `None` when its values weren't to be had yet.
    fn hour(&self, stamp: &[u8]) -> Result<Option<i64>, String> {
        let expected = || "a time with its zone, as 2022-01-01T00:00:00+09:00, in the first cell".to_owned();
        let (local, zone) = stamp.split_at_checked(19).ok_or_else(expected)?;
        let seconds = plain::seconds(local).and_then(|seconds| Some(seconds - zone_seconds(zone)?)).ok_or_else(expected)?;
        let observed_at = DateTime::from_timestamp(seconds, 0).ok_or_else(expected)?;
        if kst::floor(observed_at, FEED.interval()) != observed_at || seconds < 0 {
            return Err("the beginning of an hour in the first cell".to_owned());
        }
        match self.within.keeps(observed_at, FEED.received_at_import(observed_at)) {
            Some(kept) => Ok(kept.then_some(seconds / 3600)),
            None => Err(self.within.expected()),
        }
    }
}

fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    match zone {
        b"Z" => Some(0),
        &[sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let seconds = (digit(h0)? * 10 + digit(h1)?) * 3600 + (digit(m0)? * 10 + digit(m1)?) * 60;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Start (UTC) of the hour with this number.
pub(super) fn start(hour: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(hour)
}
