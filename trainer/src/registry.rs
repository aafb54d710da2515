//! The registry, `forecast.models`: which bundles there are, how good they were, and which one is the champion.
//!
//! A row is added each time a bundle changes its standing; a bundle's newest row is its state. Decisions stand in one
//! order: a decision commits with a mark that counts them, so of two trainers that decide at once one is told to look
//! again, and its time is later than that of every decision before, also where the city's clock stood meanwhile. Who is
//! champion is what the view `current.champions` says of these rows, here as for every reader. A bundle's file lies
//! below `models/` in the lake, and is there before its row is; those of the champion and of the last ten are kept.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use bytes::Bytes;
use catalog::{Target, tables, views};
use chrono::{DateTime, TimeDelta, Utc};
use forecaster::Bundle;
use lake::{Lake, Mark, Outcome};

use crate::rows;

/// Standing of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Champion,
    Refused,
    Retired,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Standing::Champion => "champion",
            Standing::Refused => "refused",
            Standing::Retired => "retired",
        }
    }
}

/// A bundle's state in the registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub target: String,
    pub bundle: String,
    /// `lightgbm`, or the naive rule's name.
    pub kind: String,
    pub standing: String,
    /// Why, in words.
    pub reason: String,
    pub decided_at: DateTime<Utc>,
    pub known_at: DateTime<Utc>,
    pub fingerprint: String,
    /// JSON.
    pub scores: String,
    pub path: Option<String>,
}

/// The registry of one target at one state.
#[derive(Clone, Debug)]
pub struct Registry {
    lake: Lake,
    target: &'static Target,
    /// In the order of their decisions.
    entries: Vec<Entry>,
    champion: Option<Entry>,
    changes: Option<i64>,
}

impl Registry {
    pub async fn read(lake: &Lake, target: &'static Target) -> Result<Registry> {
        let mut table = lake.table(&tables::models().name).await.context("reading the model registry")?;
        table.reload().await?;
        let mut entries = Vec::new();
        for batch in table.scan(None).await? {
            entries.extend(read_entries(&batch)?.into_iter().filter(|entry| entry.target == target.name));
        }
        entries.sort_by_key(|entry| entry.decided_at);
        // Asked after the mark was read: where somebody decides in between, this one is told so when it registers.
        let sql = format!("SELECT * FROM {} WHERE target = '{}'", views::champions().name, target.name);
        let champions = lake.query(&sql).await.context("asking who is champion")?;
        let mut champions = champions.iter().map(read_entries).collect::<Result<Vec<_>>>()?.concat();
        ensure!(champions.len() <= 1, "\"{}\" has {} champions; which one is meant?", target.name, champions.len());
        Ok(Registry { lake: lake.clone(), target, entries, champion: champions.pop(), changes: table.mark(&app_id(target)) })
    }

    /// The champion. None before the first.
    pub fn champion(&self) -> Option<&Entry> {
        self.champion.as_ref()
    }

    /// The newest row of a bundle.
    pub fn state(&self, bundle: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.bundle == bundle)
    }

    /// Every row, in the order of their decisions.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Reads an entry's bundle from the lake.
    pub async fn load(&self, entry: &Entry) -> Result<Bundle> {
        let Some(path) = &entry.path else { bail!("bundle \"{}\" has no file; train again", entry.bundle) };
        let bytes = self.lake.get(path).await.with_context(|| format!("reading bundle \"{}\"", entry.bundle))?;
        let bundle =
            Bundle::from_bytes(&bytes).with_context(|| format!("reading bundle \"{}\" from \"{path}\"", entry.bundle))?;
        if bundle.id() != entry.bundle {
            bail!("\"{path}\" holds bundle \"{}\", the registry expects \"{}\" there; train again", bundle.id(), entry.bundle);
        }
        Ok(bundle)
    }

    /// Keeps a bundle that has no standing yet and gives it one; a new champion retires the one before. `now` is the
    /// city's time. False where the registry has changed since it was read: then nothing is changed, and one reads and
    /// decides again.
    pub async fn register(
        &mut self,
        bundle: &Bundle,
        standing: Standing,
        reason: &str,
        scores: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        assert!(self.state(bundle.id()).is_none(), "a bundle is decided about once; \"{}\" has been before", bundle.id());
        let path = format!("{}/{}.bundle", folder(self.target), bundle.id());
        self.lake
            .put(&path, Bytes::from(bundle.to_bytes()))
            .await
            .with_context(|| format!("keeping bundle \"{}\"", bundle.id()))?;
        // The mark holds that no decision comes between these and the next.
        let decided_at = self.entries.last().map_or(now, |last| now.max(last.decided_at + INSTANT));
        let entry = Entry {
            target: self.target.name.to_owned(),
            bundle: bundle.id().to_owned(),
            kind: bundle.kind().to_owned(),
            standing: standing.name().to_owned(),
            reason: reason.to_owned(),
            decided_at,
            known_at: bundle.known_at(),
            fingerprint: bundle.fingerprint().to_owned(),
            scores: scores.to_owned(),
            path: Some(path),
        };
        let retired = self.champion().filter(|_| standing == Standing::Champion).map(|champion| Entry {
            standing: Standing::Retired.name().to_owned(),
            reason: format!("replaced by {}", entry.bundle),
            decided_at,
            ..champion.clone()
        });
        let entries: Vec<Entry> = retired.into_iter().chain([entry.clone()]).collect();
        let mark = Mark { app_id: app_id(self.target), from: self.changes, to: self.changes.unwrap_or(0) + 1 };
        let mut table = self.lake.table(&tables::models().name).await?;
        match table
            .append(&[write_entries(&entries)?], std::slice::from_ref(&mark))
            .await
            .context("changing the model registry")?
        {
            Outcome::Superseded => Ok(false),
            Outcome::Committed { .. } => {
                self.changes = Some(mark.to);
                self.entries.extend(entries);
                if standing == Standing::Champion {
                    self.champion = Some(entry);
                }
                if let Err(error) = self.remove_old().await {
                    tracing::warn!(
                        target = self.target.name,
                        error = format!("{error:#}"),
                        "old bundles stay until the next decision"
                    );
                }
                Ok(true)
            }
        }
    }

    /// Removes the files of bundles that nobody asks for any more; their rows stay.
    async fn remove_old(&self) -> Result<()> {
        let mut decided: Vec<&Entry> = Vec::new();
        for entry in self.entries.iter().rev() {
            if !decided.iter().any(|later| later.bundle == entry.bundle) {
                decided.push(entry);
            }
        }
        let champion = self.champion().map(|champion| champion.bundle.as_str());
        let old = decided.into_iter().skip(KEPT).filter(|entry| Some(entry.bundle.as_str()) != champion);
        let old: Vec<&str> = old.filter_map(|entry| entry.path.as_deref()).collect();
        if old.is_empty() {
            return Ok(());
        }
        for path in self.lake.list(&folder(self.target)).await? {
            if old.contains(&path.as_str()) {
                self.lake.remove(&path).await?;
            }
        }
        Ok(())
    }
}

/// Bundles decided about last whose files are kept, beside the champion's: to look at, or to go back to.
const KEPT: usize = 10;

fn folder(target: &Target) -> String {
    format!("models/{}", target.name)
}

/// What two decisions at one instant of the city lie apart: the least that the table's times can tell.
const INSTANT: TimeDelta = TimeDelta::microseconds(1);

fn app_id(target: &Target) -> String {
    format!("models/{}", target.name)
}

fn read_entries(batch: &RecordBatch) -> Result<Vec<Entry>> {
    let text = |name| rows::text(batch, name);
    let instant = |name| rows::instant(batch, name);
    let columns = (text("target")?, text("bundle")?, text("kind")?, text("standing")?, text("reason")?);
    let (decided_at, known_at) = (instant("decided_at")?, instant("known_at")?);
    let (fingerprint, scores, path) = (text("fingerprint")?, text("scores")?, text("path")?);
    let must = |value: &Option<String>| value.clone().context("a registry row lacks what it must have");
    let must_at = |value: Option<DateTime<Utc>>| value.context("a registry row lacks what it must have");
    (0..batch.num_rows())
        .map(|row| {
            Ok(Entry {
                target: must(&columns.0[row])?,
                bundle: must(&columns.1[row])?,
                kind: must(&columns.2[row])?,
                standing: must(&columns.3[row])?,
                reason: must(&columns.4[row])?,
                decided_at: must_at(decided_at[row])?,
                known_at: must_at(known_at[row])?,
                fingerprint: must(&fingerprint[row])?,
                scores: must(&scores[row])?,
                path: path[row].clone(),
            })
        })
        .collect()
}

fn write_entries(entries: &[Entry]) -> Result<RecordBatch> {
    let text = |of: fn(&Entry) -> &str| Arc::new(StringArray::from_iter_values(entries.iter().map(of))) as ArrayRef;
    let instant = |of: fn(&Entry) -> DateTime<Utc>| {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(entries.iter().map(|entry| of(entry).timestamp_micros()))
                .with_timezone("UTC"),
        ) as ArrayRef
    };
    let columns = vec![
        text(|entry| &entry.target),
        text(|entry| &entry.bundle),
        text(|entry| &entry.kind),
        text(|entry| &entry.standing),
        text(|entry| &entry.reason),
        instant(|entry| entry.decided_at),
        instant(|entry| entry.known_at),
        text(|entry| &entry.fingerprint),
        text(|entry| &entry.scores),
        Arc::new(StringArray::from_iter(entries.iter().map(|entry| entry.path.as_deref()))),
    ];
    Ok(RecordBatch::try_new(tables::models().schema(), columns)?)
}
