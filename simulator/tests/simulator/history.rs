//! The history of a synthetic city, as files that an importer reads.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Source, open, start_default, write_history, write_spots};
use chrono::{DateTime, TimeDelta, Utc};

use crate::tests::Running;

fn read(path: &std::path::Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_holds_the_final_totals_of_what_could_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic_volume_history.csv.gz");
    let city = Running::synthetic("2022-10-01T00:00:00Z").await;
    let until = start_default();
    let from = until - TimeDelta::days(2);
    let told = AtomicU64::new(0);
    let progress = |done, all| {
        assert!(done >= told.load(Ordering::Relaxed) && all == 47);
        told.store(done, Ordering::Relaxed);
    };
    let written = write_history(&**city.simulator.city(), &path, from, until, &progress).unwrap();
    assert_eq!(told.into_inner(), 47, "the last hour before the start can't be had yet");

    let text = read(&path);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("observed_at,spot_num,io_type,vol"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines[0].rsplit_once(',').unwrap().0, "2022-09-29T00:00:00+09:00,A-01,1");
    assert_eq!(lines[lines.len() - 1].rsplit_once(',').unwrap().0, "2022-09-30T22:00:00+09:00,F-10,2");
    assert_eq!((lines.len(), written.rows), (47 * 278, 47 * 278));
    let values: Vec<&str> = lines.iter().filter(|line| !line.ends_with(',')).copied().collect();
    assert_eq!(values.len() as u64, written.values);

    // The sum over lanes of the final truth, hour by hour, is what the file has.
    let truth = city.get(&format!("/truth/volume?from={}&to=2022-09-30T14:00:00Z", from.to_rfc3339().replace('+', "%2B"))).await;
    let mut totals: std::collections::BTreeMap<String, u32> = Default::default();
    for line in truth.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let hour: DateTime<Utc> = cells[0].parse().unwrap();
        let stamp = catalog::kst::at_kst(hour).to_rfc3339();
        *totals.entry(format!("{stamp},{},{}", cells[1], cells[2])).or_default() += cells[4].parse::<u32>().unwrap();
    }
    let expected: Vec<String> = totals.into_iter().map(|(series, total)| format!("{series},{total}")).collect();
    assert_eq!(values, expected);
}

#[test]
fn the_same_history_is_the_same_file_and_an_archive_again() {
    let folder = tempfile::tempdir().unwrap();
    let city = open(&Source::Synthetic { seed: 3 }).unwrap();
    let (from, until) = (start_default() - TimeDelta::hours(30), start_default());
    let paths = ["traffic_volume_a.csv.gz", "b.csv.gz"].map(|name| folder.path().join(name));
    for path in &paths {
        write_history(&*city, path, from, until, &|_, _| ()).unwrap();
    }
    assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
    write_spots(&*city, &folder.path().join("traffic_spots.csv"), until).unwrap();

    let again = open(&Source::Archive { folder: folder.path().to_owned() }).unwrap();
    assert_eq!(again.spots(chrono::NaiveDate::MIN), city.spots(chrono::NaiveDate::MIN));
    assert_eq!(again.ids(), city.ids());
    assert_eq!(again.period(), from..until - TimeDelta::hours(1));
    for hour in (0..29).map(|hour| from + TimeDelta::hours(hour)) {
        assert_eq!(again.totals(hour), city.totals(hour), "{hour}");
    }
}

#[test]
fn a_history_that_cannot_be_written_is_said() {
    let city = open(&Source::Synthetic { seed: 3 }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let path = folder.path().join("file/history.csv.gz");
    let error = write_history(&*city, &path, start_default(), start_default(), &|_, _| ()).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(&folder.path().display().to_string(), ""), @r#"cannot write "/file/history.csv.gz": Not a directory (os error 20); make the folder writable and see that the disk has room"#);
}
