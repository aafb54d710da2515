//! Rows of `observed.traffic_volume` and `rollup.traffic_hourly`, and lakes in temporary folders.

use std::sync::Arc;

use crate::Lake;
use arrow::array::{ArrayRef, AsArray, Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use catalog::{Feed, Rollup, TableName};
use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

pub const OBSERVED: TableName = TableName::new("observed", "traffic_volume");
pub const HOURLY: TableName = TableName::new("rollup", "traffic_hourly");
pub const TOPIC: &str = "traffic_volume";

pub fn url(folder: &tempfile::TempDir) -> Url {
    Url::from_directory_path(folder.path()).unwrap()
}

pub async fn lake() -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(&url(&folder)).await.unwrap();
    (folder, lake)
}

/// An hour of the city: 0 is 2022-10-01T00:00 KST.
pub fn hour(hour: i64) -> DateTime<Utc> {
    "2022-09-30T15:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hour)
}

fn times(times: impl IntoIterator<Item = DateTime<Utc>>) -> ArrayRef {
    Arc::new(
        TimestampMicrosecondArray::from_iter_values(times.into_iter().map(|time| time.timestamp_micros())).with_timezone("UTC"),
    )
}

/// One observation: spot, lane, hour, volume, offset. Received half an hour after its end.
pub type Observation = (&'static str, i16, i64, i32, i64);

pub fn observed(rows: &[Observation]) -> RecordBatch {
    let feed = Feed::by_name("traffic_volume").unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int16Array::from_iter_values(rows.iter().map(|_| 1))),
        Arc::new(Int16Array::from_iter_values(rows.iter().map(|row| row.1))),
        times(rows.iter().map(|row| hour(row.2))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.3))),
        times(rows.iter().map(|row| hour(row.2) + TimeDelta::minutes(90))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| TOPIC))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 0))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4))),
    ];
    RecordBatch::try_new(feed.observed_schema(), columns).unwrap()
}

/// Rows of the rollup: hour and volume.
pub fn hourly(rows: &[(i64, i64)]) -> RecordBatch {
    let table = Rollup::by_name("traffic_hourly").unwrap().table();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "A-01"))),
        Arc::new(Int16Array::from_iter_values(rows.iter().map(|_| 1))),
        times(rows.iter().map(|row| hour(row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|_| None))),
        times(rows.iter().map(|row| hour(row.0 + 2))),
    ];
    RecordBatch::try_new(table.schema(), columns).unwrap()
}

/// Hours and volumes of a rollup's rows, sorted.
pub fn hours_and_volumes(batches: &[RecordBatch]) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    for batch in batches {
        let times = batch.column_by_name("observed_at").unwrap().as_primitive::<TimestampMicrosecondType>();
        let volumes = batch.column_by_name("volume").unwrap().as_primitive::<Int64Type>();
        let hour_of = |micros: i64| (micros - hour(0).timestamp_micros()) / 3_600_000_000;
        rows.extend(times.values().iter().zip(volumes.values()).map(|(&time, &volume)| (hour_of(time), volume)));
    }
    rows.sort();
    rows
}

/// Offsets of observed rows, sorted.
pub fn offsets(batches: &[RecordBatch]) -> Vec<i64> {
    let mut offsets: Vec<i64> = Vec::new();
    for batch in batches {
        offsets.extend(batch.column_by_name("offset").unwrap().as_primitive::<Int64Type>().values());
    }
    offsets.sort();
    offsets
}
