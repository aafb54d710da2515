//! Where a kill hurts most: the ends of the steps publish, land, roll up and compact, noted for whoever kills a city.
//!
//! `tests/hangang/chaos.rs` kills a running city, at random moments and at these points. With `HANGANG_KILL_NOTES` naming a file,
//! each point that is passed is noted there, so that it can be told afterwards which steps a kill interrupted; with
//! `HANGANG_KILL_AT` as `land.before-commit:3`, the thread that reaches this point for the third time stands there until
//! the kill comes; with `HANGANG_FAULT_AT` it panics there. Without the first variable nothing here does anything.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, anyhow, bail};

/// File that the points are noted in, a line each.
const NOTES: &str = "HANGANG_KILL_NOTES";
/// Point to stand at, a colon, and at which time of reaching it.
const STAND_AT: &str = "HANGANG_KILL_AT";
/// Point to panic at, likewise.
const FAULT_AT: &str = "HANGANG_FAULT_AT";

/// Every point, in the order of a record's life; each is a `fail_point!` of that name.
const POINTS: &[&str] = &[
    "publish.before-acknowledgement",
    "publish.after-acknowledgement",
    "land.before-commit",
    "land.after-commit",
    "rollup.before-commit",
    "rollup.after-commit",
    "compact.before-commit",
    "compact.after-commit",
];

/// Notes the points, where the environment asks for it.
pub fn note() -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(NOTES) else { return Ok(()) };
    let notes = OpenOptions::new().append(true).create(true).open(&path).with_context(|| format!("{NOTES} names {path:?}"))?;
    let notes = Arc::new(notes);
    let (stand, fault) = (at(STAND_AT)?, at(FAULT_AT)?);
    for &point in POINTS {
        let notes = notes.clone();
        let reached = |at: Option<(&str, i64)>| {
            let left = AtomicI64::new(at.map_or(0, |(at, times)| if at == point { times } else { 0 }));
            move || left.fetch_sub(1, Ordering::Relaxed) == 1
        };
        let (stands, faults) = (reached(stand), reached(fault));
        fail::cfg_callback(point, move || {
            write(&notes, point);
            if stands() {
                write(&notes, "stands");
                loop {
                    std::thread::park();
                }
            }
            assert!(!faults(), "{FAULT_AT} asks for a fault here, at {point}");
        })
        .map_err(|error| anyhow!("noting \"{point}\": {error}"))?;
    }
    Ok(())
}

/// The point and the time that a variable names.
fn at(variable: &str) -> anyhow::Result<Option<(&'static str, i64)>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    let (name, times) = text.split_once(':').with_context(|| format!("{variable} is \"{text}\"; expected POINT:TIMES"))?;
    let Some(point) = POINTS.iter().find(|point| **point == name) else {
        bail!("{variable} names \"{name}\"; the points are {}", POINTS.join(", "))
    };
    Ok(Some((point, times.parse().with_context(|| format!("{variable} says \"{times}\" times; expected a number"))?)))
}

/// One write a line, so that threads don't mix theirs. A note that can't be written would make a test tell lies.
fn write(mut notes: &File, line: &str) {
    notes.write_all(format!("{line}\n").as_bytes()).expect("the notes of kill points can be written");
}
