//! All topics, and the lock that keeps a second broker out of the folder.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::topic::Topic;
use crate::BrokerError;

/// The layout that this broker writes; a folder with another is refused.
const FORMAT: u32 = 1;
/// Topics and partitions that one broker holds; each partition keeps a file open, and 1024 open files are a usual limit.
pub(crate) const TOPICS_MAX: usize = 500;
pub(crate) const PARTITIONS_MAX: usize = 800;
/// Producer ids written off at a time: a crash skips at most as many, and a session needs the disk once in as many.
const PRODUCER_IDS_STEP: i64 = 1000;
/// Prefix of a topic's folder that is being removed. No topic's name may contain it.
const DELETED_PREFIX: &str = "~";

pub(crate) struct Store {
    folder: PathBuf,
    segment_bytes: u64,
    pub cluster_id: String,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    names: RwLock<HashMap<Uuid, String>>,
    /// Held while topics are made or removed, so that two requests do not make the same one.
    changing: Mutex<()>,
    producer_ids: Mutex<ProducerIds>,
    /// Released when the store is dropped.
    _lock: File,
}

/// Why a topic was not made.
#[derive(Debug)]
pub(crate) enum CreateError {
    Exists,
    /// More topics or partitions than one broker holds.
    TooMany,
    Storage(BrokerError),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    cluster_id: String,
}

struct ProducerIds {
    next: i64,
    /// Up to here no restart gives an id out again.
    reserved: i64,
}

impl Store {
    pub fn open(folder: &Path, segment_bytes: u64) -> Result<Store, BrokerError> {
        let topics_folder = folder.join("topics");
        std::fs::create_dir_all(&topics_folder).map_err(BrokerError::storage("make", &topics_folder))?;
        let lock = lock(folder)?;
        let cluster_id = read_cluster_id(folder)?;
        let next = read_producer_ids(folder)?;
        let topics = open_topics(&topics_folder, segment_bytes)?;
        let names = topics.values().map(|topic| (topic.id, topic.name.clone())).collect();
        Ok(Store {
            folder: folder.to_owned(),
            segment_bytes,
            cluster_id,
            topics: RwLock::new(topics),
            names: RwLock::new(names),
            changing: Mutex::new(()),
            producer_ids: Mutex::new(ProducerIds { next, reserved: next }),
            _lock: lock,
        })
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().expect("no holder of the topics panics").get(name).cloned()
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        let name = self.names.read().expect("no holder of the names panics").get(&id).cloned()?;
        self.topic(&name).filter(|topic| topic.id == id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.read().expect("no holder of the topics panics").values().cloned().collect()
    }

    /// Makes a topic, or with `validate_only` says whether it could be made.
    pub fn create(
        &self,
        name: &str,
        partitions: u32,
        settings: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<Option<Arc<Topic>>, CreateError> {
        let _changing = self.changing.lock().expect("no holder of the lock panics");
        let topics = self.topics();
        if topics.iter().any(|topic| topic.name == name) {
            return Err(CreateError::Exists);
        }
        let held: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        if topics.len() >= TOPICS_MAX || held + partitions as usize > PARTITIONS_MAX {
            return Err(CreateError::TooMany);
        }
        if validate_only {
            return Ok(None);
        }
        let folder = self.topic_folder(name);
        let made = remove_rest(&folder).and_then(|()| Topic::create(&folder, name, partitions, settings, self.segment_bytes));
        let topic = Arc::new(made.map_err(CreateError::Storage)?);
        self.names.write().expect("no holder of the names panics").insert(topic.id, name.to_owned());
        self.topics.write().expect("no holder of the topics panics").insert(name.to_owned(), topic.clone());
        tracing::info!(topic = name, partitions, "made a topic");
        Ok(Some(topic))
    }

    /// Removes a topic with all its records. Whether it was there.
    pub fn delete(&self, name: &str) -> io::Result<bool> {
        let _changing = self.changing.lock().expect("no holder of the lock panics");
        let Some(topic) = self.topic(name) else { return Ok(false) };
        let removed = self.topic_folder(&format!("{DELETED_PREFIX}{name}"));
        if removed.exists() {
            std::fs::remove_dir_all(&removed)?;
        }
        std::fs::rename(self.topic_folder(name), &removed)?;
        durable::sync_folder(&self.folder.join("topics"))?;
        self.topics.write().expect("no holder of the topics panics").remove(name);
        self.names.write().expect("no holder of the names panics").remove(&topic.id);
        topic.partitions.iter().for_each(|partition| partition.delete());
        tracing::info!(topic = name, "removed a topic");
        std::fs::remove_dir_all(&removed)?;
        Ok(true)
    }

    /// An id that no producer's session has had.
    pub fn next_producer_id(&self) -> io::Result<i64> {
        let mut ids = self.producer_ids.lock().expect("no holder of the ids panics");
        if ids.next == ids.reserved {
            let reserved = ids.reserved + PRODUCER_IDS_STEP;
            durable::replace(&self.folder.join("producer-ids"), reserved.to_string().as_bytes())?;
            ids.reserved = reserved;
        }
        ids.next += 1;
        Ok(ids.next - 1)
    }

    /// Makes everything acknowledged outlive a power cut; says what it could not.
    pub fn sync(&self) -> bool {
        let mut all = true;
        for topic in self.topics() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                if let Err(error) = partition.sync() {
                    tracing::error!(topic = topic.name, partition = index, %error, "records may not outlive a power cut: the disk does not confirm them");
                    all = false;
                }
            }
        }
        all
    }

    fn topic_folder(&self, name: &str) -> PathBuf {
        self.folder.join("topics").join(name)
    }
}

fn lock(folder: &Path) -> Result<File, BrokerError> {
    let path = folder.join("lock");
    let file =
        File::options().create(true).write(true).truncate(false).open(&path).map_err(BrokerError::storage("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BrokerError::Locked { path: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(BrokerError::storage("lock", &path)(source)),
    }
}

fn read_cluster_id(folder: &Path) -> Result<String, BrokerError> {
    let path = folder.join("node.json");
    let unreadable = |detail| BrokerError::Unreadable { path: path.clone(), detail };
    let kept: Kept = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let kept = Kept { format: FORMAT, cluster_id: Uuid::new_v4().simple().to_string() };
            let text = serde_json::to_vec_pretty(&kept).expect("text and numbers are JSON");
            durable::replace(&path, &text).map_err(BrokerError::storage("write", &path))?;
            kept
        }
        Err(error) => return Err(BrokerError::storage("read", &path)(error)),
    };
    if kept.format != FORMAT {
        return Err(unreadable(format!("its format is {}, and this broker knows {FORMAT}", kept.format)));
    }
    Ok(kept.cluster_id)
}

fn read_producer_ids(folder: &Path) -> Result<i64, BrokerError> {
    let path = folder.join("producer-ids");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|error| BrokerError::Unreadable { path, detail: format!("{error}") }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(BrokerError::storage("read", &path)(error)),
    }
}

fn open_topics(folder: &Path, segment_bytes: u64) -> Result<BTreeMap<String, Arc<Topic>>, BrokerError> {
    let mut topics = BTreeMap::new();
    let entries = std::fs::read_dir(folder).map_err(BrokerError::storage("list", folder))?;
    for entry in entries {
        let path = entry.map_err(BrokerError::storage("list", folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            return Err(BrokerError::Unreadable { path, detail: "its name is not text".into() });
        };
        if name.starts_with(DELETED_PREFIX) {
            remove_rest(&path)?;
            continue;
        }
        match Topic::open(&path, &name, segment_bytes)? {
            Some(topic) => {
                topics.insert(name, Arc::new(topic));
            }
            None => remove_rest(&path)?,
        }
    }
    Ok(topics)
}

/// Removes what an interrupted making or removing of a topic has left.
fn remove_rest(folder: &Path) -> Result<(), BrokerError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BrokerError::storage("remove", folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_broker_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        assert!(matches!(Store::open(folder.path(), 1 << 20), Err(BrokerError::Locked { .. })));
        let cluster_id = store.cluster_id.clone();
        drop(store);
        assert_eq!(Store::open(folder.path(), 1 << 20).unwrap().cluster_id, cluster_id);
    }

    #[test]
    fn a_producer_id_is_never_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut last = -1;
        for _ in 0..3 {
            let store = Store::open(folder.path(), 1 << 20).unwrap();
            for _ in 0..PRODUCER_IDS_STEP + 1 {
                let id = store.next_producer_id().unwrap();
                assert!(id > last);
                last = id;
            }
        }
    }

    #[test]
    fn a_topic_made_again_is_another_and_empty() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        let first = store.create("t", 2, BTreeMap::new(), false).unwrap().unwrap();
        assert!(matches!(store.create("t", 2, BTreeMap::new(), false), Err(CreateError::Exists)));
        assert!(store.delete("t").unwrap());
        assert!(!store.delete("t").unwrap());
        let second = store.create("t", 1, BTreeMap::new(), false).unwrap().unwrap();
        assert_ne!(first.id, second.id);
        assert!(store.topic_by_id(first.id).is_none());
        drop(store);
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(store.topic_by_id(second.id).unwrap().partitions.len(), 1);
    }

    #[test]
    fn a_folder_of_a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("node.json"), r#"{"format": 2, "cluster_id": "x"}"#).unwrap();
        let error = Store::open(folder.path(), 1 << 20).err().unwrap().to_string();
        assert!(error.contains("its format is 2, and this broker knows 1"), "{error}");
    }
}
