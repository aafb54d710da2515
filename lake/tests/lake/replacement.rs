//! A replacement is a delete and an insert that are seen as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{Compaction, Lake, Mark, Outcome, Windows};
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use super::rows::*;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(i64, i64)>),
    Replace { windows: Vec<(i64, i64)>, volume: i64, hours: BTreeSet<i64> },
    Compact,
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let hours = || 0i64..200;
    prop_oneof![
        3 => prop::collection::vec((hours(), 0i64..1000), 1..20).prop_map(Step::Append),
        4 => (prop::collection::vec((hours(), 1i64..30), 1..4), 0i64..1000, prop::collection::btree_set(hours(), 0..40))
            .prop_map(|(windows, volume, hours)| Step::Replace { windows, volume, hours }),
        1 => Just(Step::Compact),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_replacement_is_a_delete_and_an_insert(steps in prop::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (folder, mut lake) = lake().await;
            let mut table = lake.table(&HOURLY).await.unwrap();
            let mut model: Vec<(i64, i64)> = Vec::new();
            for step in &steps {
                match step {
                    Step::Append(rows) => {
                        table.append(&[hourly(rows)], &[]).await.unwrap();
                        model.extend(rows);
                    }
                    Step::Replace { windows, volume, hours } => {
                        let windows = Windows::new(windows.iter().map(|&(start, length)| (hour(start), hour(start + length))));
                        let rows: Vec<(i64, i64)> = hours.iter().filter(|&&at| windows.contains(hour(at))).map(|&at| (at, *volume)).collect();
                        table.replace(&windows, &[hourly(&rows)], &[]).await.unwrap();
                        model.retain(|&(at, _)| !windows.contains(hour(at)));
                        model.extend(rows);
                    }
                    Step::Compact => {
                        table.compact(&Compaction { small_files_max: 1, ..Default::default() }).await.unwrap();
                    }
                    Step::Checkpoint => table.checkpoint().await.unwrap(),
                    Step::Reopen => {
                        lake = Lake::open(&url(&folder)).await.unwrap();
                        table = lake.table(&HOURLY).await.unwrap();
                    }
                }
                model.sort();
                assert_eq!(hours_and_volumes(&table.scan(None).await.unwrap()), model, "after {step:?}");
            }
            let counted = lake.query("SELECT count(*) FROM rollup.traffic_hourly").await.unwrap();
            let counted = arrow::util::pretty::pretty_format_batches(&counted).unwrap().to_string();
            assert!(counted.contains(&format!("| {} ", model.len())), "statistics say {counted}, and there are {}", model.len());
        });
    }
}

#[tokio::test]
async fn a_replacement_moves_its_mark_or_does_nothing() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&HOURLY).await.unwrap();
    let mut other = table.clone();
    let mark = |from, to| [Mark { app_id: "observed.traffic_volume".into(), from, to }];
    let first = Windows::one(hour(0), hour(2));
    assert_eq!(
        table.replace(&first, &[hourly(&[(0, 1), (1, 1)])], &mark(None, 7)).await.unwrap(),
        Outcome::Committed { version: 1 }
    );
    assert_eq!(other.replace(&first, &[hourly(&[(0, 2)])], &mark(None, 7)).await.unwrap(), Outcome::Superseded);
    assert_eq!(other.replace(&Windows::default(), &[], &mark(Some(7), 8)).await.unwrap(), Outcome::Committed { version: 2 });
    assert_eq!(hours_and_volumes(&other.scan(None).await.unwrap()), [(0, 1), (1, 1)]);
    assert_eq!(other.mark("observed.traffic_volume"), Some(8));
}

#[tokio::test]
async fn a_row_outside_the_windows_is_refused() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&HOURLY).await.unwrap();
    let error = table.replace(&Windows::one(hour(0), hour(1)), &[hourly(&[(1, 1)])], &[]).await.unwrap_err();
    assert!(error.to_string().contains("outside the windows"), "{error}");
}

#[tokio::test]
async fn replacements_that_meet_in_one_stretch_both_count() {
    let (folder, lake) = lake().await;
    let second = Lake::open(&url(&folder)).await.unwrap();
    let mut one = lake.table(&HOURLY).await.unwrap();
    let mut two = second.table(&HOURLY).await.unwrap();
    let rows: Vec<(i64, i64)> = (0..10).map(|hour| (hour, 1)).collect();
    one.append(&[hourly(&rows)], &[]).await.unwrap();
    two.reload().await.unwrap();
    // Both have read the one file that holds hours 0 to 9.
    one.replace(&Windows::one(hour(0), hour(1)), &[hourly(&[(0, 100)])], &[]).await.unwrap();
    two.replace(&Windows::one(hour(9), hour(10)), &[hourly(&[(9, 900)])], &[]).await.unwrap();
    let mut expected = rows.clone();
    (expected[0], expected[9]) = ((0, 100), (9, 900));
    assert_eq!(hours_and_volumes(&two.scan(None).await.unwrap()), expected);
}

/// Files of a table's folder.
fn files(folder: &tempfile::TempDir, table: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder.path().join(table)).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn windows_that_lie_apart_rewrite_nothing_between_them() {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&HOURLY).await.unwrap();
    for at in 0..24 {
        table.append(&[hourly(&[(at, 1)])], &[]).await.unwrap();
    }
    let before = files(&folder, "rollup/traffic_hourly");
    let windows = Windows::starting_at([hour(0), hour(20), hour(22), hour(23)], chrono::TimeDelta::hours(1));
    let rows: Vec<(i64, i64)> = [0, 20, 22, 23].map(|at| (at, 2)).into();
    table.replace(&windows, &[hourly(&rows)], &[]).await.unwrap();
    let written = files(&folder, "rollup/traffic_hourly").difference(&before).count();
    assert_eq!((table.file_count(), written), (23, 3), "hours 22 and 23 touch, so they share a file");
    let expected: Vec<(i64, i64)> = (0..24).map(|at| (at, if [0, 20, 22, 23].contains(&at) { 2 } else { 1 })).collect();
    assert_eq!(hours_and_volumes(&table.scan(None).await.unwrap()), expected);
}

#[tokio::test]
async fn parts_never_share_a_file_and_one_is_replaced_without_the_others() {
    let (folder, lake) = lake().await;
    let accuracy = catalog::tables::accuracy();
    let mut table = lake.table(&accuracy.name).await.unwrap();
    let of = |target: &str, hours: std::ops::Range<i64>, actual: f64| scored(&accuracy, target, hours, actual);
    for at in 0..4 {
        table.append(&[of("air", at..at + 1, 1.0), of("traffic", at..at + 1, 1.0)], &[]).await.unwrap();
    }
    assert_eq!(table.file_count(), 8);
    let before = files(&folder, "forecast/accuracy");
    let windows = Windows::one(hour(0), hour(4));
    table.replace_part("air", &windows, &[of("air", 1..2, 9.0)], &[]).await.unwrap();
    assert_eq!((table.file_count(), files(&folder, "forecast/accuracy").difference(&before).count()), (5, 1));
    table.compact(&Compaction { small_files_max: 1, fresh_times: 1, ..Default::default() }).await.unwrap();
    assert_eq!(table.file_count(), 2, "small files of one part are joined, those of two never");
    let rows = lake
        .query("SELECT target, count(*) AS rows, max(actual) AS actual FROM forecast.accuracy GROUP BY target ORDER BY target");
    let rows = arrow::util::pretty::pretty_format_batches(&rows.await.unwrap()).unwrap().to_string();
    insta::assert_snapshot!(rows, @r"
    +---------+------+--------+
    | target  | rows | actual |
    +---------+------+--------+
    | air     | 1    | 9.0    |
    | traffic | 4    | 1.0    |
    +---------+------+--------+
    ");
    let error = table.replace_part("air", &windows, &[of("traffic", 0..1, 1.0)], &[]).await.unwrap_err().to_string();
    assert!(error.contains("another part"), "{error}");
}

/// Rows of `forecast.accuracy`, one an hour.
fn scored(table: &catalog::Table, target: &str, hours: std::ops::Range<i64>, actual: f64) -> RecordBatch {
    let rows = (hours.end - hours.start) as usize;
    let at: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from_iter_values(hours.map(|at| hour(at).timestamp_micros())).with_timezone("UTC"));
    let column = |column: &catalog::Column| -> ArrayRef {
        match column.kind {
            catalog::Kind::Instant => at.clone(),
            catalog::Kind::Text => Arc::new(StringArray::from(vec![target; rows])),
            catalog::Kind::Float64 => Arc::new(Float64Array::from(vec![actual; rows])),
            _ => arrow::compute::cast(&Int64Array::from(vec![1; rows]), &column.kind.data_type()).unwrap(),
        }
    };
    RecordBatch::try_new(table.schema(), table.columns.iter().map(column).collect()).unwrap()
}
