//! Rows and marks become visible together, once, whoever else writes.

use std::sync::Arc;

use crate::{Lake, Mark, Outcome, Table, Windows};
use tokio::sync::Barrier;

use super::rows::*;

fn mark(from: Option<i64>, to: i64) -> Mark {
    Mark { app_id: "traffic_volume/0".into(), from, to }
}

/// Lands offsets `from..to` of partition 0, one row each.
async fn land(table: &mut Table, from: Option<i64>, to: i64) -> Outcome {
    let rows: Vec<Observation> = (from.unwrap_or(0)..to).map(|offset| ("A-01", 1, offset, 100, offset)).collect();
    table.append(&[observed(&rows)], &[mark(from, to)]).await.unwrap()
}

#[tokio::test]
async fn rows_and_marks_become_visible_together() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let before = table.clone();
    assert_eq!((table.version(), table.mark("traffic_volume/0")), (0, None));
    assert_eq!(land(&mut table, None, 3).await, Outcome::Committed { version: 1 });
    assert_eq!((table.version(), table.mark("traffic_volume/0"), table.rows()), (1, Some(3), Some(3)));
    assert_eq!(offsets(&table.scan(None).await.unwrap()), [0, 1, 2]);
    assert_eq!(before.rows(), Some(0), "a snapshot does not change");
    let other = lake.table(&OBSERVED).await.unwrap();
    assert_eq!((other.version(), other.mark("traffic_volume/0")), (1, Some(3)));
}

#[tokio::test]
async fn of_two_owners_of_a_partition_one_lands_and_the_other_is_told() {
    let (folder, first) = lake().await;
    let second = Lake::open(&url(&folder)).await.unwrap(); // shares nothing with the first: another process
    let mut one = first.table(&OBSERVED).await.unwrap();
    let mut two = second.table(&OBSERVED).await.unwrap();
    assert_eq!(land(&mut one, None, 5).await, Outcome::Committed { version: 1 });
    assert_eq!(land(&mut two, None, 3).await, Outcome::Superseded);
    assert_eq!((two.version(), two.mark("traffic_volume/0")), (1, Some(5)), "the loser knows where to go on");
    assert_eq!(land(&mut two, Some(5), 7).await, Outcome::Committed { version: 2 });
    assert_eq!(land(&mut one, Some(5), 9).await, Outcome::Superseded);
    one.reload().await.unwrap();
    assert_eq!(offsets(&one.scan(None).await.unwrap()), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(parquet_files(&folder), 2, "a superseded commit leaves no file behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_meet_lose_nothing_and_double_nothing() {
    const COMMITS: i64 = 40;
    let (folder, lake) = lake().await;
    // Two processes that share partition 0 (a rebalance gone wrong), and one with a partition of its own. The two begin
    // every round at the same mark, together.
    let together = Arc::new(Barrier::new(2));
    let shared = || {
        let (url, together) = (url(&folder), together.clone());
        tokio::spawn(async move {
            let lake = Lake::open(&url).await.unwrap();
            let mut table = lake.table(&OBSERVED).await.unwrap();
            let mut superseded = 0;
            for _ in 0..COMMITS {
                table.reload().await.unwrap();
                let from = table.mark("traffic_volume/0");
                together.wait().await;
                if land(&mut table, from, from.unwrap_or(0) + 3).await == Outcome::Superseded {
                    superseded += 1;
                }
                together.wait().await;
            }
            superseded
        })
    };
    let alone = {
        let url = url(&folder);
        tokio::spawn(async move {
            let lake = Lake::open(&url).await.unwrap();
            let mut table = lake.table(&OBSERVED).await.unwrap();
            for number in 0..COMMITS {
                let from = (number > 0).then_some(number);
                let marks = [Mark { app_id: "traffic_volume/1".into(), from, to: number + 1 }];
                let rows = observed(&[("B-01", 1, number, 7, 1_000 + number)]);
                let outcome = table.append(&[rows], &marks).await.unwrap();
                assert!(matches!(outcome, Outcome::Committed { .. }), "nobody else has partition 1");
            }
        })
    };
    let sharing = [shared(), shared()];
    alone.await.unwrap();
    let mut superseded = 0;
    for writer in sharing {
        superseded += writer.await.unwrap();
    }
    assert_eq!(superseded, COMMITS, "in every round one lands and the other is told");
    let table = lake.table(&OBSERVED).await.unwrap();
    let expected: Vec<i64> = (0..COMMITS * 3).chain(1_000..1_000 + COMMITS).collect();
    assert_eq!(offsets(&table.scan(None).await.unwrap()), expected);
    assert_eq!(table.version(), 2 * COMMITS, "as many versions as commits");
}

#[tokio::test]
async fn nothing_to_commit_makes_no_version() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    assert_eq!(table.append(&[], &[]).await.unwrap(), Outcome::Committed { version: 0 });
    assert_eq!(table.append(&[observed(&[])], &[mark(None, 4)]).await.unwrap(), Outcome::Committed { version: 1 });
    assert_eq!((table.mark("traffic_volume/0"), parquet_files(&_folder)), (Some(4), 0));
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused_with_both_shapes() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let error = table.append(&[hourly(&[(0, 1)])], &[]).await.unwrap_err().to_string();
    assert!(
        error.contains("observed.traffic_volume") && error.contains("volume Int64") && error.contains("volume Int32"),
        "{error}"
    );
}

#[tokio::test]
async fn a_scan_by_windows_gives_exactly_their_rows() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    for start in [6, 0, 3] {
        let rows: Vec<Observation> = (start..start + 4).rev().map(|hour| ("A-01", 1, hour, 5, hour)).collect();
        table.append(&[observed(&rows)], &[]).await.unwrap();
    }
    let windows = Windows::new([(hour(1), hour(3)), (hour(9), hour(12))]);
    assert_eq!(offsets(&table.scan(Some(&windows)).await.unwrap()), [1, 2, 9]);
    assert_eq!(offsets(&table.scan(Some(&Windows::default())).await.unwrap()), [0i64; 0]);
}

#[tokio::test]
async fn what_was_added_since_a_version_skips_compaction() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    for offset in 0..6 {
        table.append(&[observed(&[("A-01", 1, offset, 5, offset)])], &[]).await.unwrap();
    }
    let compaction = crate::Compaction { small_files_max: 2, ..Default::default() };
    let compacted = table.compact(&compaction).await.unwrap();
    assert_eq!((compacted.files_before, compacted.files_after, compacted.rows), (6, 1, 6));
    table.append(&[observed(&[("A-01", 1, 6, 5, 6)])], &[]).await.unwrap();
    assert_eq!(offsets(&table.added_since(4).await.unwrap()), [4, 5, 6]);
    assert_eq!(offsets(&table.added_since(6).await.unwrap()), [6]);
    assert_eq!(offsets(&table.added_since(8).await.unwrap()), [0i64; 0]);
    // The small files are gone from the disk: what lies in the same hours stands in for them.
    table.vacuum(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(offsets(&table.added_since(4).await.unwrap()), [4, 5, 6]);
}

pub fn parquet_files(folder: &tempfile::TempDir) -> usize {
    let files = std::fs::read_dir(folder.path().join("observed/traffic_volume")).unwrap();
    files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "parquet")).count()
}
