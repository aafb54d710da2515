//! Reading a stretch of one segment, outside its log's lock.
//!
//! Gives whole batches as they lie on the disk, in one read where they are not uncommonly large.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::batch::{BatchHeader, Fault};
use super::segment::{INDEX_INTERVAL_BYTES, header_at};

/// A stretch of a segment from `position` to `end`, wanted from `offset` on.
#[derive(Debug)]
pub(crate) struct Range {
    /// The segment being written stays open; a sealed one is opened when it is read.
    pub file: Option<Arc<File>>,
    pub path: PathBuf,
    pub position: u64,
    pub end: u64,
    pub offset: i64,
}

impl Range {
    /// Whole batches from the one that holds `offset` on, at most `bytes_max` of them; the first one also where it is
    /// greater, if `at_least_one`.
    pub fn read(&self, bytes_max: usize, at_least_one: bool) -> io::Result<Bytes> {
        let file = self.open()?;
        let mut position = self.position;
        let mut bytes = self.chunk(&file, position, bytes_max as u64 + INDEX_INTERVAL_BYTES)?;
        let mut at = 0;
        let first = loop {
            match BatchHeader::parse(&bytes[at..]) {
                Ok(batch) if batch.next_offset() > self.offset => break batch,
                Ok(batch) if at + batch.total_bytes() <= bytes.len() => at += batch.total_bytes(),
                Ok(batch) => {
                    position += (at + batch.total_bytes()) as u64;
                    bytes = self.chunk(&file, position, bytes_max as u64 + INDEX_INTERVAL_BYTES)?;
                    at = 0;
                }
                Err(Fault::Short) if at > 0 && position + (at as u64) < self.end => {
                    position += at as u64;
                    bytes = self.chunk(&file, position, bytes_max as u64 + INDEX_INTERVAL_BYTES)?;
                    at = 0;
                }
                Err(fault) => {
                    let place = position + at as u64;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, format!("at byte {place}: {fault}")));
                }
            }
        };
        if first.total_bytes() > bytes_max {
            return match at_least_one {
                true => self.chunk(&file, position + at as u64, first.total_bytes() as u64),
                false => Ok(Bytes::new()),
            };
        }
        let mut until = at;
        while let Ok(batch) = BatchHeader::parse(&bytes[until..]) {
            let next = until + batch.total_bytes();
            if next > bytes.len() || next - at > bytes_max {
                break;
            }
            until = next;
        }
        Ok(bytes.slice(at..until))
    }

    /// The first value that `look` finds in a batch that `matches`.
    pub fn find<T>(
        &self,
        mut matches: impl FnMut(&BatchHeader) -> bool,
        mut look: impl FnMut(&[u8]) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let file = self.open()?;
        let mut position = self.position;
        while let Some(batch) = header_at(&file, position, self.end)? {
            if batch.next_offset() > self.offset && matches(&batch) {
                let bytes = self.chunk(&file, position, batch.total_bytes() as u64)?;
                if let Some(found) = look(&bytes)? {
                    return Ok(Some(found));
                }
            }
            position += batch.total_bytes() as u64;
        }
        Ok(None)
    }

    fn open(&self) -> io::Result<Arc<File>> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => File::open(&self.path).map(Arc::new),
        }
    }

    fn chunk(&self, file: &File, position: u64, bytes_max: u64) -> io::Result<Bytes> {
        let length = self.end.saturating_sub(position).min(bytes_max) as usize;
        let mut bytes = BytesMut::zeroed(length);
        file.read_exact_at(&mut bytes, position)?;
        Ok(bytes.freeze())
    }
}
