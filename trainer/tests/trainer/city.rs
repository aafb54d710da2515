//! A small made-up city in a real lake: rows of `observed.traffic_volume`, lane by lane, some late, some revised.

use std::sync::Arc;

use arrow::array::{Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use catalog::feeds::traffic_volume::FEED;
use catalog::targets::traffic_volume::TARGET;
use catalog::{Target, kst};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use lake::{Lake, Outcome};

pub const CITY: &Target = &TARGET;

/// A row as the producer published it.
#[derive(Clone, Debug)]
pub struct Row {
    pub spot: usize,
    pub lane: i16,
    pub observed_at: DateTime<Utc>,
    pub volume: i32,
    pub received_at: DateTime<Utc>,
}

/// Midnight in Seoul, the first of June 2022.
pub fn start() -> DateTime<Utc> {
    "2022-05-31T15:00:00Z".parse().unwrap()
}

pub fn day(days: i64) -> DateTime<Utc> {
    start() + TimeDelta::days(days)
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// `spots` × `days`, two lanes each. The level wanders from day to day, so that there is something to learn beyond the
/// usual; one hour in twelve has a late lane, one in twelve is revised after a day, one in twenty is absent.
pub fn rows(seed: u64, spots: usize, days: i64) -> Vec<Row> {
    let mut random = Random(seed);
    let mut rows = Vec::new();
    let mut level = 1.0;
    for hour in 0..days * 24 {
        let observed_at = start() + TimeDelta::hours(hour);
        let local = kst::at_kst(observed_at);
        if hour % 24 == 0 {
            level = 0.7 * level + 0.3 * (0.6 + random.below(800) as f64 / 1000.0);
        }
        let of_day = f64::from(kst::hour_of_week(observed_at) % 24);
        let daily = 1.0 + 0.8 * (std::f64::consts::TAU * (of_day - 8.0) / 24.0).sin();
        let free = if local.weekday().num_days_from_monday() >= 5 { 0.7 } else { 1.0 };
        for spot in 0..spots {
            let noise = 0.95 + random.below(100) as f64 / 1000.0;
            let lane_volume = ((100.0 + 150.0 * spot as f64) * daily * free * level * noise) as i32;
            let received_at = observed_at + TimeDelta::minutes(90);
            let kind = random.below(60);
            if kind < 3 {
                continue;
            }
            let late = if (3..8).contains(&kind) { TimeDelta::hours(2) } else { TimeDelta::zero() };
            let row = Row { spot, lane: 1, observed_at, volume: lane_volume, received_at };
            rows.push(row.clone());
            rows.push(Row { lane: 2, volume: lane_volume + 10, received_at: received_at + late, ..row.clone() });
            if (8..13).contains(&kind) {
                rows.push(Row { volume: lane_volume * 5 / 4, received_at: received_at + TimeDelta::hours(24), ..row });
            }
        }
    }
    rows
}

/// Rows as a batch of `observed.traffic_volume`; offsets count from `first_offset`.
pub fn batch(rows: &[Row], first_offset: i64) -> RecordBatch {
    let instants = |of: fn(&Row) -> DateTime<Utc>| {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| of(row).timestamp_micros())).with_timezone("UTC"),
        )
    };
    let same = |value: i32| Arc::new(Int32Array::from(vec![value; rows.len()]));
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("A-{:02}", row.spot)))),
        Arc::new(Int16Array::from(vec![1; rows.len()])),
        Arc::new(Int16Array::from_iter_values(rows.iter().map(|row| row.lane))),
        instants(|row| row.observed_at),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.volume))),
        instants(|row| row.received_at),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| FEED.name))),
        same(0),
        same(0),
        Arc::new(Int64Array::from_iter_values(first_offset..first_offset + rows.len() as i64)),
    ];
    RecordBatch::try_new(FEED.observed_schema(), columns).unwrap()
}

pub struct City {
    pub lake: Lake,
    landed: i64,
    _folder: tempfile::TempDir,
}

impl City {
    pub async fn empty() -> City {
        let folder = tempfile::tempdir().unwrap();
        let url = url::Url::from_directory_path(folder.path()).unwrap();
        City { lake: Lake::open(&url).await.unwrap(), landed: 0, _folder: folder }
    }

    pub async fn of(rows: &[Row]) -> City {
        let mut city = City::empty().await;
        city.land(rows).await;
        city
    }

    /// Lands rows, in order of their arrival.
    pub async fn land(&mut self, rows: &[Row]) {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.received_at);
        let mut table = self.lake.table(&FEED.observed().name).await.unwrap();
        let outcome = table.append(&[batch(&rows, self.landed)], &[]).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }));
        self.landed += rows.len() as i64;
    }
}
