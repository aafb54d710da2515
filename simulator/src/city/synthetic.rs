//! An invented Seoul: 139 spots whose traffic has the days, weeks, holidays, weather, accidents and broken sensors of a
//! real one, and an authority that publishes it now and then late, in part, or wrong at first.
//!
//! For newcomers, and for tests that need trouble on demand. Everything is computed when asked for, from the seed: no
//! hour depends on another one having been computed. How forecastable it is, is tested below.

mod calendar;
mod demand;
mod places;
mod publication;
mod sensors;
mod series;
mod weather;

use std::ops::Range;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{City, DIRECTIONS, LaneRow, Lanes, Spot, hour_number};
use crate::random::Random;
use calendar::Calendar;
use demand::{Demand, Moment};
use series::Series;

/// Raised whenever a seed's city becomes another one, since a data folder belongs to one city.
const EDITION: u32 = 1;

/// Days before the start that are imported as history.
pub const HISTORY_DAYS: i64 = 120;

/// When a synthetic city's time begins, unless another start is asked for: 2022-10-01, midnight in Seoul.
pub fn start_default() -> DateTime<Utc> {
    catalog::kst::midnight_kst(NaiveDate::from_ymd_opt(2022, 10, 1).expect("a date"))
}

pub(crate) struct SyntheticCity {
    seed: u64,
    spots: Vec<Spot>,
    ids: Vec<String>,
    series: Vec<Series>,
    demand: Demand,
    publication: publication::Publication,
}

impl SyntheticCity {
    pub(crate) fn new(seed: u64) -> SyntheticCity {
        let random = Random::new(seed);
        let places = places::invent(random.branch("places"));
        let ids: Vec<String> = places.iter().map(|place| place.spot.id.clone()).collect();
        let series = (0..places.len() * DIRECTIONS.len())
            .map(|number| {
                let place = &places[number / DIRECTIONS.len()];
                Series::invent(random, number, place.class, DIRECTIONS[number % DIRECTIONS.len()])
            })
            .collect();
        let spots = places.into_iter().map(|place| place.spot).collect();
        let publication = publication::Publication::new(random.branch("publication"));
        SyntheticCity { seed, spots, ids, series, demand: Demand::new(random), publication }
    }

    /// What the sensor of a series finally counted in an hour.
    fn total(&self, series: &Series, moment: &Moment) -> Option<u32> {
        match series.sensor.state(moment.hour) {
            sensors::State::Dead => None,
            sensors::State::Counts => Some(self.demand.count(series, moment)),
            sensors::State::StuckSince(hour) => Some(self.demand.count(series, &self.demand.moment(hour))),
        }
    }
}

impl City for SyntheticCity {
    fn identity(&self) -> String {
        format!("synthetic city of seed {}, edition {EDITION}", self.seed)
    }

    /// The years whose holidays are known: without them a forecaster would look in vain for what moved the traffic.
    fn period(&self) -> Range<DateTime<Utc>> {
        Calendar::period()
    }

    fn spots(&self, _day: NaiveDate) -> &[Spot] {
        &self.spots
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn lanes(&self, series: usize) -> &Lanes {
        &self.series[series].lanes
    }

    fn totals(&self, hour: DateTime<Utc>) -> Vec<Option<u32>> {
        let moment = self.demand.moment(hour_number(hour));
        self.series.iter().map(|series| self.total(series, &moment)).collect()
    }

    fn volumes(&self, spot: usize, hour: DateTime<Utc>, now: DateTime<Utc>) -> Vec<LaneRow> {
        let age = now - (hour + TimeDelta::hours(1));
        if !self.publication.open(age) {
            return Vec::new();
        }
        let moment = self.demand.moment(hour_number(hour));
        let mut rows = Vec::new();
        for (number, direction) in (spot * DIRECTIONS.len()..).zip(DIRECTIONS) {
            let series = &self.series[number];
            if let Some(total) = self.total(series, &moment) {
                let seen = self.publication.seen(number, moment.hour, age, total);
                let lanes = seen.total.into_iter().flat_map(|total| series.lanes.rows(direction, total));
                rows.extend(lanes.filter(|row| seen.missing_lane != Some(row.lane)));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests;
