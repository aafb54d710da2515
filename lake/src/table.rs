//! A handle on one table: one snapshot of it, and the commits that move it on.
//!
//! A commit names how far its sources had been landed before and after ([`Mark`]). The `from` of each is compared with
//! the very snapshot that the commit follows, so of two writers that hold the same rows exactly one lands them. A
//! version that somebody else took first is replayed and compared again; nothing is ever retried blindly.

mod added;
mod compaction;
mod mending;
mod replacement;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chrono::Utc;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

pub use self::compaction::{Compacted, Compaction};
pub use self::mending::Lost;
use crate::delta::action::{Action, Add, Remove, Txn};
use crate::file::{DataFile, Files};
use crate::log::{Log, Operation, Written};
use crate::snapshot::Snapshot;
use crate::{LakeError, Windows};

/// Versions that others may take from one commit before it gives up: each is somebody's progress, so this many in a
/// row mean that something is wrong.
const TAKEN_MAX: u32 = 1000;
/// Longest wait, after a version was taken, before the next is tried.
const TAKEN_WAIT_MAX: Duration = Duration::from_millis(20);
/// Files of one table that are read at once.
const READ_AHEAD: usize = 4;

/// How far a source has been landed. A Delta application transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub app_id: String,
    /// What the table must say when this is committed; none where it must say nothing yet.
    pub from: Option<i64>,
    /// What it says afterwards.
    pub to: i64,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the table, as this version.
    Committed { version: i64 },
    /// A mark is not where the commit began: nothing was written. The handle is at the newest snapshot, whose marks
    /// say where to go on.
    Superseded,
}

/// A table and one snapshot of it.
#[derive(Clone)]
pub struct Table {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// What all handles of a process have in common.
pub(crate) struct Shared {
    pub declared: catalog::Table,
    pub log: Log,
    pub files: Files,
    /// The newest snapshot that this process has seen.
    newest: Mutex<Arc<Snapshot>>,
    /// Held while the log is read on, so that readers that come together read it once.
    reading: tokio::sync::Mutex<()>,
    /// Held while a version is written: writers of one process queue here instead of meeting in the store.
    writing: tokio::sync::Mutex<()>,
    pub commits: crate::ops::Commits,
}

/// Files that a commit adds and takes out, and what it is called.
pub(crate) struct Change {
    pub adds: Vec<Add>,
    pub removes: Vec<Arc<DataFile>>,
    pub data_change: bool,
    pub operation: Operation,
}

impl Shared {
    pub fn new(declared: catalog::Table, log: Log, files: Files, snapshot: Snapshot) -> Shared {
        Shared {
            declared,
            log,
            files,
            newest: Mutex::new(Arc::new(snapshot)),
            reading: Default::default(),
            writing: Default::default(),
            commits: Default::default(),
        }
    }

    pub fn newest(&self) -> Arc<Snapshot> {
        self.newest.lock().expect("no holder of the snapshot panics").clone()
    }

    fn keep(&self, snapshot: &Arc<Snapshot>) {
        let mut newest = self.newest.lock().expect("no holder of the snapshot panics");
        if snapshot.version >= newest.version {
            *newest = snapshot.clone();
        }
    }

    /// Reads the log on, and gives its newest snapshot.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, LakeError> {
        let asked = Instant::now();
        let _reading = self.reading.lock().await;
        let newest = self.newest();
        if newest.seen > asked {
            return Ok(newest);
        }
        let mut snapshot = (*newest).clone();
        self.log.advance(&mut snapshot).await?;
        let snapshot = Arc::new(snapshot);
        self.keep(&snapshot);
        Ok(snapshot)
    }

    /// Forgets files that were taken out before a time (milliseconds): they are deleted.
    pub fn forget_removed(&self, before_ms: i64) {
        let mut newest = self.newest.lock().expect("no holder of the snapshot panics");
        Arc::make_mut(&mut newest).removed.retain(|_, removed_ms| *removed_ms > before_ms);
    }

    pub fn checkpointed(&self, version: i64) {
        let mut newest = self.newest.lock().expect("no holder of the snapshot panics");
        let newest = Arc::make_mut(&mut newest);
        newest.checkpoint = newest.checkpoint.max(Some(version));
    }
}

impl Table {
    /// What the catalog says of it.
    pub fn declared(&self) -> &catalog::Table {
        &self.shared.declared
    }

    pub fn schema(&self) -> SchemaRef {
        self.shared.files.schema.clone()
    }

    /// Version of this handle's snapshot; 0 is the empty table.
    pub fn version(&self) -> i64 {
        self.snapshot.version
    }

    /// What this snapshot says of a source.
    pub fn mark(&self, app_id: &str) -> Option<i64> {
        self.snapshot.marks.get(app_id).copied()
    }

    pub fn marks(&self) -> BTreeMap<String, i64> {
        self.snapshot.marks.clone()
    }

    /// Rows of this snapshot, from the files' statistics; none where another writer left them out.
    pub fn rows(&self) -> Option<u64> {
        self.snapshot.rows()
    }

    pub fn file_count(&self) -> usize {
        self.snapshot.files.len()
    }

    /// Moves this handle to the newest snapshot.
    pub async fn reload(&mut self) -> Result<(), LakeError> {
        self.snapshot = self.shared.refresh().await?;
        Ok(())
    }

    /// Adds rows and moves marks, in one commit. Rows have the table's columns in their order. Without rows and
    /// marks there is nothing to commit, and the version stays.
    pub async fn append(&mut self, rows: &[RecordBatch], marks: &[Mark]) -> Result<Outcome, LakeError> {
        let rows = self.checked(rows)?;
        if rows.is_empty() && marks.is_empty() {
            return Ok(Outcome::Committed { version: self.version() });
        }
        if !self.marks_hold(marks).await? {
            return Ok(Outcome::Superseded);
        }
        let adds = self.shared.files.write(&rows, true).await?;
        let change = Change { adds, removes: Vec::new(), data_change: true, operation: Operation::Append };
        let adds = change.adds.clone();
        match self.commit_if(change, marks, |_| true).await {
            Ok(Some(version)) => Ok(Outcome::Committed { version }),
            Ok(None) => {
                self.shared.files.forget(&adds).await;
                Ok(Outcome::Superseded)
            }
            Err(error) => Err(self.forgetting(&adds, error).await),
        }
    }

    /// Takes back the files of a commit that certainly was not made, so that trying again on a full disk does not fill
    /// it further. After any other error the commit may yet stand: its files stay, and the vacuum finds them if not.
    async fn forgetting(&self, adds: &[Add], error: LakeError) -> LakeError {
        if matches!(error, LakeError::NoRoom { .. } | LakeError::Denied { .. }) {
            self.shared.files.forget(adds).await;
        }
        error
    }

    /// Rows of exactly this snapshot, in the order of their files' times: all of them, or those in `windows`.
    pub async fn scan(&self, windows: Option<&Windows>) -> Result<Vec<RecordBatch>, LakeError> {
        let files = self.snapshot.by_time();
        let files = files.into_iter().filter(|file| windows.is_none_or(|windows| file.touches(windows)));
        let reads = futures::stream::iter(files.map(|file| async move { self.read(&file, windows).await }));
        let batches: Vec<Vec<RecordBatch>> = reads.buffered(READ_AHEAD).try_collect().await?;
        Ok(batches.concat())
    }

    async fn read(&self, file: &DataFile, windows: Option<&Windows>) -> Result<Vec<RecordBatch>, LakeError> {
        let files = &self.shared.files;
        if let Some(rows) = files.read(file, windows).await? {
            return Ok(rows);
        }
        if self.shared.refresh().await?.files.contains_key(&file.path) {
            return Err(files.damaged(file, "is gone"));
        }
        Err(LakeError::NotFound {
            what: file.path.clone(),
            at: files.at.clone(),
            hint: "the snapshot was held longer than old files are kept; reload the table and read again",
        })
    }

    /// Rows under the table's schema; empty batches left out.
    fn checked(&self, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>, LakeError> {
        let name = &self.shared.declared.name;
        let schema = &self.shared.files.schema;
        let check = |batch: &RecordBatch| {
            let same = batch
                .schema_ref()
                .fields()
                .iter()
                .zip(schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
            if !same || batch.num_columns() != schema.fields().len() {
                let columns = |schema: &SchemaRef| {
                    schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
                };
                return Err(LakeError::schema(
                    name,
                    format!("was given rows of ({}), and has ({})", columns(batch.schema_ref()), columns(schema)),
                ));
            }
            RecordBatch::try_new(schema.clone(), batch.columns().to_vec())
                .map_err(|error| LakeError::schema(name, format!("was given rows that do not fit it: {error}")))
        };
        rows.iter().filter(|batch| batch.num_rows() > 0).map(check).collect()
    }

    /// Whether the marks are where a commit begins; looks at the newest snapshot before it says no.
    async fn marks_hold(&mut self, marks: &[Mark]) -> Result<bool, LakeError> {
        if !hold(&self.snapshot, marks) {
            self.reload().await?;
        }
        Ok(hold(&self.snapshot, marks))
    }

    /// Commits a change after the newest snapshot, if there the marks hold, the files that it takes out still are, and
    /// `unchanged` is true. Says at which version; none where it must not be, with the handle at that snapshot.
    async fn commit_if(
        &mut self,
        change: Change,
        marks: &[Mark],
        unchanged: impl Fn(&Snapshot) -> bool,
    ) -> Result<Option<i64>, LakeError> {
        let started = Instant::now();
        let table = self.shared.declared.name.to_string();
        let commit = self.prepare(change, marks);
        let removed = |action: &Action| match action {
            Action::Remove(remove) => Some(remove.path.clone()),
            _ => None,
        };
        let removed: Vec<String> = commit.actions.iter().filter_map(removed).collect();
        let may = |snapshot: &Snapshot| {
            hold(snapshot, marks) && removed.iter().all(|path| snapshot.files.contains_key(path)) && unchanged(snapshot)
        };
        let shared = self.shared.clone();
        let _writing = shared.writing.lock().await;
        self.snapshot = shared.newest();
        if self.snapshot.is_old() {
            self.reload().await?;
        }
        for taken in 0..TAKEN_MAX {
            if !may(&self.snapshot) {
                // The snapshot may be old; only the newest can say no.
                self.reload().await?;
                if !may(&self.snapshot) {
                    metrics::counter!("hangang_lake_superseded_total", "table" => table).increment(1);
                    return Ok(None);
                }
            }
            let version = self.snapshot.version + 1;
            let begun = Instant::now();
            match shared.log.write(version, &commit).await? {
                Written::Ours => {
                    let mut snapshot = (*self.snapshot).clone();
                    snapshot.apply(version, &commit.actions, &shared.log.declared)?;
                    snapshot.seen = begun;
                    self.snapshot = Arc::new(snapshot);
                    shared.keep(&self.snapshot);
                    metrics::histogram!("hangang_lake_commit_seconds", "table" => table).record(started.elapsed().as_secs_f64());
                    return Ok(Some(version));
                }
                Written::Taken => {
                    metrics::counter!("hangang_lake_conflicts_total", "table" => table.clone()).increment(1);
                    tokio::time::sleep(jitter(taken)).await;
                    self.reload().await?;
                }
            }
        }
        Err(LakeError::Other {
            doing: "committing",
            at: shared.log.at.clone(),
            detail: format!(
                "{TAKEN_MAX} versions in a row were taken by others; is something else writing to this table without end?"
            ),
        })
    }

    fn prepare(&self, change: Change, marks: &[Mark]) -> crate::log::Commit {
        let now = Utc::now().timestamp_millis();
        let metrics = BTreeMap::from([
            ("numAddedFiles".to_owned(), json!(change.adds.len())),
            ("numRemovedFiles".to_owned(), json!(change.removes.len())),
            ("numOutputBytes".to_owned(), json!(change.adds.iter().map(|add| add.size).sum::<i64>())),
        ]);
        let marks = marks.iter().map(|mark| Action::Txn(Txn { app_id: mark.app_id.clone(), version: mark.to }));
        let removes = change.removes.iter().map(|file| {
            Action::Remove(Remove {
                path: file.path.clone(),
                data_change: change.data_change,
                deletion_timestamp: Some(now),
                extended_file_metadata: Some(true),
                partition_values: Some(BTreeMap::new()),
                size: Some(file.size),
            })
        });
        let actions = marks.chain(removes).chain(change.adds.into_iter().map(Action::Add)).collect();
        self.shared.log.prepare(actions, &change.operation, metrics)
    }
}

fn hold(snapshot: &Snapshot, marks: &[Mark]) -> bool {
    marks.iter().all(|mark| snapshot.marks.get(&mark.app_id).copied() == mark.from)
}

/// A wait that differs between two writers that met, so that they don't meet again.
fn jitter(taken: u32) -> Duration {
    let random =
        u32::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..4].try_into().expect("four bytes")) as f64 / u32::MAX as f64;
    (TAKEN_WAIT_MAX / 8 * (taken + 1).min(8)).mul_f64(random)
}
