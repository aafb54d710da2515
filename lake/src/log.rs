//! A table's Delta log: commits read, written once, and never taken back.
//!
//! Every commit carries an id of its own. A write whose answer was lost is made once more; where the version is taken by
//! then, reading it back tells whether by ourselves. So no commit is lost with its answer, and none is made twice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use bytes::Bytes;
use deltalake::kernel::transaction::{CommitData, TransactionError};
use deltalake::kernel::{Action, Add, Remove, Transaction};
use deltalake::logstore::{CommitOrBytes, LogStoreRef, get_actions};
use deltalake::protocol::DeltaOperation;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use uuid::Uuid;

use crate::LakeError;
use crate::snapshot::{Declared, Snapshot};

/// Key of a commit's id in its `commitInfo`.
const COMMIT_ID: &str = "commitId";
/// Writes of one commit that fail for an unknown reason, at most.
const WRITES_MAX: u32 = 4;
/// Wait before a failed write is tried again; doubled each time.
const WRITE_WAIT: Duration = Duration::from_millis(50);
/// Commits that are fetched at once when a log is read from far back.
const READ_AHEAD: usize = 16;

#[derive(Clone)]
pub(crate) struct Log {
    pub store: LogStoreRef,
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

#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    /// The version is ours.
    Ours,
    /// Somebody else has the version.
    Taken,
}

impl Log {
    pub fn prepare(
        &self,
        actions: Vec<Action>,
        marks: Vec<Transaction>,
        operation: DeltaOperation,
        metrics: HashMap<String, Value>,
    ) -> Result<Commit, LakeError> {
        let id = Uuid::new_v4().to_string();
        let info = HashMap::from([
            (COMMIT_ID.to_owned(), Value::from(id.clone())),
            ("operationMetrics".to_owned(), Value::from_iter(metrics)),
        ]);
        let data = CommitData::new(actions, operation, info, marks);
        let bytes = data.get_bytes().map_err(|error| self.failed("writing a commit", &error))?;
        Ok(Commit { id, actions: data.actions, bytes })
    }

    /// Writes `commit` as `version`, unless there is one.
    pub async fn write(&self, version: i64, commit: &Commit) -> Result<Written, LakeError> {
        let mut wait = WRITE_WAIT;
        for writes in 1.. {
            let bytes = CommitOrBytes::LogBytes(commit.bytes.clone());
            let failure = match self.store.write_commit_entry(version as u64, bytes, Uuid::nil()).await {
                Ok(()) => return Ok(Written::Ours),
                Err(TransactionError::VersionAlreadyExists(_)) => return self.whose(version, commit).await,
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
        let bytes = self.store.read_commit_entry(version as u64).await.map_err(|error| self.failed("reading the log", &error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        get_actions(version as u64, &bytes).map(Some).map_err(|error| self.failed("reading the log", &error))
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

    /// The newest snapshot, from the newest checkpoint and the commits after it. Version −1 where there is no table.
    pub async fn load(&self) -> Result<Snapshot, LakeError> {
        let seen = Instant::now();
        let mut snapshot = Snapshot::empty();
        let (checkpoint, newest) = self.list().await?;
        if let Some(version) = checkpoint {
            self.load_checkpoint(version, &mut snapshot).await?;
        }
        let missing: Vec<i64> = (snapshot.version + 1..=newest).collect();
        let mut commits = futures::stream::iter(missing)
            .map(|version| async move { self.read(version).await.map(|actions| (version, actions)) })
            .buffered(READ_AHEAD);
        while let Some((version, actions)) = commits.try_next().await? {
            let actions = actions.ok_or_else(|| self.broken(format!("commit {version} is missing below commit {newest}")))?;
            snapshot.apply(version, &actions, &self.declared)?;
        }
        snapshot.seen = seen;
        Ok(snapshot)
    }

    /// Newest checkpoint and newest version in the log's folder. `_last_checkpoint` is a hint only, and a killed writer
    /// or another one's clean-up may have left it behind.
    async fn list(&self) -> Result<(Option<i64>, i64), LakeError> {
        let store = self.store.object_store(None);
        let mut entries = store.list(Some(self.store.log_path()));
        let (mut checkpoint, mut newest) = (None, -1);
        while let Some(entry) = entries.try_next().await.map_err(|error| self.failed("listing the log", &error))? {
            let Some((digits, kind)) = entry.location.filename().and_then(|name| name.split_once('.')) else { continue };
            let Ok(version) = digits.parse::<i64>() else { continue };
            match kind {
                "json" => newest = newest.max(version),
                "checkpoint.parquet" => checkpoint = checkpoint.max(Some(version)),
                _ => {}
            }
        }
        Ok((checkpoint, newest))
    }

    async fn load_checkpoint(&self, version: i64, snapshot: &mut Snapshot) -> Result<(), LakeError> {
        let failed = |error: &(dyn std::error::Error + 'static)| self.failed("reading a checkpoint", error);
        let path = Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"));
        let found = self.store.object_store(None).get(&path).await.map_err(|error| failed(&error))?;
        let bytes = found.bytes().await.map_err(|error| failed(&error))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| failed(&error))?;
        let wanted = builder.parquet_schema().root_schema().get_fields().iter().enumerate();
        let wanted: Vec<usize> = wanted
            .filter(|(_, field)| ["add", "remove", "txn", "metaData", "protocol"].contains(&field.name()))
            .map(|(index, _)| index)
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = builder.with_projection(mask).build().map_err(|error| failed(&error))?;
        for batch in reader {
            let batch = batch.map_err(|error| failed(&error))?;
            let kind = |name: &str| batch.column_by_name(name).map(|column| Rows::new(column.as_struct()));
            if let Some(metadata) = kind("metaData") {
                metadata.each(|row| self.declared.accept_schema(&row.text("schemaString").unwrap_or_default()))?;
            }
            if let Some(protocol) = kind("protocol") {
                protocol.each(|row| match row.int("minReaderVersion") {
                    Some(version) => self.declared.accept_reader_version(version),
                    None => Err(self.broken(format!("checkpoint {version} does not say its protocol"))),
                })?;
            }
            if let Some(marks) = kind("txn") {
                marks.each(|row| {
                    let (Some(app_id), Some(version)) = (row.text("appId"), row.long("version")) else {
                        return Err(self.broken("a checkpoint has a mark without an id or a version".to_owned()));
                    };
                    snapshot.marks.insert(app_id, version);
                    Ok(())
                })?;
            }
            if let Some(adds) = kind("add") {
                adds.each(|row| {
                    let mut add = Add {
                        path: row.path()?,
                        size: row.long("size").unwrap_or_default(),
                        modification_time: row.long("modificationTime").unwrap_or_default(),
                        stats: row.text("stats"),
                        ..Add::default()
                    };
                    if row.is_set("deletionVector") {
                        return Err(self
                            .declared
                            .foreign("has deletion vectors, which this lake does not write and cannot read"));
                    }
                    add.data_change = false;
                    snapshot.add(&add, &self.declared)
                })?;
            }
            if let Some(removes) = kind("remove") {
                removes.each(|row| {
                    snapshot.remove(&Remove {
                        path: row.path()?,
                        deletion_timestamp: row.long("deletionTimestamp"),
                        ..Remove::default()
                    });
                    Ok(())
                })?;
            }
        }
        snapshot.version = version;
        snapshot.checkpoint = Some(version);
        Ok(())
    }

    fn broken(&self, detail: String) -> LakeError {
        LakeError::Other { doing: "reading the log", at: self.at.clone(), detail }
    }

    pub fn failed(&self, doing: &'static str, error: &(dyn std::error::Error + 'static)) -> LakeError {
        LakeError::of(doing, self.at.as_str(), error)
    }
}

fn commit_id(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => info.info.get(COMMIT_ID)?.as_str(),
        _ => None,
    })
}

/// One kind of action in a batch of a checkpoint: null in the rows of other kinds.
struct Rows<'a>(&'a StructArray);

impl<'a> Rows<'a> {
    fn new(actions: &'a StructArray) -> Rows<'a> {
        Rows(actions)
    }

    fn each(&self, mut take: impl FnMut(Row<'a>) -> Result<(), LakeError>) -> Result<(), LakeError> {
        (0..self.0.len()).filter(|&index| self.0.is_valid(index)).try_for_each(|index| take(Row { actions: self.0, index }))
    }
}

struct Row<'a> {
    actions: &'a StructArray,
    index: usize,
}

impl Row<'_> {
    fn is_set(&self, name: &str) -> bool {
        self.actions.column_by_name(name).is_some_and(|column| column.is_valid(self.index))
    }

    fn text(&self, name: &str) -> Option<String> {
        let column = self.actions.column_by_name(name)?.slice(self.index, 1);
        let column = cast(&column, &DataType::Utf8).ok()?;
        let column = column.as_string::<i32>();
        column.is_valid(0).then(|| column.value(0).to_owned())
    }

    fn long(&self, name: &str) -> Option<i64> {
        let column = self.actions.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
        column.is_valid(self.index).then(|| column.value(self.index))
    }

    fn int(&self, name: &str) -> Option<i32> {
        let column = self.actions.column_by_name(name)?.as_primitive_opt::<Int32Type>()?;
        column.is_valid(self.index).then(|| column.value(self.index))
    }

    /// A checkpoint holds paths as URLs have them.
    fn path(&self) -> Result<String, LakeError> {
        let failed = |detail: String| LakeError::Other { doing: "reading a checkpoint", at: "a file's path".into(), detail };
        let path = self.text("path").ok_or_else(|| failed("it is absent".into()))?;
        Path::from_url_path(&path).map(|path| path.to_string()).map_err(|error| failed(error.to_string()))
    }
}
