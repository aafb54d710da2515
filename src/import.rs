//! `hangang import FILE…`: bulk history into the lake, without a broker.

use std::path::PathBuf;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::Args;
use lake::Lake;
use stream_processor::ImportOptions;

use crate::city::City;
use crate::config::{Config, parse_instant};
use crate::screen::{self, Progress, fact};
use crate::stages;

#[derive(Args)]
pub struct ImportArgs {
    /// CSV files, gzipped or not; each is recognised by its header
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Leave out rows that could be had only after this time
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    before: Option<DateTime<Utc>>,
}

pub async fn run(config: Config, args: ImportArgs) -> anyhow::Result<()> {
    if let Some(missing) = args.files.iter().find(|file| !file.is_file()) {
        bail!("there is no file \"{}\"", missing.display());
    }
    let lake = stages::lake(&config).await?;
    // The import's own time, for values that differ from what is there: the city's, where its clock answers.
    let now = City::join(&config).await.map_or_else(|_| clock::Clock::real().now(), |city| city.clock.now());
    import(&lake, &args.files, args.before, now).await
}

/// What lies before a city's start, received by then.
pub async fn history(lake: &Lake, files: &[PathBuf], start: DateTime<Utc>) -> anyhow::Result<()> {
    import(lake, files, Some(start), start).await
}

async fn import(lake: &Lake, files: &[PathBuf], received_until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> anyhow::Result<()> {
    let progress = Progress::start("import", "bytes");
    let options = ImportOptions { received_until, now };
    let report = stream_processor::import(lake, files, options, &|done, total| progress.report(done, total)).await?;
    let took = progress.finish();
    fact(
        "imported",
        format!(
            "{} lines in {}: {} new, {} revised, {} known already, {} without a value",
            screen::count(report.lines),
            screen::duration(took),
            screen::count(report.added),
            screen::count(report.revised),
            screen::count(report.known),
            screen::count(report.empty),
        ),
    );
    Ok(())
}
