//! librdkafka's batch queue: thousands of records in one call, their bytes where librdkafka has put them.
//!
//! The one place with `unsafe`. All assigned partitions are forwarded to one queue of ours; what is taken from it is
//! given back when the [`Taken`] is dropped. The consumer's own queue is left to events.

use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

/// Longest single call while a batch lingers, so that hurrying takes effect soon.
const LINGER_STEP: Duration = Duration::from_millis(5);

/// A queue of records beside the consumer's own.
pub(super) struct Queue<C: ConsumerContext + 'static> {
    consumer: Arc<BaseConsumer<C>>,
    events: NonNull<native::rd_kafka_queue_t>,
    queue: NonNull<native::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's queues may be used from any thread; the consumer outlives its queue by the Arc.
unsafe impl<C: ConsumerContext + 'static> Send for Queue<C> {}

impl<C: ConsumerContext + 'static> Queue<C> {
    pub(super) fn new(consumer: Arc<BaseConsumer<C>>) -> Queue<C> {
        let client = consumer.client().native_ptr();
        // SAFETY: the client's pointer is valid as long as the consumer.
        let (events, queue) = unsafe { (native::rd_kafka_queue_get_consumer(client), native::rd_kafka_queue_new(client)) };
        let events = NonNull::new(events).expect("a consumer has a queue");
        Queue { consumer, events, queue: NonNull::new(queue).expect("librdkafka makes a queue or aborts") }
    }

    /// All that waits in the consumer's own queue: events go to its context, and to `each` the errors, and the records
    /// that came between an assignment and the forwarding of its partitions.
    pub(super) fn drain<'a>(&'a self, mut each: impl FnMut(KafkaResult<BorrowedMessage<'a>>)) {
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(polled) => each(polled),
                // Nothing is also the answer where a single event was taken, as a line of librdkafka's log: more may wait.
                None if self.events() > 0 => {}
                None => return,
            }
        }
    }

    /// How much waits in the consumer's own queue.
    fn events(&self) -> usize {
        // SAFETY: a reference of ours, given back when this is dropped.
        unsafe { native::rd_kafka_queue_length(self.events.as_ptr()) }
    }

    /// Sends a partition's records here from now on. An assignment undoes it.
    pub(super) fn forward(&self, topic: &str, partition: i32) {
        let name = CString::new(topic).expect("a topic's name holds no nought");
        // SAFETY: pointers of this consumer; the partition's queue is a reference of ours, given back at once.
        unsafe {
            let source = native::rd_kafka_queue_get_partition(self.consumer.client().native_ptr(), name.as_ptr(), partition);
            if !source.is_null() {
                native::rd_kafka_queue_forward(source, self.queue.as_ptr());
                native::rd_kafka_queue_destroy(source);
            }
        }
    }

    /// Takes up to `count` records: waits `wait` for the first, then `linger` for more, or less when `hurry` says so.
    pub(super) fn take(&self, count: usize, wait: Duration, linger: Duration, hurry: impl Fn() -> bool) -> Taken<'_> {
        let mut taken = Taken { records: vec![ptr::null_mut(); count], length: 0, queue: PhantomData };
        self.more(&mut taken, 1, wait);
        if taken.length == 0 {
            return taken;
        }
        let started = Instant::now();
        loop {
            let left = linger.saturating_sub(started.elapsed());
            let step = if hurry() { Duration::ZERO } else { left.min(LINGER_STEP) };
            self.more(&mut taken, count, step);
            if taken.length == count || step.is_zero() {
                return taken;
            }
        }
    }

    fn more(&self, taken: &mut Taken<'_>, up_to: usize, wait: Duration) {
        let room = &mut taken.records[taken.length..up_to];
        // SAFETY: `room` is that many pointers long, and librdkafka writes no more.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait.as_millis() as i32, room.as_mut_ptr(), room.len())
        };
        taken.length += usize::try_from(count).unwrap_or(0);
    }
}

impl<C: ConsumerContext + 'static> Drop for Queue<C> {
    fn drop(&mut self) {
        // SAFETY: references of ours, each given back once.
        unsafe {
            native::rd_kafka_queue_destroy(self.events.as_ptr());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// The offset after a partition's last record, as the last answer of the broker had it; none before there was one.
pub(super) fn end<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<i64> {
    let name = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client's pointer is valid as long as the consumer; both numbers are ours.
    let error = unsafe {
        native::rd_kafka_get_watermark_offsets(consumer.client().native_ptr(), name.as_ptr(), partition, &mut low, &mut high)
    };
    (error == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Records taken from the queue.
pub(super) struct Taken<'a> {
    records: Vec<*mut native::rd_kafka_message_t>,
    length: usize,
    queue: PhantomData<&'a ()>,
}

impl Taken<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Raw<'_>> {
        // SAFETY: the first `length` pointers are records that are ours until they are given back in `drop`.
        self.records[..self.length].iter().map(|&record| Raw(unsafe { &*record }))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for &record in &self.records[..self.length] {
            // SAFETY: each is ours and given back once.
            unsafe { native::rd_kafka_message_destroy(record) };
        }
    }
}

/// One record, or an error in a record's place.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(&'a native::rd_kafka_message_t);

impl<'a> Raw<'a> {
    /// What names the topic within this batch; cheaper to compare than its name.
    pub(super) fn topic_id(self) -> usize {
        self.0.rkt as usize
    }

    pub(super) fn topic(self) -> &'a str {
        if self.0.rkt.is_null() {
            return "";
        }
        // SAFETY: a topic's name lives as long as the topic, which the record holds; Kafka's names are ASCII.
        unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.0.rkt)) }.to_str().expect("a topic's name is ASCII")
    }

    pub(super) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(super) fn offset(self) -> i64 {
        self.0.offset
    }

    pub(super) fn error(self) -> Option<RDKafkaErrorCode> {
        (self.0.err != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.0.err.into())
    }

    pub(super) fn payload(self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka's pointer and length of this record's bytes, which live as long as the record.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    pub(super) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(super) fn headers(self) -> Vec<(&'a str, &'a [u8])> {
        let mut found = Vec::new();
        let mut headers = ptr::null_mut();
        // SAFETY: the headers belong to the record; names and values live as long as it does.
        unsafe {
            if native::rd_kafka_message_headers(self.0, &mut headers) != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return found;
            }
            for place in 0.. {
                let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
                let error = native::rd_kafka_header_get_all(headers, place, &mut name, &mut value, &mut length);
                if error != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    break;
                }
                if let (Ok(name), Some(value)) = (CStr::from_ptr(name).to_str(), bytes(value, length)) {
                    found.push((name, value));
                }
            }
        }
        found
    }
}

/// # Safety
/// `length` bytes at `start` must be readable for `'a`, unless it is null.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rdkafka::config::RDKafkaLogLevel;
    use rdkafka::{ClientConfig, ClientContext};

    use super::*;

    const WAITING: usize = 20;
    const WAITING_WITHIN: Duration = Duration::from_secs(60);

    #[derive(Default)]
    struct Lines(AtomicUsize);

    impl ClientContext for Lines {
        fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl ConsumerContext for Lines {}

    /// Otherwise a rebalance waits behind the others, a turn of the thread each: for minutes where librdkafka logs much.
    #[test]
    fn all_events_that_wait_are_taken_at_once() {
        let mut client = ClientConfig::new();
        client.set("group.id", "hangang").set("debug", "all").set_log_level(RDKafkaLogLevel::Debug);
        let consumer: Arc<BaseConsumer<Lines>> = Arc::new(client.create_with_context(Lines::default()).unwrap());
        let queue = Queue::new(consumer.clone());
        let begun = Instant::now();
        while queue.events() < WAITING {
            assert!(begun.elapsed() < WAITING_WITHIN, "only {} events in {WAITING_WITHIN:?}", queue.events());
            std::thread::sleep(Duration::from_millis(5));
        }
        let taken_before = consumer.context().0.load(Ordering::Relaxed);
        queue.drain(|polled| panic!("neither records nor errors were expected: {:?}", polled.err()));
        assert!(consumer.context().0.load(Ordering::Relaxed) >= taken_before + WAITING);
    }
}
