//! `hangang import FILE…`: bulk history into the lake, without a broker.

use std::path::PathBuf;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::Args;
use lake::Lake;
use stream_processor::ImportOptions;

use crate::city;
use crate::config::{Config, Source, parse_instant};
use crate::screen::{self, Progress, fact};
use crate::{folder, history, mend, stages};

#[derive(Args)]
pub struct ImportArgs {
    /// CSV files, gzipped or not; each is recognised by its header
    #[arg(required_unless_present = "history", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Import what lies before the city's start, once, as the first `hangang up` on a data folder does
    #[arg(long, conflicts_with_all = ["files", "before"])]
    history: bool,
    /// Leave out rows that could be had only after this time
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    before: Option<DateTime<Utc>>,
}

pub async fn run(config: Config, args: ImportArgs) -> anyhow::Result<()> {
    if args.history {
        return own_history(&config).await;
    }
    if let Some(missing) = args.files.iter().find(|file| !file.is_file()) {
        bail!("there is no file \"{}\"", missing.display());
    }
    let lake = stages::lake(&config).await?;
    let now = city_now(&config).await?;
    // What a city could not have received yet is its to poll: known too early, it would be forecast from.
    let before = args.before.into_iter().chain(now).min();
    if let (Some(now), true) = (now, args.before.is_none()) {
        fact("city", format!("now {}: rows that could be had only later are left to its polling", screen::kst(now)));
    }
    import(&lake, &args.files, before, now.unwrap_or_else(|| clock::Clock::real().now())).await
}

/// The time of the city that the data folder belongs to: its clock's, and while it stands still what is kept of it. None
/// where no city has begun yet, or where it is the real one, whose time is the machine's.
async fn city_now(config: &Config) -> anyhow::Result<Option<DateTime<Utc>>> {
    if config.city.source == Source::Real {
        return Ok(None);
    }
    match city::time(config).await {
        Ok(clock) => Ok(Some(clock.now())),
        Err(_) => Ok(clock::kept::read(&config.data.join("clock"))?),
    }
}

/// The history of the configured city, which needs no simulator that answers: the same seed is the same city.
async fn own_history(config: &Config) -> anyhow::Result<()> {
    // Made in any case: who only looks at the lake may begin once this has ended.
    let lake = stages::lake(config).await?;
    let Some(source) = city::simulated(&config.city.source) else {
        fact("history", "the real city brings none; give files of it: hangang import FILE…");
        return Ok(());
    };
    let city = tokio::task::spawn_blocking(move || simulator::open(&source)).await??;
    folder::mark(&config.data)?;
    if !history::import_once(config, &*city, &lake).await? {
        fact("history", "was imported before");
    }
    Ok(())
}

/// Of files what was received by a city's start.
pub async fn received_by_start(lake: &Lake, files: &[PathBuf], start: DateTime<Utc>) -> anyhow::Result<()> {
    import(lake, files, Some(start), start).await
}

async fn import(lake: &Lake, files: &[PathBuf], received_until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> anyhow::Result<()> {
    let progress = Progress::start("import", "bytes");
    let options = ImportOptions { received_until, now };
    mend::keep_import(lake, files).await?;
    let report = stream_processor::import(lake, files, options, &|done, total| progress.report(done, total)).await?;
    let took = progress.finish();
    let mut parts = vec![
        format!("{} new", screen::count(report.added)),
        format!("{} revised", screen::count(report.revised)),
        format!("{} known already", screen::count(report.known)),
        format!("{} without a value", screen::count(report.empty)),
    ];
    if report.repeated > 0 {
        parts.push(format!("{} given again by a later line", screen::count(report.repeated)));
    }
    if report.left_out > 0 {
        parts.push(format!("{} received after the start, which are polled", screen::count(report.left_out)));
    }
    fact("imported", format!("{} lines in {}: {}", screen::count(report.lines), screen::duration(took), parts.join(", ")));
    Ok(())
}
