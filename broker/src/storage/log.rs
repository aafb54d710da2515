//! A partition's log: sealed segments, the one being written, and what is known of its producers.
//!
//! `append` answers once the bytes are with the operating system, so a killed process loses nothing that it acknowledged;
//! `sync` makes them outlive a power cut. A write that fails leaves the log as it was.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{BatchHeader, HEADER_BYTES, placed_header};
use super::producers::{Producers, Verdict};
use super::read::Range;
use super::segment::{Segment, index_path, log_path, scan};
use crate::BrokerError;

/// The file that holds the first offset still to be read, once records have been deleted.
const START_FILE: &str = "log-start";

pub(crate) struct Log {
    folder: PathBuf,
    segment_bytes: u64,
    start_offset: i64,
    sealed: Vec<Arc<Segment>>,
    active: Segment,
    file: Arc<File>,
    producers: Producers,
    /// A failed write may have left bytes behind the log's end.
    tail_is_dirty: bool,
    is_synced: bool,
    is_deleted: bool,
}

/// Where a batch stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub base_offset: i64,
    pub start_offset: i64,
    pub is_duplicate: bool,
}

/// Why a batch is not in the log.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The topic is gone.
    Deleted,
    /// The producer's sequence does not allow it.
    Refused(Verdict),
    /// The disk does not take it.
    Storage(io::Error),
}

/// Why there is nothing to read at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    Deleted,
    OutOfRange,
}

/// The offsets a log holds: from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub start: i64,
    pub end: i64,
}

impl Log {
    /// Opens the log in `folder`, which exists; begins it where the folder is empty. Cuts a torn tail and says so.
    pub fn open(folder: &Path, segment_bytes: u64) -> Result<Log, BrokerError> {
        let bases = segment_bases(folder)?;
        let (&active_base, sealed_bases) = match bases.split_last() {
            Some(split) => split,
            None => (&0, &[][..]),
        };
        let sealed = sealed_bases.iter().map(|&base| open_sealed(folder, base)).collect::<Result<Vec<_>, _>>()?;
        check_continuity(folder, &sealed, active_base)?;
        let mut producers = producers_before(folder, sealed_bases, active_base)?;

        let path = log_path(folder, active_base);
        let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path);
        let file = file.map_err(BrokerError::storage("open", &path))?;
        let (active, fault) = scan(folder, active_base, |batch| producers.remember(batch))?;
        if let Some(fault) = fault {
            let length = file.metadata().map_err(BrokerError::storage("read", &path))?.len();
            file.set_len(active.size).and_then(|()| file.sync_all()).map_err(BrokerError::storage("cut", &path))?;
            let bytes_cut = length - active.size;
            tracing::warn!(path = %path.display(), bytes_cut, %fault, "cut a torn tail, which no one was told is kept");
            metrics::counter!("hangang_broker_torn_tail_bytes_total").increment(bytes_cut);
        }
        durable::sync_folder(folder).map_err(BrokerError::storage("sync", folder))?;

        let first = sealed.first().map_or(active.base_offset, |segment| segment.base_offset);
        // A power cut may have taken records that were deleted before they were synced.
        let start_offset = read_start(folder)?.unwrap_or(first).clamp(first, active.next_offset);
        Ok(Log {
            folder: folder.to_owned(),
            segment_bytes,
            start_offset,
            sealed,
            active,
            file: Arc::new(file),
            producers,
            tail_is_dirty: false,
            is_synced: true,
            is_deleted: false,
        })
    }

    /// Puts a verified batch at the log's end, unless its producer has put it there before.
    pub fn append(&mut self, batch: &[u8], header: &BatchHeader) -> Result<Appended, AppendError> {
        if self.is_deleted {
            return Err(AppendError::Deleted);
        }
        if header.is_idempotent() {
            match self.producers.judge(header) {
                Verdict::Append => {}
                Verdict::Duplicate(base_offset) => {
                    return Ok(Appended { base_offset, start_offset: self.start_offset, is_duplicate: true });
                }
                refused => return Err(AppendError::Refused(refused)),
            }
        }
        let base_offset = self.active.next_offset;
        if let Err(error) = self.write(batch, base_offset) {
            self.producers.expect(header);
            return Err(AppendError::Storage(error));
        }
        let placed = header.at(base_offset);
        self.active.push(&placed);
        self.producers.remember(&placed);
        self.is_synced = false;
        Ok(Appended { base_offset, start_offset: self.start_offset, is_duplicate: false })
    }

    fn write(&mut self, batch: &[u8], base_offset: i64) -> io::Result<()> {
        if self.active.size > 0 && self.active.size + batch.len() as u64 > self.segment_bytes {
            self.seal()?;
        }
        if self.tail_is_dirty {
            self.file.set_len(self.active.size)?;
            self.tail_is_dirty = false;
        }
        let written = self
            .file
            .write_all_at(&placed_header(batch, base_offset), self.active.size)
            .and_then(|()| self.file.write_all_at(&batch[HEADER_BYTES..], self.active.size + HEADER_BYTES as u64));
        if written.is_err() {
            self.tail_is_dirty = self.file.set_len(self.active.size).is_err();
        }
        written
    }

    /// Ends the active segment and begins the next. Each step may fail and be made again.
    fn seal(&mut self) -> io::Result<()> {
        if self.tail_is_dirty {
            self.file.set_len(self.active.size)?;
            self.tail_is_dirty = false;
        }
        self.file.sync_all()?;
        self.active.write_index(&self.folder)?;
        let next = Segment::empty(self.active.next_offset);
        durable::replace(&producers_path(&self.folder, next.base_offset), &self.producers.encode())?;
        let path = next.log_path(&self.folder);
        let file = OpenOptions::new().create(true).read(true).write(true).truncate(true).open(path)?;
        durable::sync_folder(&self.folder)?;
        remove_if_there(&producers_path(&self.folder, self.active.base_offset))?;
        self.sealed.push(Arc::new(std::mem::replace(&mut self.active, next)));
        self.file = Arc::new(file);
        Ok(())
    }

    pub fn extent(&self) -> Extent {
        Extent { start: self.start_offset, end: self.active.next_offset }
    }

    /// Where the batch that holds `offset` is to be read, up to its segment's end. None at the log's end.
    pub fn locate(&self, offset: i64) -> Result<Option<Range>, ReadError> {
        if self.is_deleted {
            return Err(ReadError::Deleted);
        }
        let extent = self.extent();
        if offset < extent.start || offset > extent.end {
            return Err(ReadError::OutOfRange);
        }
        if offset == extent.end {
            return Ok(None);
        }
        if offset >= self.active.base_offset {
            return Ok(Some(self.range(&self.active, self.active.position_before(offset), offset)));
        }
        let after = self.sealed.partition_point(|segment| segment.base_offset <= offset);
        let segment = &self.sealed[after - 1];
        Ok(Some(self.range(segment, segment.position_before(offset), offset)))
    }

    /// Bytes from `offset` on, in all segments; up to an index interval and a batch too many.
    pub fn bytes_from(&self, offset: i64) -> u64 {
        let of = |segment: &Segment| {
            if segment.next_offset <= offset { 0 } else { segment.size - segment.position_before(offset) }
        };
        self.sealed.iter().rev().take_while(|segment| segment.next_offset > offset).map(|segment| of(segment)).sum::<u64>()
            + of(&self.active)
    }

    /// Stretches of the log in which a record at or after `timestamp` may stand, in order.
    pub fn ranges_from_time(&self, timestamp: i64) -> Vec<Range> {
        self.segments()
            .filter(|segment| segment.max_timestamp >= timestamp && segment.next_offset > self.start_offset)
            .map(|segment| self.range(segment, segment.position_before_time(timestamp), self.start_offset))
            .collect()
    }

    /// The latest timestamp in the log; none while it is empty.
    pub fn max_timestamp(&self) -> Option<i64> {
        let held = self.segments().filter(|segment| segment.next_offset > self.start_offset && segment.size > 0);
        held.map(|segment| segment.max_timestamp).max()
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.sealed.iter().map(Arc::as_ref).chain([&self.active])
    }

    fn range(&self, segment: &Segment, position: u64, offset: i64) -> Range {
        let file = (segment.base_offset == self.active.base_offset).then(|| self.file.clone());
        Range { file, path: segment.log_path(&self.folder), position, end: segment.size, offset }
    }

    /// Makes the records before `offset` unreadable and removes the segments that hold none after it. Returns the
    /// offset at which the log begins now.
    pub fn delete_before(&mut self, offset: i64) -> io::Result<i64> {
        if offset <= self.start_offset {
            return Ok(self.start_offset);
        }
        assert!(offset <= self.active.next_offset, "the caller has checked the offset against the log's end");
        durable::replace(&self.folder.join(START_FILE), offset.to_string().as_bytes())?;
        self.start_offset = offset;
        while let Some(first) = self.sealed.first().filter(|first| first.next_offset <= offset) {
            remove_if_there(&index_path(&self.folder, first.base_offset))?;
            remove_if_there(&first.log_path(&self.folder))?;
            self.sealed.remove(0);
        }
        Ok(offset)
    }

    /// The file whose bytes a power cut could still take, if any; the caller syncs it outside the log's lock.
    pub fn take_unsynced(&mut self) -> Option<Arc<File>> {
        (!std::mem::replace(&mut self.is_synced, true)).then(|| self.file.clone())
    }

    /// Syncing the file failed: it is to be tried again.
    pub fn sync_failed(&mut self) {
        self.is_synced = false;
    }

    /// From now on the log takes and gives nothing: its topic is gone.
    pub fn delete(&mut self) {
        self.is_deleted = true;
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }
}

fn segment_bases(folder: &Path) -> Result<Vec<i64>, BrokerError> {
    let list = || -> io::Result<Vec<i64>> {
        let mut bases = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            if let Some(base) = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|base| base.parse().ok()) {
                bases.push(base);
            }
        }
        bases.sort_unstable();
        Ok(bases)
    };
    list().map_err(BrokerError::storage("list", folder))
}

fn open_sealed(folder: &Path, base_offset: i64) -> Result<Arc<Segment>, BrokerError> {
    let path = index_path(folder, base_offset);
    if let Some(segment) = Segment::read_index(folder, base_offset).map_err(BrokerError::storage("read", &path))? {
        return Ok(Arc::new(segment));
    }
    let (segment, fault) = scan(folder, base_offset, |_| {})?;
    if let Some(fault) = fault {
        // A sealed segment was synced whole, so its tail cannot be torn.
        let path = log_path(folder, base_offset);
        return Err(BrokerError::Damaged { path, position: segment.size, detail: fault.to_string() });
    }
    segment.write_index(folder).map_err(BrokerError::storage("write", &path))?;
    Ok(Arc::new(segment))
}

fn check_continuity(folder: &Path, sealed: &[Arc<Segment>], active_base: i64) -> Result<(), BrokerError> {
    let bases = sealed.iter().skip(1).map(|segment| segment.base_offset).chain([active_base]);
    for (segment, next_base) in sealed.iter().zip(bases) {
        if segment.next_offset != next_base {
            return Err(BrokerError::Unreadable {
                path: log_path(folder, next_base),
                detail: format!("it begins at offset {next_base}, but the segment before it ends at {}", segment.next_offset),
            });
        }
    }
    Ok(())
}

/// The producers as they were when the active segment began.
fn producers_before(folder: &Path, sealed_bases: &[i64], active_base: i64) -> Result<Producers, BrokerError> {
    let path = producers_path(folder, active_base);
    match std::fs::read(&path) {
        Ok(bytes) => {
            if let Some(producers) = Producers::decode(&bytes) {
                return Ok(producers);
            }
            tracing::warn!(path = %path.display(), "a snapshot of producers is damaged; it is made anew from the log");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(BrokerError::storage("read", &path)(error)),
    }
    let mut producers = Producers::default();
    for &base in sealed_bases {
        scan(folder, base, |batch| producers.remember(batch))?;
    }
    Ok(producers)
}

fn producers_path(folder: &Path, base_offset: i64) -> PathBuf {
    folder.join(format!("{base_offset:020}.producers"))
}

fn read_start(folder: &Path) -> Result<Option<i64>, BrokerError> {
    let path = folder.join(START_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|error| BrokerError::Unreadable { path, detail: format!("\"{}\" is no offset: {error}", text.trim()) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BrokerError::storage("read", &path)(error)),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Sample;
    use super::*;

    const SEGMENT_BYTES: u64 = 1000;

    fn append(log: &mut Log, sample: Sample) -> Appended {
        let bytes = sample.bytes();
        log.append(&bytes, &BatchHeader::verify(&bytes).unwrap()).unwrap()
    }

    /// Every offset and its timestamp, read batch by batch from the beginning.
    fn contents(log: &Log) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let mut offset = log.extent().start;
        while let Some(range) = log.locate(offset).unwrap() {
            let bytes = range.read(1, true).unwrap();
            let header = BatchHeader::verify(&bytes).unwrap();
            assert!(header.base_offset <= offset && offset < header.next_offset());
            found.push((header.base_offset, header.max_timestamp));
            offset = header.next_offset();
        }
        found
    }

    #[test]
    fn a_log_of_many_segments_reads_the_same_after_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        for number in 0..100 {
            let appended = append(&mut log, Sample::of(&[number, number]));
            assert_eq!(appended, Appended { base_offset: number * 2, start_offset: 0, is_duplicate: false });
        }
        let before = contents(&log);
        assert_eq!(before, (0..100).map(|number| (number * 2, number)).collect::<Vec<_>>());
        assert!(log.sealed.len() > 5);
        drop(log);
        let log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        assert_eq!(contents(&log), before);
        assert_eq!(log.extent(), Extent { start: 0, end: 200 });
        assert_eq!(log.max_timestamp(), Some(99));
        assert_eq!(log.locate(201).unwrap_err(), ReadError::OutOfRange);
    }

    #[test]
    fn indexes_and_snapshots_that_are_lost_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        for number in 0..50 {
            append(&mut log, Sample::of(&[number]).by(1, 0, number as i32));
        }
        let (before, producers) = (contents(&log), log.producers.clone());
        drop(log);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().unwrap() != "log" {
                std::fs::remove_file(path).unwrap();
            }
        }
        let log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        assert_eq!((contents(&log), log.producers), (before, producers));
    }

    #[test]
    fn a_repeat_is_known_after_it_is_opened_again_in_any_segment() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..40 {
            let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
            let first = append(&mut log, Sample::of(&[0]).by(7, 0, number));
            drop(log);
            let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
            let again = append(&mut log, Sample::of(&[0]).by(7, 0, number));
            assert_eq!(again, Appended { is_duplicate: true, ..first });
        }
    }

    #[test]
    fn a_missing_segment_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        for number in 0..100 {
            append(&mut log, Sample::of(&[number]));
        }
        let second = log.sealed[1].log_path(folder.path());
        drop(log);
        std::fs::remove_file(second).unwrap();
        let error = Log::open(folder.path(), SEGMENT_BYTES).err().unwrap().to_string();
        assert!(error.contains("but the segment before it ends at"), "{error}");
    }

    #[test]
    fn deleted_records_stay_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        for number in 0..100 {
            append(&mut log, Sample::of(&[number]));
        }
        assert_eq!(log.delete_before(55).unwrap(), 55);
        assert!(log.sealed[0].next_offset > 55);
        drop(log);
        let log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        assert_eq!(log.extent(), Extent { start: 55, end: 100 });
        assert_eq!(log.locate(54).unwrap_err(), ReadError::OutOfRange);
        assert_eq!(contents(&log)[0].0, 55);
    }

    #[test]
    fn a_log_that_lost_deleted_records_begins_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        for number in 0..4 {
            append(&mut log, Sample::of(&[number]));
        }
        log.delete_before(4).unwrap();
        let file = log.file.clone();
        file.set_len(log.active.size / 2).unwrap();
        drop(log);
        let mut log = Log::open(folder.path(), SEGMENT_BYTES).unwrap();
        assert_eq!(log.extent(), Extent { start: 2, end: 2 });
        append(&mut log, Sample::of(&[9]));
        assert_eq!(contents(&log), [(2, 9)]);
    }
}
