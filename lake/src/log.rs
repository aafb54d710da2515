//! A table's Delta log: commits read, written once, and never taken back.
//!
//! Every commit carries an id of its own. A write whose answer was lost is made once more; where the version is taken by
//! then, reading it back tells whether by ourselves. So no commit is lost with its answer, and none is made twice. A
//! commit or checkpoint that holds less than was written is an error that names the file: never fewer rows, silently.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::LakeError;
use crate::delta::action::{self, Action, CommitInfo};
use crate::delta::checkpoint;
use crate::snapshot::{Declared, Snapshot};

/// Folder of a table's log, below the table's.
const FOLDER: &str = "_delta_log";
/// A hint where to begin, for other readers: we list the folder.
const LAST_CHECKPOINT: &str = "_last_checkpoint";
/// Who wrote a commit, for people.
const ENGINE: &str = concat!("hangang/", env!("CARGO_PKG_VERSION"));
/// Writes of one commit that fail for an unknown reason, at most.
const WRITES_MAX: u32 = 4;
/// Wait before a failed write is tried again; doubled each time.
const WRITE_WAIT: Duration = Duration::from_millis(50);
/// Commits that are fetched at once when a log is read from far back.
const READ_AHEAD: usize = 16;

#[derive(Clone)]
pub(crate) struct Log {
    /// Its paths begin at the table's folder.
    pub store: Arc<dyn ObjectStore>,
    pub declared: Declared,
    /// For messages.
    pub at: String,
}

/// A commit that is ready to be written at whatever version is next.
pub(crate) struct Commit {
    id: String,
    pub actions: Vec<Action>,
    bytes: Bytes,
}

/// What a commit is called, in the words that other readers of Delta know.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create,
    Append,
    /// Rows for which `predicate` holds are replaced.
    Replace {
        predicate: String,
    },
    /// The same rows in fewer files.
    Optimize,
    /// Rows that are lost are taken out.
    Delete,
}

impl Operation {
    fn name(&self) -> &'static str {
        match self {
            Operation::Create => "CREATE TABLE",
            Operation::Append | Operation::Replace { .. } => "WRITE",
            Operation::Optimize => "OPTIMIZE",
            Operation::Delete => "DELETE",
        }
    }

    fn parameters(&self) -> BTreeMap<String, Value> {
        let parameters: &[(&str, &str)] = match self {
            Operation::Create => &[("mode", "ErrorIfExists")],
            Operation::Append => &[("mode", "Append")],
            Operation::Replace { predicate } => &[("mode", "Overwrite"), ("predicate", predicate)],
            Operation::Optimize | Operation::Delete => &[],
        };
        parameters.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect()
    }
}

/// What lies in a log's folder.
pub(crate) struct Listing {
    /// Versions that have a checkpoint, sorted.
    pub checkpoints: BTreeSet<i64>,
    /// Newest version that has a commit, −1 where none has.
    newest: i64,
    pub files: Vec<(i64, ObjectMeta)>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    /// The version is ours.
    Ours,
    /// Somebody else has the version.
    Taken,
}

impl Log {
    pub fn prepare(&self, mut actions: Vec<Action>, operation: &Operation, metrics: BTreeMap<String, Value>) -> Commit {
        let id = Uuid::new_v4().to_string();
        let info = CommitInfo {
            timestamp: Some(Utc::now().timestamp_millis()),
            operation: Some(operation.name().to_owned()),
            operation_parameters: operation.parameters(),
            operation_metrics: metrics,
            engine_info: Some(ENGINE.to_owned()),
            commit_id: Some(id.clone()),
            actions: Some(actions.len() + 1),
        };
        actions.insert(0, Action::CommitInfo(info));
        let bytes = action::to_bytes(&actions);
        Commit { id, actions, bytes }
    }

    /// Writes `commit` as `version`, unless there is one.
    pub async fn write(&self, version: i64, commit: &Commit) -> Result<Written, LakeError> {
        let mut wait = WRITE_WAIT;
        for writes in 1.. {
            let path = commit_path(version);
            let put = self.store.put_opts(&path, commit.bytes.clone().into(), PutMode::Create.into());
            let failure = match put.await {
                Ok(_) => return Ok(Written::Ours),
                Err(object_store::Error::AlreadyExists { .. }) => return self.whose(version, commit).await,
                Err(error) => self.failed("writing a commit", &error),
            };
            // These say that nothing was written. After any other it may have been: writing once more tells.
            let certain = matches!(failure, LakeError::NoRoom { .. } | LakeError::Denied { .. });
            if certain || writes == WRITES_MAX {
                return Err(failure);
            }
            tracing::warn!(table = self.declared.name, version, error = %failure, "a commit was not answered for; it is tried again");
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        unreachable!("the last write returns")
    }

    async fn whose(&self, version: i64, commit: &Commit) -> Result<Written, LakeError> {
        let found = self.read(version).await?.unwrap_or_default();
        Ok(if commit_id(&found) == Some(commit.id.as_str()) { Written::Ours } else { Written::Taken })
    }

    /// The actions of one commit; none where the log does not have it (yet, or any more).
    pub async fn read(&self, version: i64) -> Result<Option<Vec<Action>>, LakeError> {
        let path = commit_path(version);
        let Some(bytes) = self.bytes(&path, "reading the log").await? else { return Ok(None) };
        action::from_bytes(&bytes).map(Some).map_err(|detail| self.damaged(&path, detail))
    }

    async fn bytes(&self, path: &Path, doing: &'static str) -> Result<Option<Bytes>, LakeError> {
        let found = match self.store.get(path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(doing, &error)),
        };
        found.bytes().await.map(Some).map_err(|error| self.failed(doing, &error))
    }

    /// Replays what was committed since `snapshot`.
    pub async fn advance(&self, snapshot: &mut Snapshot) -> Result<(), LakeError> {
        if snapshot.version < 0 || snapshot.is_old() {
            *snapshot = self.load().await?;
            return Ok(());
        }
        let seen = Instant::now();
        while let Some(actions) = self.read(snapshot.version + 1).await? {
            snapshot.apply(snapshot.version + 1, &actions, &self.declared)?;
        }
        snapshot.seen = seen;
        Ok(())
    }

    /// The newest snapshot, from the newest checkpoint and the commits after it. Version −1 where there is no table. A
    /// damaged checkpoint is told and passed over where the commits before it are still there.
    pub async fn load(&self) -> Result<Snapshot, LakeError> {
        let seen = Instant::now();
        let Listing { checkpoints, newest, .. } = self.list().await?;
        let mut damage = None;
        let mut snapshot = Snapshot::empty();
        for version in checkpoints.into_iter().rev() {
            match self.read_checkpoint(version).await {
                Ok(read) => {
                    snapshot = read;
                    break;
                }
                Err(error @ LakeError::Damaged { .. }) => damage = damage.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let missing: Vec<i64> = (snapshot.version + 1..=newest).collect();
        let mut commits = futures::stream::iter(missing)
            .map(|version| async move { self.read(version).await.map(|actions| (version, actions)) })
            .buffered(READ_AHEAD);
        while let Some((version, actions)) = commits.try_next().await? {
            let Some(actions) = actions else {
                let missing = self.damaged(&commit_path(version), format!("is gone, and commit {newest} is there"));
                return Err(damage.unwrap_or(missing));
            };
            snapshot.apply(version, &actions, &self.declared)?;
        }
        if let Some(error) = damage {
            tracing::warn!(%error, "a damaged checkpoint was passed over: the commits before it are there");
        }
        snapshot.seen = seen;
        Ok(snapshot)
    }

    /// What lies in the log's folder. `_last_checkpoint` is a hint only, and a killed writer or another one's clean-up may
    /// have left it behind.
    pub async fn list(&self) -> Result<Listing, LakeError> {
        let mut listing = Listing { checkpoints: BTreeSet::new(), newest: -1, files: Vec::new() };
        let folder = Path::from(FOLDER);
        let mut entries = self.store.list(Some(&folder));
        while let Some(entry) = entries.try_next().await.map_err(|error| self.failed("listing the log", &error))? {
            let Some((digits, kind)) = entry.location.filename().and_then(|name| name.split_once('.')) else { continue };
            let Ok(version) = digits.parse::<i64>() else { continue };
            match kind {
                "json" => listing.newest = listing.newest.max(version),
                "checkpoint.parquet" => {
                    listing.checkpoints.insert(version);
                }
                _ => {}
            }
            listing.files.push((version, entry));
        }
        Ok(listing)
    }

    pub async fn read_checkpoint(&self, version: i64) -> Result<Snapshot, LakeError> {
        let path = checkpoint_path(version);
        let bytes = self.bytes(&path, "reading a checkpoint").await?;
        let bytes = bytes.ok_or_else(|| self.damaged(&path, "was cleaned away while it was read".to_owned()))?;
        let actions = checkpoint::from_file(bytes).map_err(|detail| self.damaged(&path, detail))?;
        let mut snapshot = Snapshot::empty();
        snapshot.apply(version, &actions, &self.declared)?;
        snapshot.checkpoint = Some(version);
        Ok(snapshot)
    }

    /// Writes what `snapshot` says as the checkpoint of its version. Files that were taken out before `removed_from`
    /// (milliseconds) are forgotten.
    pub async fn write_checkpoint(&self, snapshot: &Snapshot, removed_from: i64) -> Result<(), LakeError> {
        let actions = snapshot.actions(removed_from);
        let last = json!({ "version": snapshot.version, "size": actions.len() }).to_string();
        let encoded = tokio::task::spawn_blocking(move || checkpoint::to_bytes(actions)).await;
        let encoded = encoded.expect("encoding a checkpoint does not panic");
        let bytes = encoded.map_err(|error| self.failed("writing a checkpoint", &error))?;
        for (path, bytes) in [(checkpoint_path(snapshot.version), bytes), (path(LAST_CHECKPOINT), last.into())] {
            let put = self.store.put(&path, bytes.into()).await;
            put.map_err(|error| self.failed("writing a checkpoint", &error))?;
        }
        Ok(())
    }

    /// Deletes what a checkpoint of `covered` makes needless and is older than `before` (milliseconds), oldest first, up
    /// to the first that is not. Says how many files that were.
    pub async fn clean(&self, covered: i64, before: i64) -> Result<usize, LakeError> {
        let mut files = self.list().await?.files;
        files.sort_by_key(|(version, _)| *version);
        let needless = |(version, file): &(i64, ObjectMeta)| *version < covered && file.last_modified.timestamp_millis() < before;
        let mut deleted = 0;
        for (_, file) in files.into_iter().take_while(needless) {
            match self.store.delete(&file.location).await {
                Ok(()) => deleted += 1,
                // Another process keeps the lake, too.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("cleaning the log", &error)),
            }
        }
        Ok(deleted)
    }

    /// Renames files of the log so that it is read without them: those of which `wanted` says so, told by version and
    /// whether it is a checkpoint. Says how many.
    pub async fn put_aside(&self, wanted: impl Fn(i64, bool) -> bool) -> Result<usize, LakeError> {
        let mut aside = 0;
        let mut files = self.list().await?.files;
        // The newest first: stopped midway, the log still ends somewhere.
        files.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        for (version, file) in files {
            let name = file.location.as_ref();
            if !(name.ends_with(".json") || name.ends_with(".parquet")) || !wanted(version, name.ends_with(".parquet")) {
                continue;
            }
            let renamed = self.store.rename(&file.location, &Path::from(format!("{name}.damaged"))).await;
            renamed.map_err(|error| self.failed("putting a damaged file aside", &error))?;
            aside += 1;
        }
        Ok(aside)
    }

    fn damaged(&self, path: &Path, detail: String) -> LakeError {
        LakeError::Damaged { file: format!("{}{path}", self.at), table: self.declared.name.clone(), detail }
    }

    pub fn failed(&self, doing: &'static str, error: &(dyn std::error::Error + 'static)) -> LakeError {
        LakeError::of(doing, self.at.as_str(), error)
    }
}

fn path(name: &str) -> Path {
    Path::from(FOLDER).join(name)
}

fn commit_path(version: i64) -> Path {
    path(&format!("{version:020}.json"))
}

fn checkpoint_path(version: i64) -> Path {
    path(&format!("{version:020}.checkpoint.parquet"))
}

fn commit_id(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => info.commit_id.as_deref(),
        _ => None,
    })
}
