//! What lies before a city's start: its files, and their import, once for each data folder.
//!
//! `up` does it at its first start; where every stage is a process of its own, `hangang import --history` does.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::TimeDelta;
use lake::Lake;
use simulator::City;

use crate::config::Config;
use crate::import;
use crate::screen::Progress;

/// Imports the history of `city`, unless it was done before. An import that was interrupted is begun again and adds what
/// is missing. Says whether there was anything to do.
pub async fn import_once(config: &Config, city: &dyn City, lake: &Lake) -> anyhow::Result<bool> {
    let done = config.data.join("imported");
    if done.exists() {
        return Ok(false);
    }
    let files = files(config, city)?;
    import::received_by_start(lake, &files, config.city.start).await?;
    std::fs::write(&done, "").with_context(|| format!("cannot write \"{}\"", done.display()))?;
    Ok(true)
}

/// The city's own files of the past; those of the synthetic city are written first.
fn files(config: &Config, city: &dyn City) -> anyhow::Result<Vec<PathBuf>> {
    if !city.history_files().is_empty() {
        return Ok(city.history_files().to_vec());
    }
    write(config, city, &config.data.join("history"))
}

fn write(config: &Config, city: &dyn City, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make \"{}\"", folder.display()))?;
    let (spots, volumes) = (folder.join("traffic_spots.csv"), folder.join("traffic_volume.csv.gz"));
    let start = config.city.start;
    let progress = Progress::start("history", "hours written");
    simulator::write_spots(city, &spots, start)?;
    let from = start - TimeDelta::days(config.city.history_days.into());
    simulator::write_history(city, &volumes, from, start, &|done, total| progress.report(done, total))?;
    progress.finish();
    Ok(vec![spots, volumes])
}
