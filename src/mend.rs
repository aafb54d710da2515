//! `hangang mend`: what `hangang status --check` found damaged is put aside, and made good from what there is.
//!
//! Nothing is deleted. What the topics still hold is landed again by the next processor, what is derived is derived anew,
//! and what an import had brought is asked for by name.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use catalog::{FEEDS, ROLLUPS, TableName, tables};
use clap::Args;
use lake::{Checked, Damage, DamageKind, Lake};
use stream_processor::mend;

use crate::config::Config;
use crate::folder::{self, Folder};
use crate::screen;

#[derive(Args)]
pub struct MendArgs {}

pub async fn run(config: Config, _args: MendArgs) -> anyhow::Result<()> {
    // Nobody lands meanwhile: the folder's city must stand.
    let _folder = folder::holds_lake(&config).then(|| Folder::hold(&config.data)).transpose()?;
    let mut damaged: Vec<Damage> = lake::check(&config.lake_url).await?.damaged;
    if damaged.is_empty() {
        eprintln!("nothing is damaged");
        return Ok(());
    }
    let mut affected: BTreeSet<TableName> = damaged.iter().map(|damage| damage.table.clone()).collect();
    // A table may hide damage behind its log's.
    while let Some(damage) = damaged.iter().filter(|damage| of_log(damage)).min_by_key(|damage| version(damage)) {
        let aside = damage.put_aside(&config.lake_url).await?;
        eprintln!("put aside: {aside} files of {}'s log, since \"{}\" {}", damage.table, damage.file, damage.detail);
        damaged = lake::check(&config.lake_url).await?.damaged;
        affected.extend(damaged.iter().map(|damage| damage.table.clone()));
    }
    let lake = Lake::open(&config.lake_url).await?;
    let mut imported = false;
    for table in &affected {
        let paths: Vec<String> = damaged.iter().filter(|damage| damage.table == *table).filter_map(path).collect();
        imported |= mend_table(&lake, table, &paths).await.with_context(|| format!("mending {table}"))?;
    }
    let Checked { damaged, .. } = lake.check().await?;
    if !damaged.is_empty() {
        bail!("{} files are damaged still; `hangang status --check` names them", damaged.len());
    }
    eprintln!("mended: start the city again, and what its topics hold is landed again");
    if imported {
        say_imports(&lake).await?;
    }
    Ok(())
}

/// Says whether an import may have to be made again.
async fn mend_table(lake: &Lake, table: &TableName, paths: &[String]) -> anyhow::Result<bool> {
    let name = table.to_string();
    if let Some(feed) = FEEDS.iter().find(|feed| feed.observed().name == *table) {
        let mended = mend::mend_observed(lake, feed, paths).await?;
        for (place, from, to) in &mended.again {
            eprintln!("landed again: offsets {from} to {} of {place}", to - 1);
        }
        if mended.imported > 0 {
            eprintln!("lost until imported again: {} rows of {name}", screen::count(mended.imported as u64));
        }
        mend::roll_up_anew(lake, feed).await?;
        mend::score_anew(lake).await?;
        return Ok(true);
    }
    let mut handle = lake.table(table).await?;
    let lost: Vec<_> = paths.iter().filter_map(|path| handle.lost(path)).collect();
    let rows: usize = lost.iter().filter_map(|lost| lost.rows).sum();
    handle.take_out(&lost, &|rows| vec![true; rows.num_rows()].into(), &[]).await?;
    if let Some(rollup) = ROLLUPS.iter().find(|rollup| rollup.table().name == *table) {
        mend::roll_up_anew(lake, rollup.feed).await?;
        eprintln!("rolled up anew at the next start: {name}");
        return Ok(false);
    }
    mend::score_anew(lake).await?;
    if *table == tables::accuracy().name {
        eprintln!("scored anew at the next start: {name}");
    } else {
        eprintln!("lost: {} rows of {name}, which nothing brings back", screen::count(rows as u64));
    }
    Ok(false)
}

async fn say_imports(lake: &Lake) -> anyhow::Result<()> {
    let mut files = BTreeSet::new();
    for path in lake.list(IMPORTS).await? {
        files.extend(serde_json::from_slice::<Vec<String>>(&lake.get(&path).await?).unwrap_or_default());
    }
    if !files.is_empty() {
        eprintln!("\nImport again what it had been given; what is there is not added twice:\n");
        eprintln!("  hangang import {}", files.into_iter().map(|file| format!("'{file}'")).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// Folder in the lake in which each import's files are named.
pub const IMPORTS: &str = "imports";

/// Keeps the names of files that are imported.
pub async fn keep_import(lake: &Lake, files: &[std::path::PathBuf]) -> anyhow::Result<()> {
    let names: Vec<String> =
        files.iter().map(|file| std::path::absolute(file).unwrap_or(file.clone()).display().to_string()).collect();
    let bytes = serde_json::to_vec(&names)?;
    let path = format!("{IMPORTS}/{}.json", chrono::Utc::now().timestamp_micros());
    Ok(lake.put(&path, bytes.into()).await?)
}

fn of_log(damage: &Damage) -> bool {
    !matches!(damage.kind, DamageKind::Data { .. })
}

fn version(damage: &Damage) -> i64 {
    match damage.kind {
        DamageKind::Commit { version } | DamageKind::Checkpoint { version } => version,
        DamageKind::Data { .. } => i64::MAX,
    }
}

fn path(damage: &Damage) -> Option<String> {
    match &damage.kind {
        DamageKind::Data { path } => Some(path.clone()),
        _ => None,
    }
}
