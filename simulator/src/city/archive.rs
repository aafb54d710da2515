//! A city that really was: hourly totals from the archive's files, shared by invented but fixed lanes.
//!
//! The archive knows only final totals by direction, so that everything is published exactly after the delay, whole and
//! final. Held as one dense row of 16-bit counts an hour: ten months of 278 series are 4 MB.

mod files;

pub(crate) use files::{SPOTS_HEADER, VOLUME_HEADER};

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use catalog::feeds::traffic_volume::FEED;
use chrono::{DateTime, NaiveDate, Utc};

use super::{City, DIRECTIONS, LaneRow, Lanes, Spot, hour_begin, hour_number, series_number};
use crate::SimulatorError;
use crate::random::Random;

/// Stands for an hour without a count; counts are below it ([`files::VOLUME_MAX`]).
const NOTHING: u16 = u16::MAX;

pub(crate) struct ArchiveCity {
    identity: String,
    files: Vec<PathBuf>,
    spots: Vec<Spot>,
    ids: Vec<String>,
    lanes: Vec<Lanes>,
    /// Number of the first hour.
    begin: i64,
    /// Hour after hour, in each the series by number.
    volumes: Vec<u16>,
}

impl ArchiveCity {
    /// Reads a folder's `traffic_spots.csv` and every `traffic_volume*.csv` or `.csv.gz` in it, in the order of their
    /// names; where two speak of the same hour and series, the later file's value stands.
    pub(crate) fn read(folder: &Path) -> Result<ArchiveCity, SimulatorError> {
        let spots = files::read_spots(&folder.join(files::SPOTS))?;
        let volume_files = files::volume_files(folder)?;
        // Numbered as they are met, renumbered in the order of their ids below.
        let mut met: Vec<String> = Vec::new();
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut hours: BTreeMap<i64, Vec<u16>> = BTreeMap::new();
        for path in &volume_files {
            files::read_volumes(path, |row| {
                let spot = numbers.get(row.spot).copied().unwrap_or_else(|| {
                    met.push(row.spot.to_owned());
                    numbers.insert(row.spot.to_owned(), met.len() - 1);
                    met.len() - 1
                });
                let series = series_number(spot, row.direction);
                let counts = hours.entry(row.hour).or_default();
                if counts.len() <= series {
                    counts.resize(series + 1, NOTHING);
                }
                if let Some(volume) = row.volume {
                    counts[series] = volume;
                }
            })?;
        }
        let (Some(&begin), Some(&last)) = (hours.keys().next(), hours.keys().next_back()) else {
            let path = volume_files.last().expect("a folder without such a file was refused above");
            return Err(SimulatorError::Empty { path: path.display().to_string() });
        };
        let order: Vec<usize> = numbers.values().copied().collect();
        let ids: Vec<String> = numbers.into_keys().collect();
        let width = ids.len() * DIRECTIONS.len();
        let mut volumes = vec![NOTHING; (last - begin + 1) as usize * width];
        for (hour, counts) in hours {
            let row = &mut volumes[(hour - begin) as usize * width..][..width];
            for (spot, &met_as) in order.iter().enumerate() {
                for direction in DIRECTIONS {
                    let count = counts.get(series_number(met_as, direction));
                    row[series_number(spot, direction)] = count.copied().unwrap_or(NOTHING);
                }
            }
        }
        let unlisted: Vec<&String> = ids.iter().filter(|id| !spots.iter().any(|spot| spot.id == **id)).collect();
        if !unlisted.is_empty() {
            tracing::warn!(?unlisted, "spots with counts that \"{}\" does not list: SpotInfo will not name them", files::SPOTS);
        }
        let lanes = (0..width).map(|series| lanes_of(&ids[series / DIRECTIONS.len()], series, &volumes, width)).collect();
        Ok(ArchiveCity { identity: identity(&volume_files)?, files: volume_files, spots, ids, lanes, begin, volumes })
    }

    fn width(&self) -> usize {
        self.ids.len() * DIRECTIONS.len()
    }

    fn counts(&self, hour: DateTime<Utc>) -> Option<&[u16]> {
        let row = usize::try_from(hour_number(hour) - self.begin).ok()?;
        self.volumes.chunks_exact(self.width()).nth(row)
    }
}

impl City for ArchiveCity {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn period(&self) -> Range<DateTime<Utc>> {
        let hours = (self.volumes.len() / self.width()) as i64;
        hour_begin(self.begin)..hour_begin(self.begin + hours)
    }

    fn spots(&self, _day: NaiveDate) -> &[Spot] {
        &self.spots
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn lanes(&self, series: usize) -> &Lanes {
        &self.lanes[series]
    }

    fn totals(&self, hour: DateTime<Utc>) -> Vec<Option<u32>> {
        match self.counts(hour) {
            Some(counts) => counts.iter().map(|&count| counted(count)).collect(),
            None => vec![None; self.width()],
        }
    }

    fn volumes(&self, spot: usize, hour: DateTime<Utc>, now: DateTime<Utc>) -> Vec<LaneRow> {
        let published = hour + FEED.interval() + FEED.delay();
        let Some(counts) = self.counts(hour).filter(|_| now >= published) else { return Vec::new() };
        let mut rows = Vec::new();
        for direction in DIRECTIONS {
            let series = series_number(spot, direction);
            if let Some(total) = counted(counts[series]) {
                rows.extend(self.lanes[series].rows(direction, total));
            }
        }
        rows
    }

    fn history_files(&self) -> &[PathBuf] {
        &self.files
    }
}

fn counted(count: u16) -> Option<u32> {
    (count != NOTHING).then_some(u32::from(count))
}

/// The lanes of a series by its mean over all that the archive has. The shares hang on the spot's id alone, so that
/// another file in the folder doesn't move them.
fn lanes_of(id: &str, series: usize, volumes: &[u16], width: usize) -> Lanes {
    let counts = volumes.iter().skip(series).step_by(width).filter_map(|&count| counted(count));
    let (sum, number) = counts.fold((0.0, 0.0), |(sum, number), count| (sum + f64::from(count), number + 1.0));
    let mean = if number > 0.0 { sum / number } else { 0.0 };
    Lanes::of_level(mean, Random::new(0).branch("lanes").branch(id).member(series % DIRECTIONS.len()))
}

/// The same files, the same city, wherever they lie.
fn identity(files: &[PathBuf]) -> Result<String, SimulatorError> {
    let mut words = "archive".to_owned();
    for path in files {
        let bytes = std::fs::metadata(path).map_err(SimulatorError::read(path))?.len();
        words += &format!(" {} ({bytes} bytes)", path.file_name().unwrap_or_default().display());
    }
    Ok(words)
}
