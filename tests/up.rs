//! `hangang up` as its user runs it, judged by readers that share no code with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A data folder and the ports of its own, so that a test passes while another city runs.
struct Data(tempfile::TempDir);

impl Data {
    fn new() -> Data {
        Data(tempfile::tempdir().unwrap())
    }

    fn lake(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    fn hangang(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hangang"));
        command.args(arguments).arg("--data").arg(self.0.path());
        for listen in ["HANGANG_API_LISTEN", "HANGANG_KAFKA_LISTEN", "HANGANG_POSTGRES_LISTEN", "HANGANG_SIMULATOR_LISTEN"] {
            command.env(listen, "127.0.0.1:0");
        }
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs to the end and gives what it printed.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.hangang(arguments).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }
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

/// Runs one of the readers in `tests/readers`; gives what it printed.
fn reader(script: &str, arguments: &[&Path], more: &[&str]) -> (bool, String) {
    let cache = std::env::var("HANGANG_CACHE").unwrap_or_else(|_| format!("{}/.cache/hangang", std::env::var("HOME").unwrap()));
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(script))
        .args(arguments)
        .args(more)
        .env("PYTHONPATH", Path::new(&cache).join("readers"))
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// The archive from `start` until the city has passed `until`, stepped; then the days from 2022-10-01 to `last` are
/// compared with the CSV.
fn archived_days_land_whole(until: &str, last: &str, expected_rows: u32) {
    let Some(archive) = archive() else { return };
    let data = Data::new();
    let up = ["up", "--archive", archive.to_str().unwrap(), "--start", "2022-10-01T00:00+09:00", "--speed", "stepped"];
    let (passed, text) = data.run(&[&up[..], &["--until", until, "--no-forecasts"]].concat());
    assert!(passed, "{text}");
    let csv = archive.join("traffic_volume_2022.csv.gz");
    let (equal, said) = reader("rollup_equals_archive.py", &[&data.lake(), &csv], &["2022-10-01", last]);
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
        let (imported, text) = data.run(&["import", spots.to_str().unwrap(), volumes.to_str().unwrap()]);
        assert!(imported, "{text}");
        let days = ["--from", "2022-09-01", "--to", "2022-10-31", "--output", "backtest.parquet"];
        let (forecast, text) = data.run(&[&["backtest", "--target", "traffic_volume"], &days[..]].concat());
        assert!(forecast, "{text}");
        let (passed, said) = reader("backtest_meets_bars.py", &[&data.0.path().join("backtest.parquet"), &volumes], &[]);
        println!("{said}");
        assert!(passed, "{said}\n{text}");
    }
}
