//! `hangang up` as its user runs it, judged by readers that share no code with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Data, Running, reader};

/// What a week of the archive or a backtest of two months may take.
const DONE_WITHIN: Duration = Duration::from_secs(900);

/// Runs `hangang ARGUMENTS…` to its good end, and gives what it printed.
fn done(data: &Data, arguments: &[&str]) -> String {
    Running::start(&format!("hangang {}", arguments[0]), data.hangang(arguments)).ended(DONE_WITHIN).well()
}

/// The folder of real data, where it is at hand.
fn archive() -> Option<PathBuf> {
    let shared =
        std::env::var_os("HANGANG_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let archive = shared.join("archive");
    if archive.is_dir() {
        return Some(archive);
    }
    assert!(std::env::var_os("HANGANG_DEMAND_SHARED").is_none(), "the archive is demanded and not at {}", archive.display());
    eprintln!("skipped: no archive at {}; name its parent in HANGANG_SHARED", archive.display());
    None
}

/// The archive from `start` until the city has passed `until`, stepped; then the days from 2022-10-01 to `last` are
/// compared with the CSV.
fn archived_days_land_whole(until: &str, last: &str, expected_rows: u32) {
    let Some(archive) = archive() else { return };
    let data = Data::new();
    let up = ["up", "--archive", archive.to_str().unwrap(), "--start", "2022-10-01T00:00+09:00", "--speed", "stepped"];
    let text = done(&data, &[&up[..], &["--until", until, "--no-forecasts"]].concat());
    let (lake, csv) = (data.join("lake"), archive.join("traffic_volume_2022.csv.gz"));
    let compared = [lake.to_str().unwrap(), csv.to_str().unwrap(), "2022-10-01", last];
    let (equal, said) = reader("rollup_equals_archive.py", &compared);
    println!("{said}");
    assert!(equal, "{said}\n{text}");
    assert!(said.starts_with(&format!("expected {expected_rows}, found {expected_rows}, missing 0, extra 0")), "{said}");
}

#[test]
fn a_day_of_the_archive_lands_whole() {
    archived_days_land_whole("2022-10-03T01:00+09:00", "2022-10-01", 5_727);
}

/// The second tier: `make slow`.
mod slow {
    use super::*;

    #[test]
    #[ignore = "slow"]
    fn a_week_of_the_archive_lands_whole() {
        archived_days_land_whole("2022-10-09T01:00+09:00", "2022-10-07", 39_537);
    }

    #[test]
    #[ignore = "slow"]
    fn two_months_of_the_archive_are_forecast_better_than_the_bars() {
        let Some(archive) = archive() else { return };
        let data = Data::new();
        let (spots, volumes) = (archive.join("traffic_spots.csv"), archive.join("traffic_volume_2022.csv.gz"));
        done(&data, &["import", spots.to_str().unwrap(), volumes.to_str().unwrap()]);
        let days = ["--from", "2022-09-01", "--to", "2022-10-31", "--output", "backtest.parquet"];
        let text = done(&data, &[&["backtest", "--target", "traffic_volume"], &days[..]].concat());
        let forecasts = data.join("backtest.parquet");
        let (passed, said) = reader("backtest_meets_bars.py", &[forecasts.to_str().unwrap(), volumes.to_str().unwrap()]);
        println!("{said}");
        assert!(passed, "{said}\n{text}");
    }
}
