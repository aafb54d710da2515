//! A topic: its name, id, settings and partitions, and the file that keeps them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::partition::Partition;
use crate::BrokerError;

/// Characters of a topic's name, as in Kafka: with a partition's number it must be a file's name.
const NAME_LENGTH_MAX: usize = 249;
const TOPIC_FILE: &str = "topic.json";

pub(crate) struct Topic {
    pub name: String,
    pub id: Uuid,
    /// Only what was set; see [`SETTINGS`] for the rest.
    pub settings: BTreeMap<String, String>,
    pub partitions: Vec<Arc<Partition>>,
}

/// What `topic.json` holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(with = "id_text")]
    id: Uuid,
    partitions: u32,
    settings: BTreeMap<String, String>,
}

/// An id in its usual writing. `uuid`'s own feature for this would build DataFusion, which knows it too, anew.
mod id_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Topic {
    /// Makes a topic in `folder`, which does not exist.
    pub fn create(
        folder: &Path,
        name: &str,
        partitions: u32,
        settings: BTreeMap<String, String>,
        segment_bytes: u64,
    ) -> Result<Topic, BrokerError> {
        let kept = Kept { id: Uuid::new_v4(), partitions, settings };
        // The file comes last: a folder without it is the rest of a topic whose making was interrupted.
        let opened = open_partitions(folder, &kept, segment_bytes)?;
        let path = folder.join(TOPIC_FILE);
        let text = serde_json::to_vec_pretty(&kept).expect("text and numbers are JSON");
        durable::replace(&path, &text).map_err(BrokerError::storage("write", &path))?;
        let parent = folder.parent().expect("a topic lies in the folder of topics");
        durable::sync_folder(parent).map_err(BrokerError::storage("sync", parent))?;
        Ok(Topic { name: name.to_owned(), id: kept.id, settings: kept.settings, partitions: opened })
    }

    /// Opens the topic in `folder`; none where its making was interrupted before it was acknowledged.
    pub fn open(folder: &Path, name: &str, segment_bytes: u64) -> Result<Option<Topic>, BrokerError> {
        let path = folder.join(TOPIC_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BrokerError::storage("read", &path)(error)),
        };
        let kept: Kept = serde_json::from_slice(&text)
            .map_err(|error| BrokerError::Unreadable { path: path.clone(), detail: error.to_string() })?;
        for (name, value) in &kept.settings {
            check_setting(name, value).map_err(|detail| BrokerError::Unreadable { path: path.clone(), detail })?;
        }
        let partitions = open_partitions(folder, &kept, segment_bytes)?;
        Ok(Some(Topic { name: name.to_owned(), id: kept.id, settings: kept.settings, partitions }))
    }

    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// The value of a setting that is a number: as set, else its default.
    pub fn number(&self, setting: &str) -> i64 {
        let text = self.settings.get(setting).map(String::as_str).unwrap_or_else(|| default_of(setting));
        text.parse().expect("settings are checked before they are kept")
    }
}

fn open_partitions(folder: &Path, kept: &Kept, segment_bytes: u64) -> Result<Vec<Arc<Partition>>, BrokerError> {
    let set = kept.settings.get("segment.bytes").map(|text| text.parse().expect("settings are checked before they are kept"));
    let segment_bytes = set.unwrap_or(segment_bytes);
    let open = |index: u32| {
        let folder = folder.join(index.to_string());
        std::fs::create_dir_all(&folder).map_err(BrokerError::storage("make", &folder))?;
        Partition::open(&folder, segment_bytes).map(Arc::new)
    };
    let opened = (0..kept.partitions).map(open).collect::<Result<Vec<_>, _>>()?;
    durable::sync_folder(folder).map_err(BrokerError::storage("sync", folder))?;
    Ok(opened)
}

/// Why a name is none for a topic.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name == "." || name == ".." || name.len() > NAME_LENGTH_MAX {
        return Err(format!("a topic's name has 1 to {NAME_LENGTH_MAX} characters and is neither \".\" nor \"..\""));
    }
    match name.chars().find(|&char| !char.is_ascii_alphanumeric() && !"._-".contains(char)) {
        Some(char) => Err(format!("\"{name}\" is no topic's name: it has letters, digits, '.', '_' and '-', but not {char:?}")),
        None => Ok(()),
    }
}

/// A setting of a topic: its default, what it may be, and its type by Kafka's numbers.
pub(crate) struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: SettingKind,
    pub documentation: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingKind {
    /// A number from the first to the second.
    Number(i64, i64),
    /// A number that is kept and shown, but not yet acted upon.
    Kept(i64, i64),
    /// Nothing but the default is possible.
    Fixed,
}

/// Every setting that a topic can have.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "cleanup.policy", default: "delete", kind: SettingKind::Fixed, documentation: "only delete" },
    Setting {
        name: "compression.type",
        default: "producer",
        kind: SettingKind::Fixed,
        documentation: "batches are kept as they arrive",
    },
    Setting {
        name: "max.message.bytes",
        default: "8388608",
        kind: SettingKind::Number(1, crate::BATCH_BYTES_MAX as i64),
        documentation: "bytes of the greatest batch",
    },
    Setting {
        name: "message.timestamp.type",
        default: "CreateTime",
        kind: SettingKind::Fixed,
        documentation: "timestamps are the producer's",
    },
    Setting {
        name: "message.timestamp.after.max.ms",
        default: "9223372036854775807",
        kind: SettingKind::Kept(0, i64::MAX),
        documentation: "any timestamp is taken: city time may be ahead",
    },
    Setting {
        name: "message.timestamp.before.max.ms",
        default: "9223372036854775807",
        kind: SettingKind::Kept(0, i64::MAX),
        documentation: "any timestamp is taken: history is old",
    },
    Setting { name: "min.insync.replicas", default: "1", kind: SettingKind::Fixed, documentation: "there is one node" },
    Setting { name: "retention.bytes", default: "-1", kind: SettingKind::Kept(-1, i64::MAX), documentation: "all is kept" },
    Setting { name: "retention.ms", default: "-1", kind: SettingKind::Kept(-1, i64::MAX), documentation: "all is kept" },
    Setting {
        name: "segment.bytes",
        default: "67108864",
        kind: SettingKind::Number(1 << 10, 1 << 30),
        documentation: "bytes of a segment; the newest is read through at start",
    },
];

pub(crate) fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn default_of(name: &str) -> &'static str {
    setting(name).expect("the code asks for settings that exist").default
}

/// Why a setting cannot be made.
pub(crate) fn check_setting(name: &str, value: &str) -> Result<(), String> {
    let Some(setting) = setting(name) else { return Err(format!("\"{name}\" is no setting of a topic here")) };
    match setting.kind {
        SettingKind::Fixed if value == setting.default => Ok(()),
        SettingKind::Fixed => {
            Err(format!("\"{name}\" can only be \"{}\" ({}), not \"{value}\"", setting.default, setting.documentation))
        }
        SettingKind::Number(least, greatest) | SettingKind::Kept(least, greatest) => match value.parse::<i64>() {
            Ok(number) if (least..=greatest).contains(&number) => Ok(()),
            _ => Err(format!("\"{name}\" is a number from {least} to {greatest}, not \"{value}\"")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        for setting in SETTINGS {
            check_setting(setting.name, setting.default).unwrap();
        }
        assert_eq!(default_of("max.message.bytes"), crate::BATCH_BYTES_MAX.to_string());
    }

    #[test]
    fn wrong_settings_and_names_are_refused_with_a_reason() {
        assert_eq!(
            check_setting("retention.ms", "a week").unwrap_err(),
            "\"retention.ms\" is a number from -1 to 9223372036854775807, not \"a week\""
        );
        assert_eq!(check_setting("retention", "1").unwrap_err(), "\"retention\" is no setting of a topic here");
        assert!(check_setting("cleanup.policy", "compact").is_err());
        assert!(check_name("../escape").unwrap_err().contains("'/'"));
        for name in ["", ".", ".."] {
            assert!(check_name(name).is_err());
        }
        check_name("seoul.traffic_volume-1.dlq").unwrap();
    }

    #[test]
    fn a_topic_whose_making_was_interrupted_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        std::fs::create_dir_all(path.join("0")).unwrap();
        assert!(Topic::open(&path, "t", 1000).unwrap().is_none());
    }
}
