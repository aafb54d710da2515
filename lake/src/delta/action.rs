//! The actions of a commit: one JSON object a line, each with one key that says what it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::path::Path;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Reader version of the protocol that needs nothing beyond plain Parquet files.
pub const READER_VERSION: i32 = 1;
/// Writer version whose duties (append-only tables, invariants) no table of ours calls for.
pub const WRITER_VERSION: i32 = 2;

/// One action. Of what others write beside these (`cdc`, `domainMetadata` and so on) a reader of version 1 needs nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    CommitInfo(CommitInfo),
    Protocol(Protocol),
    Metadata(Metadata),
    Txn(Txn),
    Remove(Remove),
    Add(Add),
}

/// What a commit was. Its form is free; readers of other makes know the first four.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitInfo {
    /// Real time, in milliseconds.
    pub timestamp: Option<i64>,
    pub operation: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operation_parameters: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operation_metrics: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_info: Option<String>,
    /// Our own: which commit of which writer this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_id: Option<String>,
    /// Our own: how many actions the commit holds, this one included; so a file that was cut at a line's end is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    pub min_reader_version: i32,
    pub min_writer_version: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub format: Format,
    /// The columns, see [`super::schema`].
    pub schema_string: String,
    pub partition_columns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Format {
    pub provider: String,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// How far a source has been landed (an application transaction).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    pub app_id: String,
    pub version: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Below the table's folder, as the store has it; encoded in the log.
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    pub path: String,
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    pub size: i64,
    /// Real time, in milliseconds.
    pub modification_time: i64,
    pub data_change: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// Anything here hides rows of the file: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    pub path: String,
    /// Real time, in milliseconds. Without one it counts as long ago.
    pub deletion_timestamp: Option<i64>,
    pub data_change: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended_file_metadata: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

/// A line of a commit, or a row of a checkpoint: one of these is there, or none that we know.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_info: Option<CommitInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Add>,
}

impl Line {
    fn action(self) -> Option<Action> {
        let Line { commit_info, protocol, meta_data, txn, remove, add } = self;
        None.or(commit_info.map(Action::CommitInfo))
            .or(protocol.map(Action::Protocol))
            .or(meta_data.map(Action::Metadata))
            .or(txn.map(Action::Txn))
            .or(remove.map(Action::Remove))
            .or(add.map(Action::Add))
    }
}

impl From<Action> for Line {
    fn from(action: Action) -> Line {
        let line = Line::default();
        match action {
            Action::CommitInfo(info) => Line { commit_info: Some(info), ..line },
            Action::Protocol(protocol) => Line { protocol: Some(protocol), ..line },
            Action::Metadata(metadata) => Line { meta_data: Some(metadata), ..line },
            Action::Txn(txn) => Line { txn: Some(txn), ..line },
            Action::Remove(remove) => Line { remove: Some(remove), ..line },
            Action::Add(add) => Line { add: Some(add), ..line },
        }
    }
}

/// A commit's file: its actions, a line each.
pub fn to_bytes(actions: &[Action]) -> Bytes {
    let mut bytes = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut bytes, &Line::from(action.clone())).expect("an action is JSON");
        bytes.push(b'\n');
    }
    bytes.into()
}

/// The actions of a commit's file, or what is wrong with it: it is empty, or holds less than was written.
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<Action>, String> {
    if bytes.is_empty() {
        return Err("is empty".into());
    }
    let lines = bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut found = 0;
    let mut actions = Vec::new();
    for (number, line) in lines {
        let line: Line =
            serde_json::from_slice(line).map_err(|error| format!("cannot be read at line {}: {error}", number + 1))?;
        found += 1;
        actions.extend(line.action());
    }
    let promised = actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => info.actions,
        _ => None,
    });
    match promised {
        Some(promised) if promised != found => Err(format!("holds {found} of its {promised} actions")),
        _ if found == 0 => Err("holds no action".into()),
        _ => Ok(actions),
    }
}

/// What stands as it is in a URL's path, beside letters and digits.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'%').add(b'"').add(b'<').add(b'>').add(b'#').add(b'?').add(b'`').add(b'{').add(b'}');

fn encode<S: Serializer>(path: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&utf8_percent_encode(path, ENCODED))
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = std::borrow::Cow::<str>::deserialize(deserializer)?;
    if path.contains("://") || path.starts_with('/') {
        return Err(serde::de::Error::custom(format!("file \"{path}\" lies outside of the table's folder")));
    }
    Path::from_url_path(path.as_ref()).map(|path| path.to_string()).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As delta-rs, Spark and ec53ee8 write them: fields that we have no use for, actions that we do not know.
    const FOREIGN: &str = concat!(
        r#"{"commitInfo":{"timestamp":1664550000000,"operation":"WRITE","operationParameters":{"mode":"Append"},"txnId":"x"}}"#,
        "\n",
        r#"{"domainMetadata":{"domain":"d","configuration":"","removed":false}}"#,
        "\n",
        r#"{"txn":{"appId":"traffic_volume/0#1","version":7,"lastUpdated":null}}"#,
        "\n",
        r#"{"add":{"path":"a%20b.parquet","partitionValues":{},"size":5,"modificationTime":6,"dataChange":true,"stats":null,"tags":{}}}"#,
    );

    #[test]
    fn other_writers_commits_are_understood() {
        let actions = from_bytes(FOREIGN.as_bytes()).unwrap();
        let [Action::CommitInfo(info), Action::Txn(txn), Action::Add(add)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((info.operation.as_deref(), txn.version), (Some("WRITE"), 7));
        assert_eq!(add.path, "a b.parquet", "a path is encoded in the log");
    }

    #[test]
    fn a_commit_comes_back_as_it_was_written() {
        let actions = vec![
            Action::CommitInfo(CommitInfo { operation: Some("WRITE".into()), actions: Some(3), ..CommitInfo::default() }),
            Action::Add(Add { path: "a b%.parquet".into(), stats: Some("{}".into()), ..Add::default() }),
            Action::Remove(Remove { path: "c.parquet".into(), deletion_timestamp: Some(1), ..Remove::default() }),
        ];
        assert_eq!(from_bytes(&to_bytes(&actions)).unwrap(), actions);
    }

    #[test]
    fn a_commit_that_lost_any_of_its_bytes_is_never_taken_for_whole() {
        let info = CommitInfo { operation: Some("WRITE".into()), actions: Some(3), ..CommitInfo::default() };
        let add = |path: &str| Action::Add(Add { path: path.into(), ..Add::default() });
        let whole = to_bytes(&[Action::CommitInfo(info), add("a.parquet"), add("b.parquet")]);
        assert!(from_bytes(&whole).is_ok());
        // All but the last line's end, without which all is there.
        for length in 0..whole.len() - 1 {
            assert!(from_bytes(&whole[..length]).is_err(), "{length} of {} bytes were taken", whole.len());
        }
        assert!(from_bytes(&vec![0; whole.len()]).is_err(), "a hole of zeros");
    }

    #[test]
    fn a_file_outside_of_the_tables_folder_is_refused() {
        let line = r#"{"add":{"path":"/etc/passwd","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true}}"#;
        assert!(from_bytes(line.as_bytes()).unwrap_err().contains("outside"));
    }
}
