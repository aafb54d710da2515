//! How fast it answers and writes. Run alone: `cargo test -p simulator --test simulator -- --ignored --nocapture`.

use std::time::Instant;

use crate::{HISTORY_DAYS, Source, open, start_default, write_history};
use chrono::TimeDelta;
use futures::StreamExt;

use crate::tests::{KEY, Running, shared};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn answers_and_history_lines_a_second() {
    const REQUESTS: usize = 20_000;
    const AT_ONCE: usize = 32;
    let city = Running::synthetic("2022-10-08T00:00:00Z").await;
    let client = reqwest::Client::new();
    let base = city.simulator.url();
    let begun = Instant::now();
    let bytes: usize = futures::stream::iter(0..REQUESTS)
        .map(|number| {
            let url =
                format!("{base}/{KEY}/xml/VolInfo/1/1000/D-{:02}/2022100{}/{:02}/", 1 + number % 46, 1 + number % 7, number % 24);
            let client = client.clone();
            async move { client.get(url).send().await.unwrap().text().await.unwrap().len() }
        })
        .buffer_unordered(AT_ONCE)
        .fold(0, async |sum, bytes| sum + bytes)
        .await;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{:.0} answers/s ({bytes} bytes), its client in the same process", REQUESTS as f64 / seconds);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.csv.gz");
    let until = start_default();
    let begun = Instant::now();
    let written =
        write_history(&**city.simulator.city(), &path, until - TimeDelta::days(HISTORY_DAYS), until, &|_, _| ()).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let size = path.metadata().unwrap().len();
    println!("{HISTORY_DAYS} days of history: {} lines in {seconds:.2} s, {size} bytes", written.rows);

    let Some(folder) = shared("archive") else { return };
    let begun = Instant::now();
    let archive = open(&Source::Archive { folder }).unwrap();
    println!("{} opened in {:.2} s", archive.identity(), begun.elapsed().as_secs_f64());
}
