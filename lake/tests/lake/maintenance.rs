//! Upkeep changes how fast a table is, never what it says.

use std::time::Duration;

use crate::{Compaction, Lake, LakeError, Maintenance, Mark, Outcome, Windows, maintain};
use tokio_util::sync::CancellationToken;

use super::rows::*;

fn eager() -> Compaction {
    Compaction { small_files_max: 2, ..Default::default() }
}

pub fn mark(from: Option<i64>, to: i64) -> [Mark; 1] {
    [Mark { app_id: "traffic_volume/0#1".into(), from, to }]
}

#[tokio::test]
async fn marks_and_rows_survive_checkpoint_compaction_and_a_cleaned_log() {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    for offset in 0..8 {
        let rows = observed(&[("A-01", 1, offset, 5, offset)]);
        table.append(&[rows], &mark((offset > 0).then_some(offset), offset + 1)).await.unwrap();
    }
    table.compact(&eager()).await.unwrap();
    table.checkpoint().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(table.vacuum(Duration::from_millis(1)).await.unwrap() >= 8);
    assert!(table.clean_log(Duration::from_millis(1)).await.unwrap() >= 8);
    assert!(!folder.path().join("observed/traffic_volume/_delta_log/00000000000000000003.json").exists());
    let opened = Lake::open(&url(&folder)).await.unwrap();
    let mut table = opened.table(&OBSERVED).await.unwrap();
    assert_eq!((table.version(), table.mark("traffic_volume/0#1")), (9, Some(8)));
    assert_eq!(offsets(&table.scan(None).await.unwrap()), (0..8).collect::<Vec<_>>());
    assert_eq!(
        table.append(&[observed(&[("A-01", 1, 8, 5, 8)])], &mark(Some(8), 9)).await.unwrap(),
        Outcome::Committed { version: 10 }
    );
    assert_eq!(table.rows(), Some(9));
    // The log no longer reaches back to version 2: the whole table counts as added.
    assert_eq!(offsets(&table.added_since(2).await.unwrap()), (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_checkpoint_says_what_the_commits_said() {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&HOURLY).await.unwrap();
    for hours in 0..5 {
        table.replace(&Windows::one(hour(hours), hour(hours + 2)), &[hourly(&[(hours, 1), (hours + 1, 2)])], &[]).await.unwrap();
    }
    let before = hours_and_volumes(&table.scan(None).await.unwrap());
    table.checkpoint().await.unwrap();
    let mut later = table.clone();
    later.append(&[hourly(&[(20, 20)])], &[]).await.unwrap();
    let opened = Lake::open(&url(&folder)).await.unwrap().table(&HOURLY).await.unwrap();
    assert_eq!(opened.rows(), Some(before.len() as u64 + 1));
    let narrow = Windows::one(hour(0), hour(10));
    assert_eq!(hours_and_volumes(&opened.scan(Some(&narrow)).await.unwrap()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compaction_beside_appends_and_replacements_loses_nothing() {
    const ROUNDS: i64 = 60;
    let (folder, lake) = lake().await;
    let appending = {
        let mut table = lake.table(&HOURLY).await.unwrap();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                table.append(&[hourly(&[(1000 + round, round)])], &[]).await.unwrap();
            }
        })
    };
    let replacing = {
        let lake = Lake::open(&url(&folder)).await.unwrap();
        let mut table = lake.table(&HOURLY).await.unwrap();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let at = round % 7;
                table.replace(&Windows::one(hour(at), hour(at + 1)), &[hourly(&[(at, round)])], &[]).await.unwrap();
            }
        })
    };
    let compacting = {
        let lake = Lake::open(&url(&folder)).await.unwrap();
        let mut table = lake.table(&HOURLY).await.unwrap();
        tokio::spawn(async move {
            let mut joined = 0;
            while !(appending.is_finished() && replacing.is_finished()) {
                joined += table.compact(&Compaction { small_files_max: 1, ..Default::default() }).await.unwrap().files_before;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            appending.await.unwrap();
            replacing.await.unwrap();
            joined
        })
    };
    assert!(compacting.await.unwrap() > 0, "nothing was ever joined, so nothing was shown");
    let table = lake.table(&HOURLY).await.unwrap();
    let replaced = (0..7).map(|at| (at, (0..ROUNDS).rev().find(|round| round % 7 == at).unwrap()));
    let expected: Vec<(i64, i64)> = replaced.chain((0..ROUNDS).map(|round| (1000 + round, round))).collect();
    assert_eq!(hours_and_volumes(&table.scan(None).await.unwrap()), expected);
}

#[tokio::test]
async fn fresh_files_are_joined_only_with_their_like() {
    let (_folder, lake) = lake().await;
    let mut table = lake.table(&HOURLY).await.unwrap();
    for hours in (0..5).chain(1000..1002) {
        table.append(&[hourly(&[(hours, 1)])], &[]).await.unwrap();
    }
    let compacted = table.compact(&eager()).await.unwrap();
    assert_eq!(
        (compacted.files_before, compacted.files_after, table.file_count()),
        (5, 1, 3),
        "two fresh files are not too many"
    );
}

#[tokio::test]
async fn a_vacuum_spares_what_a_reader_or_a_writer_may_still_want() {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    for offset in 0..4 {
        table.append(&[observed(&[("A-01", 1, offset, 5, offset)])], &[]).await.unwrap();
    }
    let reader = table.clone();
    tokio::time::sleep(Duration::from_millis(50)).await; // the files are old now, their removal is not
    table.compact(&eager()).await.unwrap();
    std::fs::write(folder.path().join("observed/traffic_volume/part-unfinished.parquet"), "begun").unwrap();
    assert_eq!(table.vacuum(Duration::from_millis(40)).await.unwrap(), 0);
    assert_eq!(offsets(&reader.scan(None).await.unwrap()), [0, 1, 2, 3]);
    assert_eq!(table.vacuum(Duration::ZERO).await.unwrap(), 5);
    let error = reader.scan(None).await.unwrap_err();
    assert!(matches!(error, LakeError::NotFound { .. }) && error.to_string().contains("reload the table"), "{error}");
    assert_eq!(offsets(&table.scan(None).await.unwrap()), [0, 1, 2, 3]);
}

#[tokio::test]
async fn upkeep_runs_beside_a_writer_and_stops_when_told() {
    let (folder, lake) = lake().await;
    let cancel = CancellationToken::new();
    let maintenance = Maintenance {
        interval: Duration::from_millis(20),
        compaction: eager(),
        checkpoint_commits: 10,
        file_retention: Duration::from_millis(200),
        log_retention: Duration::from_secs(3600),
        cleaning_interval: Duration::from_millis(100),
    };
    let upkeep = tokio::spawn(maintain(lake.clone(), maintenance, cancel.clone()));
    let mut table = lake.table(&OBSERVED).await.unwrap();
    for offset in 0..60 {
        table
            .append(&[observed(&[("A-01", 1, offset, 5, offset)])], &mark((offset > 0).then_some(offset), offset + 1))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let kept = async {
        loop {
            table.reload().await.unwrap();
            if table.file_count() <= 3 && super::commits::parquet_files(&folder) < 20 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), kept).await.expect("small files are joined, and old ones deleted");
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(60), upkeep).await.expect("it stops when told").unwrap();
    let table = Lake::open(&url(&folder)).await.unwrap().table(&OBSERVED).await.unwrap();
    assert!(folder.path().join("observed/traffic_volume/_delta_log/_last_checkpoint").exists());
    assert_eq!((offsets(&table.scan(None).await.unwrap()), table.mark("traffic_volume/0#1")), ((0..60).collect(), Some(60)));
}
