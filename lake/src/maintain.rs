//! What keeps the lake fast while it runs: small files joined, checkpoints written so that a log opens quickly, and
//! what nobody can need any more deleted. Nothing here changes what a table says.
//!
//! It goes by the machine's clock, not the city's: files on a disk and readers of old snapshots live in real time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use tokio_util::sync::CancellationToken;

use crate::table::{Compaction, Table};
use crate::{Lake, LakeError};

/// How the lake is kept.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// Between two rounds over all tables.
    pub interval: Duration,
    pub compaction: Compaction,
    /// A log gets a checkpoint after this many commits: opening a table replays at most these.
    pub checkpoint_commits: i64,
    /// How long a file stays that was taken out of its table or never got into one: what a reader may take that holds
    /// an older snapshot, and a writer from its first file to its commit.
    pub file_retention: Duration,
    /// How long commits stay that a checkpoint covers: what `ops.commits` shows, and how far behind a rollup may be
    /// without looking at the whole table.
    pub log_retention: Duration,
    /// Between two deletions of what is old.
    pub cleaning_interval: Duration,
}

/// Also written into each table, for other engines and for the checkpoints' own tombstones.
const FILE_RETENTION: Duration = Duration::from_secs(30 * 60);
const LOG_RETENTION: Duration = Duration::from_secs(24 * 3600);

impl Default for Maintenance {
    fn default() -> Maintenance {
        Maintenance {
            interval: Duration::from_secs(5),
            compaction: Compaction::default(),
            checkpoint_commits: 50,
            file_retention: FILE_RETENTION,
            log_retention: LOG_RETENTION,
            cleaning_interval: Duration::from_secs(5 * 60),
        }
    }
}

/// Properties of every table. Marks never expire: `delta.setTransactionRetentionDuration` is left out on purpose.
pub(crate) fn table_properties() -> [(&'static str, String); 3] {
    [
        // A clean-up after every commit would cost each 50 ms.
        ("delta.enableExpiredLogCleanup", "false".to_owned()),
        ("delta.deletedFileRetentionDuration", format!("interval {} seconds", FILE_RETENTION.as_secs())),
        ("delta.logRetentionDuration", format!("interval {} seconds", LOG_RETENTION.as_secs())),
    ]
}

/// Keeps all tables until `cancel`; whatever is under way then ends first. What fails is told and tried again.
pub async fn maintain(lake: Lake, maintenance: Maintenance, cancel: CancellationToken) {
    let mut cleaned_at = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(maintenance.interval) => {}
        }
        let clean = cleaned_at.elapsed() >= maintenance.cleaning_interval;
        if clean {
            cleaned_at = tokio::time::Instant::now();
        }
        for name in lake.names().cloned().collect::<Vec<_>>() {
            if cancel.is_cancelled() {
                return;
            }
            if let Err(error) = keep(&lake, &name, &maintenance, clean).await {
                tracing::warn!(%error, table = %name, "upkeep of a table failed; it is tried again in the next round");
            }
        }
    }
}

/// One round over one table.
async fn keep(lake: &Lake, name: &catalog::TableName, maintenance: &Maintenance, clean: bool) -> Result<(), LakeError> {
    let mut table = lake.table(name).await?;
    let compacted = table.compact(&maintenance.compaction).await?;
    if compacted.files_before > 0 {
        tracing::debug!(table = %name, ?compacted, "small files joined");
    }
    metrics::gauge!("hangang_lake_files", "table" => name.to_string()).set(table.file_count() as f64);
    if table.version() - table.snapshot.checkpoint.unwrap_or(0) >= maintenance.checkpoint_commits {
        table.checkpoint().await?;
    }
    if clean {
        table.vacuum(maintenance.file_retention).await?;
        table.clean_log(maintenance.log_retention).await?;
    }
    Ok(())
}

impl Table {
    /// Writes a checkpoint of the newest version, from which a log is opened without the commits before it.
    pub async fn checkpoint(&mut self) -> Result<(), LakeError> {
        self.reload().await?;
        let removed_from = (Utc::now() - FILE_RETENTION).timestamp_millis();
        self.shared.log.write_checkpoint(&self.snapshot, removed_from).await?;
        self.shared.checkpointed(self.version());
        Ok(())
    }

    /// Deletes files that have been out of the table, or never were in it, for `retention`. Says how many.
    pub async fn vacuum(&mut self, retention: Duration) -> Result<usize, LakeError> {
        self.reload().await?;
        let old: DateTime<Utc> = Utc::now() - retention;
        let files = &self.shared.files;
        let failed = |error: object_store::Error| files.failed("deleting old files", &error);
        let mut deleted = 0;
        let mut entries = files.store.list(None);
        while let Some(entry) = entries.try_next().await.map_err(failed)? {
            let path = entry.location.to_string();
            let needed = path.starts_with("_delta_log") || self.snapshot.files.contains_key(&path);
            let removed_ms = self.snapshot.removed.get(&path).copied().unwrap_or(0);
            if needed || entry.last_modified > old || removed_ms > old.timestamp_millis() {
                continue;
            }
            match files.store.delete(&entry.location).await {
                Ok(()) => deleted += 1,
                // Another process keeps the lake, too.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.shared.forget_removed(old.timestamp_millis());
        Ok(deleted)
    }

    /// Deletes commits that are older than `retention` and covered by a checkpoint. Says how many files that were.
    pub async fn clean_log(&mut self, retention: Duration) -> Result<usize, LakeError> {
        let Some(checkpoint) = self.snapshot.checkpoint else { return Ok(0) };
        let old = (Utc::now() - retention).timestamp_millis();
        self.shared.log.clean(checkpoint, old).await
    }
}
