//! How fast it is: `cargo test -p lake --test lake -- --ignored --nocapture speed`. Prints figures, and fails only where
//! a goal is missed by far.

use std::time::{Duration, Instant};

use crate::{Compaction, Lake, Mark, Windows, run_rollup};

use super::rows::*;

/// As many rows as a poll of the city brings.
const POLL_ROWS: i64 = 500;

fn poll(hours: i64, offset: i64) -> arrow::record_batch::RecordBatch {
    let rows: Vec<Observation> =
        (0..POLL_ROWS).map(|row| ("A-01", 1 + (row % 4) as i16, hours, 500 + row as i32, offset + row)).collect();
    observed(&rows)
}

fn told(what: &str, mut took: Vec<Duration>) -> Duration {
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:.2?}, p95 {:.2?}, max {:.2?} of {}", at(0.5), at(0.95), at(1.0), took.len());
    at(0.5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; run by hand"]
async fn speed_of_commits_refreshes_and_replacements() {
    const COMMITS: i64 = 1000;
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let (mut commits, mut replacements) = (Vec::new(), Vec::new());
    for number in 0..COMMITS {
        let rows = poll(number, number * POLL_ROWS);
        let mark = Mark { app_id: "traffic_volume/0".into(), from: (number > 0).then_some(number), to: number + 1 };
        let started = Instant::now();
        table.append(&[rows], &[mark]).await.unwrap();
        commits.push(started.elapsed());
    }
    let p50 = told("commit of 500 rows", commits);
    assert!(p50 < Duration::from_millis(100), "the goal is 20 ms");

    let fresh = |what| {
        let url = url(&folder);
        async move {
            let started = Instant::now();
            let lake = Lake::open(&url).await.unwrap();
            println!("opening the lake, {what}: {:.2?}", started.elapsed());
            lake
        }
    };
    let elsewhere = fresh("1,000 commits without a checkpoint").await;
    let mut refreshes = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        elsewhere.table(&OBSERVED).await.unwrap();
        refreshes.push(started.elapsed());
    }
    told("refresh without news, 1,000 files", refreshes);
    let mut refreshes = Vec::new();
    for number in 0..50 {
        table.append(&[poll(number, 0)], &[]).await.unwrap();
        let started = Instant::now();
        elsewhere.table(&OBSERVED).await.unwrap();
        refreshes.push(started.elapsed());
    }
    told("refresh with one commit, 1,000 files", refreshes);

    let started = Instant::now();
    let counted =
        elsewhere.query("SELECT spot, lane, max(volume) FROM observed.traffic_volume GROUP BY spot, lane").await.unwrap();
    println!(
        "query over 1,000 files: {:.2?} ({} rows)",
        started.elapsed(),
        counted.iter().map(|batch| batch.num_rows()).sum::<usize>()
    );
    let started = Instant::now();
    let compacted = table.compact(&Compaction::default()).await.unwrap();
    println!("compaction: {:.2?}, {compacted:?}", started.elapsed());
    let started = Instant::now();
    elsewhere.query("SELECT spot, lane, max(volume) FROM observed.traffic_volume GROUP BY spot, lane").await.unwrap();
    println!("query after it: {:.2?}", started.elapsed());
    let started = Instant::now();
    table.checkpoint().await.unwrap();
    println!("checkpoint: {:.2?}", started.elapsed());
    fresh("1,000 commits, checkpoint").await;

    // A year of a rollup in one file, then its newest day replaced hour by hour.
    let mut rollup = lake.table(&HOURLY).await.unwrap();
    let year: Vec<(i64, i64)> = (0..24 * 365).flat_map(|hour| (0..278).map(move |series| (hour, series))).collect();
    let started = Instant::now();
    rollup.append(&[hourly(&year)], &[]).await.unwrap();
    println!("append of {} rows: {:.2?}", year.len(), started.elapsed());
    for number in 0..100 {
        let newest = 24 * 365 + number;
        let windows = Windows::starting_at([0, 2, 3, 6, 24].map(|back| hour(newest - back)), chrono::TimeDelta::hours(1));
        let rows: Vec<(i64, i64)> =
            [0, 2, 3, 6, 24].into_iter().flat_map(|back| (0..278).map(move |series| (newest - back, series))).collect();
        let started = Instant::now();
        rollup.replace(&windows, &[hourly(&rows)], &[]).await.unwrap();
        replacements.push(started.elapsed());
    }
    println!("first replacement, which cuts the large file: {:.2?}", replacements[0]);
    told("replacement of five hours in a year", replacements);
    println!("files of the rollup: {}", rollup.file_count());

    let hourly = catalog::Rollup::by_name("traffic_hourly").unwrap();
    for polls in [1, 20, 400] {
        let rows: Vec<_> = (0..polls).map(|number| poll(number, number * POLL_ROWS)).collect();
        run_rollup(hourly, rows.clone()).await.unwrap();
        let started = Instant::now();
        run_rollup(hourly, rows).await.unwrap();
        println!("rollup of {} rows: {:.2?}", polls * POLL_ROWS, started.elapsed());
    }
}
