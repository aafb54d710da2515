//! What lies before a city's start, written as files of the archive's own format, ready to be imported.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use catalog::feeds::traffic_volume::FEED;
use catalog::kst::{at_kst, date_kst};
use chrono::{DateTime, SecondsFormat, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::SimulatorError;
use crate::city::archive::{SPOTS_HEADER, VOLUME_HEADER};
use crate::city::{City, DIRECTIONS, hour_begin, hour_from, hour_number, series_number};

/// How much was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryWritten {
    /// Lines, one a series and hour.
    pub rows: u64,
    /// Lines with a value; the others are empty, as in the archive.
    pub values: u64,
}

/// Writes the final totals of the hours that begin at or after `from` and could be had by `until` (their end and the
/// publication delay have passed), as gzipped CSV `observed_at,spot_num,io_type,vol` with stamps of +09:00, and replaces
/// `path` by it in one step. `progress` is told of hours done and in all. The same city and span give the same bytes.
pub fn write_history(
    city: &dyn City,
    path: &Path,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<HistoryWritten, SimulatorError> {
    let failed = SimulatorError::write(path);
    let first = hour_from(from);
    let end = hour_number(until - FEED.delay());
    let hours = (end - first).max(0) as u64;
    let mut written = HistoryWritten { rows: 0, values: 0 };
    replace(path, |file| {
        let mut file = GzEncoder::new(file, Compression::fast());
        writeln!(file, "{VOLUME_HEADER}")?;
        for (done, hour) in (first..end).map(hour_begin).enumerate() {
            progress(done as u64, hours);
            let (lines, values) = lines(city, hour);
            file.write_all(lines.as_bytes())?;
            written.rows += city.ids().len() as u64 * DIRECTIONS.len() as u64;
            written.values += values;
        }
        file.finish().map(|_| ())
    })
    .map_err(failed)?;
    progress(hours, hours);
    Ok(written)
}

/// Writes a city's spots at an instant as CSV with the archive's header, and replaces `path` by it in one step.
pub fn write_spots(city: &dyn City, path: &Path, at: DateTime<Utc>) -> Result<(), SimulatorError> {
    replace(path, |file| {
        let mut lines = csv::Writer::from_writer(file);
        lines.write_record(SPOTS_HEADER.split(','))?;
        for spot in city.spots(date_kst(at)) {
            let (latitude, longitude) = (spot.latitude.to_string(), spot.longitude.to_string());
            let head = [&spot.id, &spot.name, &spot.detector, &latitude, &longitude];
            let tail = [&spot.district, &spot.address, &spot.inflow, &spot.outflow];
            lines.write_record(head.into_iter().chain(tail))?;
        }
        lines.flush()
    })
    .map_err(SimulatorError::write(path))
}

/// One hour's lines and how many have a value.
fn lines(city: &dyn City, hour: DateTime<Utc>) -> (String, u64) {
    let stamp = at_kst(hour).to_rfc3339_opts(SecondsFormat::Secs, false);
    let totals = city.totals(hour);
    let mut lines = String::new();
    for (spot, id) in city.ids().iter().enumerate() {
        for direction in DIRECTIONS {
            let volume = totals[series_number(spot, direction)].map(|total| total.to_string()).unwrap_or_default();
            lines += &format!("{stamp},{id},{direction},{volume}\n");
        }
    }
    (lines, totals.iter().flatten().count() as u64)
}

/// Replaces `path`, buffered.
fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>) -> std::io::Result<()> {
    durable::write(path, durable::Place::Replace, |file| {
        let mut file = BufWriter::new(file);
        fill(&mut file)?;
        file.flush()
    })
}
