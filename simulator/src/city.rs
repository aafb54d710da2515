//! What a city would have counted, and what its authority would say of it at a given moment.
//!
//! The source behind the services. It knows hours, spots and vehicles; it never knows HTTP, XML or a clock: "now" is
//! given.

pub(crate) mod archive;
mod lanes;
pub(crate) mod synthetic;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::SimulatorError;
pub use lanes::Lanes;

/// Where the answers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An invented city: a seed gives always the same one.
    Synthetic { seed: u64 },
    /// Real data: a folder with `traffic_spots.csv` and `traffic_volume*.csv` or `.csv.gz`, totals by direction.
    Archive { folder: PathBuf },
}

/// A counting spot, as the archive's `traffic_spots.csv` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// As `A-01`.
    pub id: String,
    pub name: String,
    /// Kind of detector, in Korean.
    pub detector: String,
    /// Degrees, WGS84.
    pub latitude: f64,
    pub longitude: f64,
    pub district: String,
    pub address: String,
    /// What direction 1 and 2 mean here.
    pub inflow: String,
    pub outflow: String,
}

/// One lane's count in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneRow {
    /// 1 in, 2 out.
    pub direction: u8,
    /// From 1.
    pub lane: u8,
    /// Vehicles in the hour.
    pub volume: u32,
}

/// A city behind the upstream's services. Spots are numbered as in [`City::ids`]; the series of spot `s` in direction
/// `d` has the number `2 s + d − 1`. An hour is named by its beginning.
///
/// Every answer is a function of its arguments: asked again, it is the same.
pub trait City: Send + Sync + 'static {
    /// Which city this is, for people and for the data folder that belongs to it: the same words, the same city.
    fn identity(&self) -> String;

    /// The hours of which anything can be known.
    fn period(&self) -> Range<DateTime<Utc>>;

    /// The spots as SpotInfo lists them on a day in Seoul.
    fn spots(&self, day: NaiveDate) -> &[Spot];

    /// Ids of all spots that were ever counted, ascending.
    fn ids(&self) -> &[String];

    /// A spot's number.
    fn spot(&self, id: &str) -> Option<usize> {
        self.ids().binary_search_by(|known| known.as_str().cmp(id)).ok()
    }

    /// How a series' total is shared by its lanes.
    fn lanes(&self, series: usize) -> &Lanes;

    /// The final total of every series in an hour, which never changes once the feed's re-read schedule has passed; none
    /// where nothing was counted.
    fn totals(&self, hour: DateTime<Utc>) -> Vec<Option<u32>>;

    /// What the upstream answers at `now` for a spot and hour, ordered by direction and lane. Nothing before the hour's
    /// end and the publication delay; then perhaps late, in part, or to be revised.
    fn volumes(&self, spot: usize, hour: DateTime<Utc>, now: DateTime<Utc>) -> Vec<LaneRow>;

    /// Files that hold what lies before the start, ready to be imported. None where [`crate::write_history`] makes one.
    fn history_files(&self) -> &[PathBuf] {
        &[]
    }
}

/// Opens a source. An archive is read whole (a second or two for a year).
pub fn open(source: &Source) -> Result<Arc<dyn City>, SimulatorError> {
    Ok(match source {
        Source::Synthetic { seed } => Arc::new(synthetic::SyntheticCity::new(*seed)),
        Source::Archive { folder } => Arc::new(archive::ArchiveCity::read(folder)?),
    })
}

/// Directions of a spot: 1 in, 2 out.
pub(crate) const DIRECTIONS: [u8; 2] = [1, 2];

/// The number of a series among all.
pub(crate) fn series_number(spot: usize, direction: u8) -> usize {
    spot * DIRECTIONS.len() + usize::from(direction) - 1
}

/// The final value of every lane in an hour: spot number and row, ordered by spot, direction, lane.
pub(crate) fn truth(city: &dyn City, hour: DateTime<Utc>) -> Vec<(usize, LaneRow)> {
    let totals = city.totals(hour);
    let mut rows = Vec::new();
    for spot in 0..city.ids().len() {
        for direction in DIRECTIONS {
            let series = series_number(spot, direction);
            if let Some(total) = totals[series] {
                rows.extend(city.lanes(series).rows(direction, total).map(|row| (spot, row)));
            }
        }
    }
    rows
}

/// Hours since 1970, UTC, of an instant; hours in Seoul begin with hours in UTC.
pub(crate) fn hour_number(instant: DateTime<Utc>) -> i64 {
    instant.timestamp().div_euclid(3600)
}

/// The number of the first hour that begins at an instant or after it.
pub(crate) fn hour_from(instant: DateTime<Utc>) -> i64 {
    hour_number(instant - TimeDelta::nanoseconds(1)) + 1
}

pub(crate) fn hour_begin(number: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(number * 3600, 0).expect("an hour within chrono's range")
}
