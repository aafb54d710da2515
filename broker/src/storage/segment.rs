//! One stretch of a partition's log: `<base offset>.log`, batches end to end, and a sparse index of it.
//!
//! The newest segment's index lives in memory and is rebuilt at start by reading the file, which also verifies it; a
//! sealed segment, never written again, has its index beside it as `<base offset>.index`.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};

use super::batch::{BatchHeader, Fault, HEADER_BYTES};
use crate::BrokerError;

/// Log bytes between two entries of the index, as in Kafka: what a look-up reads too much at most.
pub(crate) const INDEX_INTERVAL_BYTES: u64 = 4096;
const INDEX_MAGIC: &[u8; 8] = b"HGINDX\0\x01";
/// Bytes read at a time when a segment is scanned.
const SCAN_BYTES: usize = 1 << 20;

/// What is known of a segment without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The offset of the first record that it can hold.
    pub base_offset: i64,
    pub next_offset: i64,
    pub size: u64,
    /// The latest timestamp in it, milliseconds; `i64::MIN` while it is empty.
    pub max_timestamp: i64,
    index: Vec<Entry>,
}

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: i64,
    position: u64,
    /// The latest timestamp before the batch.
    max_timestamp_before: i64,
}

impl Segment {
    pub fn empty(base_offset: i64) -> Segment {
        Segment { base_offset, next_offset: base_offset, size: 0, max_timestamp: i64::MIN, index: Vec::new() }
    }

    pub fn log_path(&self, folder: &Path) -> PathBuf {
        log_path(folder, self.base_offset)
    }

    /// Takes in a batch that stands at the segment's end.
    pub fn push(&mut self, batch: &BatchHeader) {
        if self.index.last().is_none_or(|last| self.size - last.position >= INDEX_INTERVAL_BYTES) {
            let entry = Entry { offset: batch.base_offset, position: self.size, max_timestamp_before: self.max_timestamp };
            self.index.push(entry);
        }
        self.size += batch.total_bytes() as u64;
        self.next_offset = batch.next_offset();
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
    }

    /// A position at or before that of the batch that holds `offset`, less than one interval and one batch too early.
    pub fn position_before(&self, offset: i64) -> u64 {
        match self.index.partition_point(|entry| entry.offset <= offset) {
            0 => 0,
            after => self.index[after - 1].position,
        }
    }

    /// A position at or before that of the first batch whose latest timestamp is `timestamp` or later.
    pub fn position_before_time(&self, timestamp: i64) -> u64 {
        match self.index.partition_point(|entry| entry.max_timestamp_before < timestamp) {
            0 => 0,
            after => self.index[after - 1].position,
        }
    }

    /// Writes the index beside the log. Done once, when the segment is sealed.
    pub fn write_index(&self, folder: &Path) -> io::Result<()> {
        let mut bytes = INDEX_MAGIC.to_vec();
        bytes.put_u64(self.size);
        bytes.put_i64(self.next_offset);
        bytes.put_i64(self.max_timestamp);
        for entry in &self.index {
            bytes.put_i64(entry.offset);
            bytes.put_u64(entry.position);
            bytes.put_i64(entry.max_timestamp_before);
        }
        bytes.put_u32(crc32c::crc32c(&bytes));
        durable::replace(&index_path(folder, self.base_offset), &bytes)
    }

    /// The sealed segment at `base_offset`, from its index; none where that is missing, damaged or of another length.
    pub fn read_index(folder: &Path, base_offset: i64) -> io::Result<Option<Segment>> {
        let bytes = match std::fs::read(index_path(folder, base_offset)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = std::fs::metadata(log_path(folder, base_offset))?.len();
        Ok(decode_index(base_offset, &bytes).filter(|segment| segment.size == size))
    }
}

fn decode_index(base_offset: i64, bytes: &[u8]) -> Option<Segment> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let mut body = body.strip_prefix(INDEX_MAGIC)?;
    let mut segment = Segment {
        base_offset,
        size: body.try_get_u64().ok()?,
        next_offset: body.try_get_i64().ok()?,
        max_timestamp: body.try_get_i64().ok()?,
        index: Vec::with_capacity(body.len() / 24),
    };
    while !body.is_empty() {
        segment.index.push(Entry {
            offset: body.try_get_i64().ok()?,
            position: body.try_get_u64().ok()?,
            max_timestamp_before: body.try_get_i64().ok()?,
        });
    }
    Some(segment)
}

/// Reads a segment from beginning to end and verifies every batch; `visit` sees each. A torn tail (an invalid batch with
/// nothing valid behind it) ends the segment; the file is longer than the segment's size then.
///
/// Errors where an invalid batch is followed by a valid one: that is damage, and cutting it would lose what follows.
pub(crate) fn scan(
    folder: &Path,
    base_offset: i64,
    mut visit: impl FnMut(&BatchHeader),
) -> Result<(Segment, Option<Fault>), BrokerError> {
    let path = log_path(folder, base_offset);
    let failed = BrokerError::storage("read", &path);
    let mut segment = Segment::empty(base_offset);
    let mut read = || -> io::Result<Option<(Fault, Vec<u8>)>> {
        let mut file = File::open(&path)?;
        let mut buffer = Vec::new();
        let mut at = 0;
        loop {
            let fault = match BatchHeader::verify(&buffer[at..]) {
                Ok(batch) if batch.base_offset < segment.next_offset => Fault::Header("the batch's offset goes back"),
                Ok(batch) => {
                    visit(&batch);
                    segment.push(&batch);
                    at += batch.total_bytes();
                    continue;
                }
                Err(fault) => fault,
            };
            buffer.drain(..at);
            at = 0;
            let more = file.by_ref().take(SCAN_BYTES as u64).read_to_end(&mut buffer)?;
            // A wrong batch that stands whole in the buffer stays wrong, however much follows.
            if more == 0 || fault != Fault::Short {
                if buffer.is_empty() {
                    return Ok(None);
                }
                file.read_to_end(&mut buffer)?;
                return Ok(Some((fault, buffer)));
            }
        }
    };
    match read().map_err(failed)? {
        None => Ok((segment, None)),
        Some((fault, rest)) if has_batch(&rest[1..], segment.next_offset) => {
            Err(BrokerError::Damaged { path, position: segment.size, detail: fault.to_string() })
        }
        Some((fault, _)) => Ok((segment, Some(fault))),
    }
}

/// Whether a valid batch with a plausible offset begins anywhere in `bytes`.
fn has_batch(bytes: &[u8], next_offset: i64) -> bool {
    (0..bytes.len().saturating_sub(HEADER_BYTES - 1)).any(|at| {
        // The cheap tests first: this runs for every byte of what may be a whole segment.
        BatchHeader::parse(&bytes[at..])
            .is_ok_and(|batch| batch.base_offset >= next_offset && BatchHeader::verify(&bytes[at..]).is_ok())
    })
}

/// The header of the batch at `position`; none at the end of the segment.
pub(crate) fn header_at(file: &File, position: u64, end: u64) -> io::Result<Option<BatchHeader>> {
    if position >= end {
        return Ok(None);
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, position)?;
    BatchHeader::parse(&bytes).map(Some).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault.to_string()))
}

pub(crate) fn log_path(folder: &Path, base_offset: i64) -> PathBuf {
    folder.join(format!("{base_offset:020}.log"))
}

pub(crate) fn index_path(folder: &Path, base_offset: i64) -> PathBuf {
    folder.join(format!("{base_offset:020}.index"))
}

#[cfg(test)]
mod tests {
    use super::super::batch::placed_header;
    use super::super::batch::tests::Sample;
    use super::*;

    /// A segment of batches of two records each, at offsets 0, 2, 4 … with timestamps 10 × offset.
    fn file_of(batches: i64) -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        for number in 0..batches {
            let offset = number * 2;
            let mut batch = Sample::of(&[offset * 10, offset * 10 + 5]).bytes();
            let header = placed_header(&batch, offset);
            batch[..HEADER_BYTES].copy_from_slice(&header);
            bytes.extend(batch);
        }
        std::fs::write(log_path(folder.path(), 0), &bytes).unwrap();
        (folder, bytes)
    }

    #[test]
    fn an_index_gives_back_the_segment_it_was_written_of() {
        let (folder, bytes) = file_of(1000);
        let (segment, fault) = scan(folder.path(), 0, |_| {}).unwrap();
        assert_eq!((segment.size, segment.next_offset, fault), (bytes.len() as u64, 2000, None));
        assert!(segment.index.len() > 10);
        segment.write_index(folder.path()).unwrap();
        assert_eq!(Segment::read_index(folder.path(), 0).unwrap(), Some(segment.clone()));
        let longer = [bytes, vec![0]].concat();
        std::fs::write(log_path(folder.path(), 0), longer).unwrap();
        assert_eq!(Segment::read_index(folder.path(), 0).unwrap(), None);
    }

    #[test]
    fn a_position_is_never_behind_its_batch() {
        let (folder, _) = file_of(1000);
        let mut starts = Vec::new();
        let mut position = 0;
        let (segment, _) = scan(folder.path(), 0, |batch| {
            starts.push((batch.base_offset, position));
            position += batch.total_bytes() as u64;
        })
        .unwrap();
        for &(offset, position) in &starts {
            for offset in [offset, offset + 1] {
                let found = segment.position_before(offset);
                assert!(found <= position && position - found < 2 * INDEX_INTERVAL_BYTES);
            }
            let found = segment.position_before_time(offset * 10 + 3);
            assert!(found <= position && position - found < 2 * INDEX_INTERVAL_BYTES);
        }
    }

    #[test]
    fn every_torn_tail_ends_the_segment_after_its_last_whole_batch() {
        let (folder, bytes) = file_of(3);
        let batch = bytes.len() / 3;
        for length in 2 * batch + 1..3 * batch {
            std::fs::write(log_path(folder.path(), 0), &bytes[..length]).unwrap();
            let (segment, fault) = scan(folder.path(), 0, |_| {}).unwrap();
            assert_eq!((segment.size, segment.next_offset, fault), (2 * batch as u64, 4, Some(Fault::Short)));
        }
        let zeros = [&bytes[..2 * batch], &[0; 5000]].concat();
        std::fs::write(log_path(folder.path(), 0), zeros).unwrap();
        assert_eq!(scan(folder.path(), 0, |_| {}).unwrap().0.size, 2 * batch as u64);
    }

    #[test]
    fn damage_before_intact_records_is_never_cut() {
        let (folder, bytes) = file_of(3);
        for at in [8, 16, 30, 65] {
            let mut damaged = bytes.clone();
            damaged[bytes.len() / 3 + at] ^= 0x40;
            std::fs::write(log_path(folder.path(), 0), &damaged).unwrap();
            let error = scan(folder.path(), 0, |_| {}).unwrap_err();
            assert!(matches!(error, BrokerError::Damaged { position, .. } if position == bytes.len() as u64 / 3), "{error}");
        }
    }
}
