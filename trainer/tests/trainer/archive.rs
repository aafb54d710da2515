//! The archive of 2022, where it is there: as rows of a lake, as `hangang import` lands them.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Int16Builder, Int32Array, Int32Builder, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use catalog::feeds::traffic_volume::FEED;
use chrono::{DateTime, Utc};
use lake::Lake;

/// The folder of shared data; none, said plainly, where it isn't there. `HANGANG_DEMAND_SHARED=1` demands it.
pub fn traffic_file() -> Option<PathBuf> {
    let shared = std::env::var_os("HANGANG_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let file = shared.join("archive/traffic_volume_2022.csv.gz");
    if file.exists() {
        return Some(file);
    }
    assert!(std::env::var_os("HANGANG_DEMAND_SHARED").is_none(), "\"{}\" is not there, and it is demanded", file.display());
    eprintln!("skipped: \"{}\" is not there; give its folder by HANGANG_SHARED", file.display());
    None
}

/// Lands the file's values observed before `until`: lane 0, received when they could first be had.
pub async fn land(lake: &Lake, file: &PathBuf, until: DateTime<Utc>) {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let (mut spots, mut directions, mut volumes, mut times) =
        (StringBuilder::new(), Int16Builder::new(), Int32Builder::new(), Vec::new());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    for record in reader.records() {
        let record = record.unwrap();
        let observed_at: DateTime<Utc> = record[0].parse().unwrap();
        if record[3].is_empty() || observed_at >= until {
            continue;
        }
        times.push(observed_at);
        spots.append_value(&record[1]);
        directions.append_value(record[2].parse().unwrap());
        volumes.append_value(record[3].parse::<f64>().unwrap() as i32);
    }
    let count = times.len();
    let instants = |of: &dyn Fn(DateTime<Utc>) -> DateTime<Utc>| {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(times.iter().map(|&at| of(at).timestamp_micros())).with_timezone("UTC"),
        )
    };
    let schema = FEED.observed_schema();
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(spots.finish()),
        Arc::new(directions.finish()),
        Arc::new(arrow::array::Int16Array::from(vec![0; count])),
        instants(&|at| at),
        Arc::new(volumes.finish()),
        instants(&|at| FEED.received_at_import(at)),
        arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, count),
        Arc::new(Int32Array::from(vec![0; count])),
        arrow::array::new_null_array(&arrow::datatypes::DataType::Int32, count),
        Arc::new(Int64Array::from_iter_values(0..count as i64)),
    ];
    let all = RecordBatch::try_new(schema, columns).unwrap();
    let mut table = lake.table(&FEED.observed().name).await.unwrap();
    const ROWS: usize = 200_000;
    for first in (0..count).step_by(ROWS) {
        table.append(&[all.slice(first, ROWS.min(count - first))], &[]).await.unwrap();
    }
}
