//! A table at one version: which files are its rows, and how far each of its sources has been landed.
//!
//! Built by replaying commits in order; a commit's marks and files become visible together or not at all. Holds what
//! the log says and nothing else, so that any two processes at one version hold the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};

use crate::LakeError;
use crate::delta::action::{Action, Add, Metadata, Protocol, READER_VERSION, Remove, Txn, WRITER_VERSION};
use crate::delta::schema;
use crate::file::DataFile;

/// A snapshot that was not compared with the log for this long is loaded anew: the commits after it may have been
/// cleaned away, and their absence would look like the log's end. Far below the log retention of [`crate::maintain`].
const AGE_MAX: Duration = Duration::from_secs(3600);

/// What a table's log says up to a version.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub version: i64,
    pub protocol: Option<Protocol>,
    pub metadata: Option<Metadata>,
    pub files: BTreeMap<String, Arc<DataFile>>,
    /// Delta application transactions: app id → version.
    pub marks: BTreeMap<String, i64>,
    /// Files taken out, and when (real time, milliseconds), as long as the log remembers: readers of older snapshots
    /// may still want them.
    pub removed: BTreeMap<String, i64>,
    /// Newest version that has a checkpoint, as far as known.
    pub checkpoint: Option<i64>,
    /// When the log was last seen to end here.
    pub seen: Instant,
}

/// What replay needs to know of a table.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub name: String,
    pub schema: SchemaRef,
    pub time: usize,
    /// Position of the column whose values never share a file.
    pub apart: Option<usize>,
}

impl Snapshot {
    pub fn empty() -> Snapshot {
        Snapshot {
            version: -1,
            protocol: None,
            metadata: None,
            files: BTreeMap::new(),
            marks: BTreeMap::new(),
            removed: BTreeMap::new(),
            checkpoint: None,
            seen: Instant::now(),
        }
    }

    /// Moves to `version`, whose commit (or checkpoint, from an empty snapshot) holds `actions`.
    pub fn apply(&mut self, version: i64, actions: &[Action], declared: &Declared) -> Result<(), LakeError> {
        for action in actions {
            match action {
                Action::Add(add) => self.add(add, declared)?,
                Action::Remove(remove) => self.remove(remove),
                Action::Txn(mark) => {
                    self.marks.insert(mark.app_id.clone(), mark.version);
                }
                Action::Metadata(metadata) => {
                    declared.accept_columns(metadata)?;
                    self.metadata = Some(metadata.clone());
                }
                Action::Protocol(protocol) => {
                    declared.accept_protocol(protocol)?;
                    self.protocol = Some(protocol.clone());
                }
                Action::CommitInfo(_) => {}
            }
        }
        self.version = version;
        Ok(())
    }

    /// All that it says, as the actions of a checkpoint; of the files that were taken out those since `removed_from`
    /// (milliseconds).
    pub fn actions(&self, removed_from: i64) -> Vec<Action> {
        let txn = |(app_id, &version): (&String, &i64)| Action::Txn(Txn { app_id: app_id.clone(), version });
        let removed = self.removed.iter().filter(|&(_, &at)| at >= removed_from);
        let remove = |(path, &at): (&String, &i64)| {
            Action::Remove(Remove { path: path.clone(), deletion_timestamp: Some(at), ..Remove::default() })
        };
        let protocol = self.protocol.clone().map(Action::Protocol);
        let metadata = self.metadata.clone().map(Action::Metadata);
        let adds = self.files.values().map(|file| Action::Add(file.add()));
        protocol.into_iter().chain(metadata).chain(self.marks.iter().map(txn)).chain(removed.map(remove)).chain(adds).collect()
    }

    fn add(&mut self, add: &Add, declared: &Declared) -> Result<(), LakeError> {
        if add.deletion_vector.is_some() {
            return Err(declared.foreign("has deletion vectors, which this lake does not write and cannot read"));
        }
        if !add.partition_values.is_empty() {
            return Err(declared.foreign("is partitioned, which this lake's tables never are"));
        }
        self.removed.remove(&add.path);
        self.files.insert(add.path.clone(), Arc::new(DataFile::new(add, declared)));
        Ok(())
    }

    fn remove(&mut self, remove: &Remove) {
        self.files.remove(&remove.path);
        // Without a time it counts as old: the protocol says nothing may rely on it.
        self.removed.insert(remove.path.clone(), remove.deletion_timestamp.unwrap_or(0));
    }

    /// Whether the log after it may be gone.
    pub fn is_old(&self) -> bool {
        self.seen.elapsed() > AGE_MAX
    }

    /// Files in the order of their times, oldest first.
    pub fn by_time(&self) -> Vec<Arc<DataFile>> {
        let mut files: Vec<_> = self.files.values().cloned().collect();
        files.sort_by(|a, b| (a.times, &a.path).cmp(&(b.times, &b.path)));
        files
    }

    /// Rows, where every file says how many it has.
    pub fn rows(&self) -> Option<u64> {
        self.files.values().map(|file| file.rows().map(|rows| rows as u64)).sum()
    }
}

impl Declared {
    /// Refuses a table whose columns are not the catalog's.
    fn accept_columns(&self, metadata: &Metadata) -> Result<(), LakeError> {
        if !metadata.partition_columns.is_empty() {
            return Err(self.foreign("is partitioned, which this lake's tables never are"));
        }
        let found = schema::from_json(&metadata.schema_string);
        let found = found.map_err(|error| self.foreign(&format!("has columns that cannot be understood: {error}")))?;
        let describe = |schema: &Schema| -> Vec<String> {
            let describe = |field: &Arc<arrow::datatypes::Field>| {
                format!("{} {}{}", field.name(), field.data_type(), if field.is_nullable() { "" } else { " not null" })
            };
            schema.fields().iter().map(describe).collect()
        };
        let (found, wanted) = (describe(&found), describe(&self.schema));
        if found == wanted {
            return Ok(());
        }
        let surplus: Vec<&str> = found.iter().filter(|column| !wanted.contains(column)).map(String::as_str).collect();
        let missing: Vec<&str> = wanted.iter().filter(|column| !found.contains(column)).map(String::as_str).collect();
        let detail = match (surplus.as_slice(), missing.as_slice()) {
            ([], []) => "has its columns in another order than the catalog".to_owned(),
            _ => format!("has columns [{}] where the catalog has [{}]", surplus.join(", "), missing.join(", ")),
        };
        Err(self.foreign(&detail))
    }

    fn accept_protocol(&self, protocol: &Protocol) -> Result<(), LakeError> {
        let Protocol { min_reader_version: reader, min_writer_version: writer } = *protocol;
        if reader <= READER_VERSION && writer <= WRITER_VERSION {
            return Ok(());
        }
        Err(self.foreign(&format!(
            "needs version {reader} of Delta's protocol to be read and {writer} to be written, and this lake speaks {READER_VERSION} and {WRITER_VERSION}"
        )))
    }

    fn foreign(&self, detail: &str) -> LakeError {
        LakeError::schema(&self.name, detail)
    }
}
