//! The archive's files: their names, headers and lines. A damaged line stops the reading, with its number.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use chrono::DateTime;

use crate::SimulatorError;
use crate::city::{Spot, hour_number};

pub(crate) const SPOTS: &str = "traffic_spots.csv";
pub(crate) const SPOTS_HEADER: &str = "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow";
pub(crate) const VOLUME_HEADER: &str = "observed_at,spot_num,io_type,vol";
const VOLUME_FILES: &str = "traffic_volume*.csv[.gz]";

/// Largest count that is believed: what the feed's contract allows.
pub(crate) const VOLUME_MAX: u16 = 30_000;
/// Bytes read at once from a compressed file: large enough that the system calls don't count.
const BUFFER_BYTES: usize = 256 << 10;

/// One line of a volume file.
pub(crate) struct VolumeLine<'a> {
    /// Number of the hour that it speaks of.
    pub(crate) hour: i64,
    pub(crate) spot: &'a str,
    pub(crate) direction: u8,
    /// None where the cell is empty: nothing was counted.
    pub(crate) volume: Option<u16>,
}

/// The folder's volume files in the order of their names; at least one.
pub(crate) fn volume_files(folder: &Path) -> Result<Vec<PathBuf>, SimulatorError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(SimulatorError::read(folder))? {
        let path = entry.map_err(SimulatorError::read(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("traffic_volume") && (name.ends_with(".csv") || name.ends_with(".csv.gz")) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(SimulatorError::Absent { folder: folder.display().to_string(), wanted: VOLUME_FILES });
    }
    files.sort();
    Ok(files)
}

/// Gives every line of a volume file, in its order, to `each`.
pub(crate) fn read_volumes(path: &Path, mut each: impl FnMut(VolumeLine<'_>)) -> Result<(), SimulatorError> {
    // A stamp stands on the lines of all series of its hour: parsed once, then recognised.
    let (mut stamp, mut hour) = (Vec::<u8>::new(), 0);
    read_lines(path, VOLUME_HEADER, |line| {
        if line[0] != *stamp {
            hour = parse_hour(text(line, 0)?)?;
            stamp = line[0].to_vec();
        }
        let direction = match &line[2] {
            b"1" => 1,
            b"2" => 2,
            other => return Err(format!("io_type \"{}\" is neither 1 nor 2", other.escape_ascii())),
        };
        let volume = match &line[3] {
            b"" => None,
            _ => Some(parse_volume(text(line, 3)?)?),
        };
        let spot = text(line, 1)?;
        if spot.is_empty() {
            return Err("spot_num is empty".to_owned());
        }
        each(VolumeLine { hour, spot, direction, volume });
        Ok(())
    })
}

/// The spots of `traffic_spots.csv`, in its order.
pub(crate) fn read_spots(path: &Path) -> Result<Vec<Spot>, SimulatorError> {
    if !path.exists() {
        let folder = path.parent().unwrap_or(path).display().to_string();
        return Err(SimulatorError::Absent { folder, wanted: SPOTS });
    }
    let mut spots = Vec::new();
    read_lines(path, SPOTS_HEADER, |line| {
        let own = |column| text(line, column).map(str::to_owned);
        let degrees = |column| {
            let text = text(line, column)?;
            text.parse::<f64>().map_err(|_| format!("\"{text}\" is not a number of degrees"))
        };
        spots.push(Spot {
            id: own(0)?,
            name: own(1)?,
            detector: own(2)?,
            latitude: degrees(3)?,
            longitude: degrees(4)?,
            district: own(5)?,
            address: own(6)?,
            inflow: own(7)?,
            outflow: own(8)?,
        });
        Ok(())
    })?;
    if spots.is_empty() {
        return Err(SimulatorError::Empty { path: path.display().to_string() });
    }
    Ok(spots)
}

/// Checks the header, then gives each line to `each`; what it complains of gets the file and line.
fn read_lines(
    path: &Path,
    header: &'static str,
    mut each: impl FnMut(&csv::ByteRecord) -> Result<(), String>,
) -> Result<(), SimulatorError> {
    let name = || path.display().to_string();
    let file = File::open(path).map_err(SimulatorError::read(path))?;
    let reader: Box<dyn Read> = match path.extension().is_some_and(|extension| extension == "gz") {
        true => Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))),
        false => Box::new(file),
    };
    let mut lines = csv::ReaderBuilder::new().buffer_capacity(BUFFER_BYTES).from_reader(reader);
    let found = lines.byte_headers().map_err(|error| damaged(path, 1, error))?;
    let found = found.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
    if found.trim_start_matches('\u{feff}') != header {
        return Err(SimulatorError::Header { path: name(), expected: header, found });
    }
    let mut line = csv::ByteRecord::new();
    loop {
        let number = lines.position().line();
        match lines.read_byte_record(&mut line) {
            Ok(false) => return Ok(()),
            Ok(true) => each(&line).map_err(|detail| SimulatorError::Damaged { path: name(), line: number, detail })?,
            Err(error) => return Err(damaged(path, number, error)),
        }
    }
}

fn damaged(path: &Path, line: u64, error: csv::Error) -> SimulatorError {
    let detail = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} cells where {expected_len} are expected"),
        _ => error.to_string(),
    };
    SimulatorError::Damaged { path: path.display().to_string(), line, detail }
}

fn text(line: &csv::ByteRecord, column: usize) -> Result<&str, String> {
    std::str::from_utf8(&line[column]).map_err(|_| format!("\"{}\" is not UTF-8", line[column].escape_ascii()))
}

fn parse_hour(stamp: &str) -> Result<i64, String> {
    let instant = DateTime::parse_from_rfc3339(stamp)
        .map_err(|_| format!("\"{stamp}\" is not a time with its offset, as 2022-01-01T00:00:00+09:00"))?;
    if instant.timestamp().rem_euclid(3600) != 0 {
        return Err(format!("\"{stamp}\" is not the beginning of an hour"));
    }
    Ok(hour_number(instant.to_utc()))
}

fn parse_volume(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(volume) if volume <= VOLUME_MAX => Ok(volume),
        _ => Err(format!("vol \"{text}\" is not a whole number of vehicles from 0 to {VOLUME_MAX}")),
    }
}
