//! What consumer groups have committed: in memory to be asked, in one journal file to outlive the broker.
//!
//! Each commit is appended with its checksum; when most of the journal is outdated, it is written anew. A commit is
//! acknowledged once its bytes are with the operating system.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Buf, BufMut};

use crate::BrokerError;

/// Commits kept for all groups together; one takes about 200 bytes of memory.
const OFFSETS_MAX: usize = 200_000;
/// Bytes of the text that a client may add to a commit, as in Kafka.
pub(crate) const METADATA_BYTES_MAX: usize = 4096;
/// A journal is written anew when it is greater than this and four times what it needs to be.
const REWRITE_BYTES: u64 = 1 << 20;
const REWRITE_FACTOR: u64 = 4;
/// No entry is greater: three names of at most 32 KiB, the text and a few numbers.
const ENTRY_BYTES_MAX: usize = 128 << 10;

/// Group, topic, partition.
pub(crate) type Place = (String, String, i32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The next offset to read; below nought in the journal where the commit was removed.
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// Why a commit was not kept.
#[derive(Debug)]
pub(crate) enum CommitError {
    TooMany,
    Storage(io::Error),
}

pub(crate) struct Offsets(Mutex<Journal>);

struct Journal {
    path: PathBuf,
    file: Arc<File>,
    size: u64,
    /// Bytes that the journal would have if it were written anew.
    live_bytes: u64,
    committed: BTreeMap<Place, Committed>,
    is_synced: bool,
}

impl Offsets {
    pub fn open(folder: &Path) -> Result<Offsets, BrokerError> {
        let path = folder.join("offsets");
        let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path);
        let mut file = file.map_err(BrokerError::storage("open", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(BrokerError::storage("read", &path))?;
        let (committed, valid) = replay(&bytes);
        if valid < bytes.len() {
            file.set_len(valid as u64).map_err(BrokerError::storage("cut", &path))?;
            let bytes_cut = bytes.len() - valid;
            tracing::warn!(path = %path.display(), bytes_cut, "cut a torn tail off what consumer groups have committed");
        }
        let live_bytes = committed.iter().map(|(place, committed)| encode(place, committed).len() as u64).sum();
        Ok(Offsets(Mutex::new(Journal {
            path,
            file: Arc::new(file),
            size: valid as u64,
            live_bytes,
            committed,
            is_synced: true,
        })))
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().expect("no holder of the journal panics")
    }

    /// Keeps commits, all or none.
    pub fn commit(&self, commits: Vec<(Place, Committed)>) -> Result<(), CommitError> {
        let mut journal = self.journal();
        let new = commits.iter().filter(|(place, _)| !journal.committed.contains_key(place)).count();
        if journal.committed.len() + new > OFFSETS_MAX {
            return Err(CommitError::TooMany);
        }
        journal.append(&commits).map_err(CommitError::Storage)?;
        for (place, committed) in commits {
            journal.put(place, committed);
        }
        Ok(())
    }

    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<Committed> {
        self.journal().committed.get(&(group.to_owned(), topic.to_owned(), partition)).cloned()
    }

    /// All that a group has committed, in order.
    pub fn of_group(&self, group: &str) -> Vec<(Place, Committed)> {
        let journal = self.journal();
        let from = (group.to_owned(), String::new(), i32::MIN);
        let held = journal.committed.range(from..).take_while(|((held, _, _), _)| held == group);
        held.map(|(place, committed)| (place.clone(), committed.clone())).collect()
    }

    /// The groups that have committed anything, in order.
    pub fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = self.journal().committed.keys().map(|(group, _, _)| group.clone()).collect();
        groups.dedup();
        groups
    }

    /// Forgets what was committed for a topic that is gone, so that its next namesake is read from its beginning.
    pub fn forget_topic(&self, topic: &str) -> io::Result<()> {
        let mut journal = self.journal();
        let places: Vec<Place> = journal.committed.keys().filter(|(_, held, _)| held == topic).cloned().collect();
        let removed = Committed { offset: -1, leader_epoch: -1, metadata: String::new() };
        let removals: Vec<_> = places.into_iter().map(|place| (place, removed.clone())).collect();
        journal.append(&removals)?;
        for (place, removed) in removals {
            journal.put(place, removed);
        }
        Ok(())
    }

    /// Makes what was committed outlive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        let file = {
            let mut journal = self.journal();
            if std::mem::replace(&mut journal.is_synced, true) {
                return Ok(());
            }
            journal.file.clone()
        };
        // Outside the lock: others commit meanwhile.
        file.sync_data().inspect_err(|_| self.journal().is_synced = false)
    }
}

impl Journal {
    fn append(&mut self, commits: &[(Place, Committed)]) -> io::Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        if self.size > REWRITE_BYTES && self.size > REWRITE_FACTOR * self.live_bytes {
            self.rewrite()?;
        }
        let bytes: Vec<u8> = commits.iter().flat_map(|(place, committed)| encode(place, committed)).collect();
        // What a failed write leaves behind the end is overwritten by the next, and cut at start.
        self.file.write_all_at(&bytes, self.size)?;
        self.size += bytes.len() as u64;
        self.is_synced = false;
        Ok(())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let bytes: Vec<u8> = self.committed.iter().flat_map(|(place, committed)| encode(place, committed)).collect();
        durable::replace(&self.path, &bytes)?;
        self.file = Arc::new(OpenOptions::new().read(true).write(true).open(&self.path)?);
        self.size = bytes.len() as u64;
        self.live_bytes = self.size;
        Ok(())
    }

    fn put(&mut self, place: Place, committed: Committed) {
        if let Some(held) = self.committed.remove(&place) {
            self.live_bytes -= encode(&place, &held).len() as u64;
        }
        if committed.offset >= 0 {
            self.live_bytes += encode(&place, &committed).len() as u64;
            self.committed.insert(place, committed);
        }
    }
}

/// Length, checksum, then group, topic, partition, offset, epoch and text.
fn encode((group, topic, partition): &Place, committed: &Committed) -> Vec<u8> {
    let mut body = Vec::new();
    for text in [group, topic, &committed.metadata] {
        body.put_u16(u16::try_from(text.len()).expect("Kafka's names are shorter than 32 KiB"));
        body.extend(text.as_bytes());
    }
    body.put_i32(*partition);
    body.put_i64(committed.offset);
    body.put_i32(committed.leader_epoch);
    let mut entry = Vec::with_capacity(body.len() + 8);
    entry.put_u32(body.len() as u32);
    entry.put_u32(crc32c::crc32c(&body));
    entry.extend(body);
    entry
}

/// What the journal says, and the bytes of it that are whole.
fn replay(bytes: &[u8]) -> (BTreeMap<Place, Committed>, usize) {
    let mut committed = BTreeMap::new();
    let mut rest = bytes;
    while let Some(((place, commit), length)) = decode(rest) {
        if commit.offset < 0 {
            committed.remove(&place);
        } else {
            committed.insert(place, commit);
        }
        rest = &rest[length..];
    }
    (committed, bytes.len() - rest.len())
}

fn decode(bytes: &[u8]) -> Option<((Place, Committed), usize)> {
    let mut header = bytes.get(..8)?;
    let (length, checksum) = (header.get_u32() as usize, header.get_u32());
    let mut body = bytes.get(8..8 + length.min(ENTRY_BYTES_MAX))?;
    if body.len() != length || crc32c::crc32c(body) != checksum {
        return None;
    }
    let mut text = || {
        let length = body.try_get_u16().ok()? as usize;
        let (text, rest) = body.split_at_checked(length)?;
        body = rest;
        String::from_utf8(text.to_vec()).ok()
    };
    let (group, topic, metadata) = (text()?, text()?, text()?);
    let partition = body.try_get_i32().ok()?;
    let (offset, leader_epoch) = (body.try_get_i64().ok()?, body.try_get_i32().ok()?);
    Some((((group, topic, partition), Committed { offset, leader_epoch, metadata }), 8 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group: &str, partition: i32) -> Place {
        (group.into(), "topic".into(), partition)
    }

    fn at(offset: i64) -> Committed {
        Committed { offset, leader_epoch: 0, metadata: "note".into() }
    }

    #[test]
    fn commits_outlive_the_broker_and_a_torn_one_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = Offsets::open(folder.path()).unwrap();
        offsets.commit(vec![(place("g", 0), at(1)), (place("g", 1), at(2))]).unwrap();
        offsets.commit(vec![(place("g", 0), at(3)), (place("h", 0), at(4))]).unwrap();
        drop(offsets);
        let path = folder.path().join("offsets");
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let offsets = Offsets::open(folder.path()).unwrap();
            offsets.commit(vec![(place("k", 0), at(9))]).unwrap();
            drop(offsets);
            assert_eq!(Offsets::open(folder.path()).unwrap().get("k", "topic", 0), Some(at(9)));
        }
        std::fs::write(&path, &whole).unwrap();
        let offsets = Offsets::open(folder.path()).unwrap();
        assert_eq!(offsets.of_group("g"), [(place("g", 0), at(3)), (place("g", 1), at(2))]);
        assert_eq!(offsets.groups(), ["g", "h"]);
    }

    #[test]
    fn a_topic_that_is_gone_is_forgotten_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = Offsets::open(folder.path()).unwrap();
        offsets.commit(vec![(place("g", 0), at(1))]).unwrap();
        offsets.forget_topic("topic").unwrap();
        assert_eq!(offsets.get("g", "topic", 0), None);
        drop(offsets);
        assert_eq!(Offsets::open(folder.path()).unwrap().groups(), Vec::<String>::new());
    }

    #[test]
    fn the_journal_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = Offsets::open(folder.path()).unwrap();
        for offset in 0..60_000 {
            offsets.commit(vec![(place("g", 0), at(offset))]).unwrap();
        }
        drop(offsets);
        assert!(std::fs::metadata(folder.path().join("offsets")).unwrap().len() <= REWRITE_BYTES + 100);
        assert_eq!(Offsets::open(folder.path()).unwrap().get("g", "topic", 0), Some(at(59_999)));
    }
}
