//! A kept file is emptied, halved or removed: it is named, `hangang status --check` says what mends it, and `hangang mend`
//! does: afterwards each offset stands once again, and what is rolled up agrees.

use std::path::{Path, PathBuf};
use std::process::Command;

use catalog::Rollup;
use lake::Lake;

use crate::support::Data;

/// A city of two hours with three days before them, stopped.
const CITY: [&str; 6] = ["up", "--speed", "stepped", "--no-forecasts", "--set", "city.history_days=3"];
const UNTIL: [&str; 2] = ["--until", "2022-10-01T04:40+09:00"];

/// Of what was polled, what had been landed before the damage: a start asks for what the lake may lack, so more may come.
const OBSERVED: &str = "SELECT generation, \"partition\", \"offset\", spot, direction, lane, observed_at, volume FROM observed.traffic_volume WHERE topic IS NOT NULL AND \"offset\" < 3000 ORDER BY 2, 3";
const IMPORTED: &str =
    "SELECT spot, direction, observed_at, volume FROM observed.traffic_volume WHERE topic IS NULL ORDER BY 1, 2, 3";
/// Empty while every offset stands once.
const TORN: &str = "SELECT generation, \"partition\", count(*), max(\"offset\") FROM observed.traffic_volume WHERE topic IS NOT NULL GROUP BY 1, 2 HAVING count(*) <> max(\"offset\") + 1 OR count(*) <> count(DISTINCT \"offset\")";

fn run_city(data: &Data) -> String {
    data.run(&[&CITY[..], &UNTIL[..]].concat()).well()
}

fn rows(data: &Data, sql: &str) -> String {
    data.run(&["sql", sql, "--format", "csv"]).well()
}

/// Whether the rollup's table holds what its SQL gives over all that is observed.
fn rollup_agrees(data: &Data) {
    let lines = |batches: Vec<arrow::array::RecordBatch>| {
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (table, sql) = runtime.block_on(async {
        let lake = Lake::open(&url::Url::from_directory_path(data.join("lake")).unwrap()).await.unwrap();
        let rollup = Rollup::by_name("traffic_hourly").unwrap();
        let observed = lake.table(&rollup.feed.observed().name).await.unwrap().scan(None).await.unwrap();
        let table = lake.table(&rollup.table().name).await.unwrap().scan(None).await.unwrap();
        (lines(table), lines(lake::run_rollup(rollup, observed).await.unwrap()))
    });
    assert!(table.len() > 1000);
    assert!(table == sql, "{:?}", table.iter().zip(&sql).find(|(table, sql)| table != sql));
}

fn copy(from: &Data) -> Data {
    let to = Data::new();
    let copied = Command::new("cp").arg("-a").arg(format!("{}/.", from.path().display())).arg(to.path()).status().unwrap();
    assert!(copied.success());
    to
}

fn log(data: &Data, table: &str) -> Vec<PathBuf> {
    let mut commits = files(&data.join("lake").join(table).join("_delta_log"), "json");
    commits.sort();
    commits
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn halve(file: &Path) {
    let whole = std::fs::read(file).unwrap();
    std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
}

fn empty(file: &Path) {
    std::fs::write(file, "").unwrap();
}

#[test]
fn what_damage_took_is_named_and_comes_back() {
    let whole = Data::new();
    run_city(&whole);
    assert!(whole.run(&["status", "--check"]).well().contains("nothing is damaged"));
    let before = [OBSERVED, IMPORTED, TORN].map(|sql| rows(&whole, sql));
    let counts = before.each_ref().map(|rows| rows.lines().count());
    assert!(counts[0] > 10_000 && counts[1] > 10_000 && counts[2] <= 1, "{counts:?}: {}", before[2]);
    rollup_agrees(&whole);

    let newest = |data: &Data| log(data, "observed/traffic_volume").pop().unwrap();
    let middle = |data: &Data| log(data, "observed/traffic_volume")[2].clone();
    // The largest: that of the import; and the smallest: polled rows.
    let by_size = |data: &Data| {
        let mut files = files(&data.join("lake/observed/traffic_volume"), "parquet");
        files.sort_by_key(|file| std::fs::metadata(file).unwrap().len());
        files
    };
    type Damage<'a> = (&'a str, &'a dyn Fn(&Data) -> PathBuf);
    let damages: [Damage; 6] = [
        ("an empty newest commit", &|data| {
            let file = newest(data);
            empty(&file);
            file
        }),
        ("half a commit amid others", &|data| {
            let file = middle(data);
            halve(&file);
            file
        }),
        ("a commit that is gone", &|data| {
            let file = middle(data);
            std::fs::remove_file(&file).unwrap();
            file
        }),
        ("an empty file of polled rows", &|data| {
            let file = by_size(data).remove(0);
            empty(&file);
            file
        }),
        ("half a file of imported rows", &|data| {
            let file = by_size(data).pop().unwrap();
            halve(&file);
            file
        }),
        ("an empty commit of a rollup", &|data| {
            let file = log(data, "rollup/traffic_hourly").pop().unwrap();
            empty(&file);
            file
        }),
    ];
    for (what, damage) in damages {
        let data = copy(&whole);
        let file = damage(&data);
        let name = file.file_name().unwrap().to_str().unwrap();
        let said = data.run(&["status", "--check"]).badly();
        assert!(said.contains(name) && said.contains("mending ") && said.contains("`hangang mend`"), "{what}: {said}");
        if name.ends_with(".json") {
            let said = data.run(&[&CITY[..], &UNTIL[..]].concat()).badly();
            assert!(said.contains(name) && said.contains("`hangang status --check`"), "{what}: {said}");
        }
        let said = data.run(&["mend"]).well();
        println!("== {what}\n{said}");
        run_city(&data);
        if let Some((_, import)) = said.split_once("  hangang import ") {
            let paths: Vec<&str> = import.trim().split('\'').filter(|path| path.contains('/')).collect();
            // The copy's own files stand in for those of the folder that it was copied from.
            data.run(&[&["import"], &paths[..]].concat()).well();
            run_city(&data);
        }
        let after = [OBSERVED, IMPORTED, TORN].map(|sql| rows(&data, sql));
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.lines().count(), after.lines().count(), "{what}: rows");
            assert!(before == after, "{what}: {:?}", before.lines().zip(after.lines()).find(|(a, b)| a != b));
        }
        rollup_agrees(&data);
        assert!(data.run(&["status", "--check"]).well().contains("nothing is damaged"), "{what}");
    }
}
