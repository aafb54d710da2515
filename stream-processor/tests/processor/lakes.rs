//! What the tests ask of a lake.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use catalog::{ROLLUPS, TableName};
use lake::Lake;
use url::Url;

pub async fn open(folder: &Path) -> Lake {
    Lake::open(&Url::from_directory_path(folder).unwrap()).await.unwrap()
}

/// The result of a query as a text table.
pub async fn table(lake: &Lake, sql: &str) -> String {
    pretty_format_batches(&lake.query(sql).await.unwrap()).unwrap().to_string()
}

/// A query's only number.
pub async fn number(lake: &Lake, sql: &str) -> i64 {
    use arrow::array::AsArray;
    let rows = lake.query(sql).await.unwrap();
    let rows = rows.iter().find(|rows| rows.num_rows() == 1).unwrap();
    arrow::compute::cast(rows.column(0), &arrow::datatypes::DataType::Int64)
        .unwrap()
        .as_primitive::<arrow::datatypes::Int64Type>()
        .value(0)
}

/// Version of every table.
pub async fn versions(lake: &Lake) -> Vec<(TableName, i64)> {
    let mut versions = Vec::new();
    for name in lake.names() {
        versions.push((name.clone(), lake.table(name).await.unwrap().version()));
    }
    versions
}

/// Fails unless every rollup equals its SQL over the whole of `observed`.
pub async fn rollups_equal_their_sql(lake: &Lake) {
    for rollup in ROLLUPS {
        let columns = rollup.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let stored = lake.query(&format!("SELECT {columns} FROM {}", rollup.table().name)).await.unwrap();
        let query = rollup.sql(&rollup.feed.observed().name.to_string());
        let computed = lake.query(&format!("SELECT {columns} FROM ({query})")).await.unwrap();
        assert_eq!(sorted(&stored), sorted(&computed), "{} is not its SQL over all of observed", rollup.name);
    }
}

/// Rows as text, sorted: tables without an order compare by these.
pub fn sorted(rows: &[RecordBatch]) -> Vec<String> {
    let Some(first) = rows.first() else { return Vec::new() };
    let rows = concat_batches(&first.schema(), rows).unwrap();
    let text = pretty_format_batches(&[rows]).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().filter(|line| line.starts_with('|')).skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}
