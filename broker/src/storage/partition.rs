//! A partition as requests see it: its log behind a lock, and those who wait for it to grow.
//!
//! Everything that touches the disk blocks, and is called off the async threads.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::Notify;

use super::batch::BatchHeader;
use super::log::{AppendError, Appended, Extent, Log, ReadError};
use super::read::Range;
use super::records;
use crate::BrokerError;

pub(crate) struct Partition {
    log: Mutex<Log>,
    waiting: Mutex<Vec<Weak<Notify>>>,
    /// The last write failed; said once until one succeeds.
    is_failing: AtomicBool,
    /// Records could not be read; said once.
    is_unreadable: AtomicBool,
}

impl Partition {
    pub fn open(folder: &Path, segment_bytes: u64) -> Result<Partition, BrokerError> {
        let log = Log::open(folder, segment_bytes)?;
        Ok(Partition {
            log: Mutex::new(log),
            waiting: Mutex::default(),
            is_failing: AtomicBool::new(false),
            is_unreadable: AtomicBool::new(false),
        })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder of a log panics")
    }

    pub fn append(&self, batch: &[u8], header: &BatchHeader) -> Result<Appended, AppendError> {
        let appended = self.log().append(batch, header);
        match &appended {
            Ok(appended) if !appended.is_duplicate => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(path = %self.log().path().display(), "the disk takes records again");
                }
                self.wake();
            }
            Err(AppendError::Storage(error)) => {
                metrics::counter!("hangang_broker_storage_errors_total").increment(1);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(path = %self.log().path().display(), %error, "the disk takes no records; producers are told to try again");
                }
            }
            _ => {}
        }
        appended
    }

    pub fn extent(&self) -> Extent {
        self.log().extent()
    }

    pub fn locate(&self, offset: i64) -> Result<Option<Range>, ReadError> {
        self.log().locate(offset)
    }

    /// Reads whole batches off the disk; what cannot be read is said once.
    pub fn read(&self, range: &Range, bytes_max: usize, at_least_one: bool) -> Result<Bytes, ResponseError> {
        match range.read(bytes_max, at_least_one) {
            Ok(records) => Ok(records),
            // Its segment went while it was looked for: the topic, or the records before an offset, were removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(match self.locate(range.offset) {
                Err(ReadError::Deleted) => ResponseError::UnknownTopicOrPartition,
                _ => ResponseError::OffsetOutOfRange,
            }),
            Err(error) => {
                metrics::counter!("hangang_broker_storage_errors_total").increment(1);
                if !self.is_unreadable.swap(true, Ordering::Relaxed) {
                    tracing::error!(path = %range.path.display(), offset = range.offset, %error, "records cannot be read");
                }
                Err(ResponseError::KafkaStorageError)
            }
        }
    }

    /// Bytes waiting at `offset`, to the precision of the index.
    pub fn bytes_from(&self, offset: i64) -> Result<u64, ReadError> {
        let log = self.log();
        Ok(log.locate(offset)?.map_or(0, |_| log.bytes_from(offset)))
    }

    /// Offset and timestamp of the first record at or after `timestamp`.
    pub fn first_at_or_after(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        let (ranges, start) = {
            let log = self.log();
            (log.ranges_from_time(timestamp), log.extent().start)
        };
        for range in ranges {
            let found = range
                .find(|batch| batch.max_timestamp >= timestamp, |bytes| records::first_at_or_after(bytes, start, timestamp))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Offset and timestamp of the latest record.
    pub fn latest(&self) -> io::Result<Option<(i64, i64)>> {
        let (ranges, start, max_timestamp) = {
            let log = self.log();
            let Some(max_timestamp) = log.max_timestamp() else { return Ok(None) };
            (log.ranges_from_time(max_timestamp), log.extent().start, max_timestamp)
        };
        for range in ranges {
            let found = range.find(|batch| batch.max_timestamp >= max_timestamp, |bytes| records::latest(bytes, start))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub fn delete_before(&self, offset: i64) -> io::Result<i64> {
        self.log().delete_before(offset)
    }

    /// Wakes `waiter` at the next record, and at the topic's end.
    pub fn notify(&self, waiter: &Arc<Notify>) {
        let mut waiting = self.waiting.lock().expect("no holder of the list panics");
        waiting.retain(|waiter| waiter.strong_count() > 0);
        if !waiting.iter().any(|waiting| waiting.as_ptr() == Arc::as_ptr(waiter)) {
            waiting.push(Arc::downgrade(waiter));
        }
    }

    fn wake(&self) {
        for waiter in self.waiting.lock().expect("no holder of the list panics").drain(..) {
            if let Some(waiter) = waiter.upgrade() {
                waiter.notify_one();
            }
        }
    }

    /// Makes everything acknowledged outlive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        let Some(file) = self.log().take_unsynced() else { return Ok(()) };
        file.sync_data().inspect_err(|_| self.log().sync_failed())
    }

    /// The topic is gone: nothing more is taken or given.
    pub fn delete(&self) {
        self.log().delete();
        self.wake();
    }
}
