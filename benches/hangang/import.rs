//! Import: gzipped CSV → a Delta lake with its rollups, by the program itself, from its start to its end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use chrono::TimeDelta;
use simulator::{Source, open, start_default, write_history, write_spots};

use crate::machine::Since;
use crate::program::{self, free_address, hangang};
use crate::table::{Goal, Table, median, short};

/// Of the synthetic city: two million lines, as a year's sheets of the real one have.
const DAYS: i64 = 300;
const SEED: u64 = 2022;
const ROUNDS: usize = 5;
const ROWS_A_SECOND_MIN: f64 = 1e6;
const PEAK_GIB_MAX: f64 = 1.0;
const GIB: f64 = (1_u64 << 30) as f64;

pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (files, values) = generated(table, folder.path())?;
    measured(table, folder.path(), "generated", &files, Some(values))?;
    match archive()? {
        Some(files) => measured(table, folder.path(), "the archive of 2022", &files, None),
        None => {
            println!("  no archive beside the project: name its parent in HANGANG_SHARED to import it too");
            Ok(())
        }
    }
}

/// Files of the synthetic city, and how many values they hold.
fn generated(table: &mut Table, folder: &Path) -> anyhow::Result<([PathBuf; 2], u64)> {
    let city = open(&Source::Synthetic { seed: SEED })?;
    let files = [folder.join("traffic_spots.csv"), folder.join("traffic_volume.csv.gz")];
    let until = start_default();
    write_spots(&*city, &files[0], until)?;
    let started = Instant::now();
    let written = write_history(&*city, &files[1], until - TimeDelta::days(DAYS), until, &|_, _| ())?;
    let lines = written.rows as f64 / started.elapsed().as_secs_f64();
    table.add("the simulator writes history", format!("{} lines/s", short(lines)), None);
    Ok((files, written.values))
}

fn measured(table: &mut Table, folder: &Path, what: &str, files: &[PathBuf; 2], values: Option<u64>) -> anyhow::Result<()> {
    let lines = lines(&files[1])?;
    let since = Since::now()?;
    let (mut walls, mut cpus, mut peak_bytes) = (Vec::new(), Vec::new(), 0_f64);
    for _ in 0..ROUNDS {
        let data = folder.join("data");
        std::fs::create_dir(&data)?;
        let mut command = hangang(&data, &["import"]);
        // Nobody answers there: the import's own time is the machine's, whatever city runs beside.
        command.args(files).env("HANGANG_SIMULATOR_LISTEN", free_address()?.to_string());
        let took = program::watched(command)?;
        walls.push(took.wall.as_secs_f64());
        cpus.push(took.cpu_seconds);
        peak_bytes = peak_bytes.max(took.peak_bytes);
        all_are_there(&data, values)?;
        std::fs::remove_dir_all(&data)?;
    }
    let others = since.others(cpus.iter().sum())?;
    let (wall, cpu) = (median(walls), median(cpus));
    let cores = std::thread::available_parallelism()?.get() as f64;
    let rate = lines as f64 / wall;
    table.add(
        format!("import of {} lines, {what}", short(lines as f64)),
        format!("{} rows/s", short(rate)),
        Some(Goal {
            text: format!("≥ {} rows/s on 2 cores", short(ROWS_A_SECOND_MIN)),
            met: rate >= ROWS_A_SECOND_MIN,
            reason: format!(
                "{wall:.1} s by the clock and {cpu:.1} s of processor time, which {cores} idle cores give in {:.1} s at best; others took {:.0} % of the machine meanwhile",
                cpu / cores,
                others * 100.0
            ),
        }),
    );
    table.add("  took", format!("{wall:.2} s, {cpu:.2} CPU s"), None);
    table.add(
        "  its peak memory",
        format!("{:.2} GiB", peak_bytes / GIB),
        Some(Goal {
            text: format!("< {PEAK_GIB_MAX:.0} GiB"),
            met: peak_bytes < PEAK_GIB_MAX * GIB,
            reason: "all values of all files are held until every file was read to its end".to_owned(),
        }),
    );
    Ok(())
}

/// That what was measured did the work: every value is in `observed` and in its rollup.
fn all_are_there(data: &Path, values: Option<u64>) -> anyhow::Result<()> {
    let count = |table: &str| -> anyhow::Result<u64> {
        let query = format!("SELECT count(*) AS rows FROM {table}");
        let said = program::output(hangang(data, &["sql", &query, "--format", "csv"]))?;
        said.lines().last().unwrap_or_default().trim().parse().with_context(|| format!("\"{said}\" is no count"))
    };
    let (observed, rolled) = (count("observed.traffic_volume")?, count("rollup.traffic_hourly")?);
    ensure!(observed == rolled && observed > 0, "{observed} rows were observed, {rolled} rolled up");
    ensure!(values.is_none_or(|values| values == observed), "{observed} rows came of {values:?} values");
    Ok(())
}

fn lines(file: &Path) -> anyhow::Result<u64> {
    let unpacked = flate2::read::MultiGzDecoder::new(std::fs::File::open(file)?);
    let mut lines = 0;
    for line in BufReader::new(unpacked).split(b'\n') {
        line?;
        lines += 1;
    }
    // The header is none.
    Ok(lines - 1)
}

/// The real data beside the project, where it is.
fn archive() -> anyhow::Result<Option<[PathBuf; 2]>> {
    let shared =
        std::env::var_os("HANGANG_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let files = ["traffic_spots.csv", "traffic_volume_2022.csv.gz"].map(|name| shared.join("archive").join(name));
    if files.iter().all(|file| file.is_file()) {
        return Ok(Some(files));
    }
    ensure!(
        std::env::var_os("HANGANG_DEMAND_SHARED").is_none_or(|value| value != "1"),
        "the archive is demanded and not at {}",
        shared.join("archive").display()
    );
    Ok(None)
}
