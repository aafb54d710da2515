//! Consuming and nothing else: the bar that the whole way is measured against in `make bench`.
//!
//! The same client, settings and queue as the processor's; records are counted and let go. It reads no mark, checks
//! nothing and lands nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use catalog::Feed;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::WAIT;
use super::group::reading;
use super::queue::Queue;
use crate::config::ProcessorConfig;

/// A broker that sends nothing for this long, although it has more, is none to measure against.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub records: u64,
    /// Of keys and payloads.
    pub bytes: u64,
}

/// Takes all that a feed's topic holds, from its beginning until `records` have come. Blocks.
pub fn consume_only(config: &ProcessorConfig, feed: &Feed, records: u64) -> anyhow::Result<Counted> {
    let consumer: BaseConsumer<DefaultConsumerContext> = reading(config).create().context("setting up a Kafka consumer")?;
    let consumer = Arc::new(consumer);
    let mut places = TopicPartitionList::new();
    for partition in 0..feed.partitions {
        places.add_partition_offset(feed.topic(), partition, Offset::Beginning)?;
    }
    let queue = Queue::new(consumer.clone());
    consumer.assign(&places).context("assigning the partitions")?;
    for partition in 0..feed.partitions {
        queue.forward(feed.topic(), partition);
    }
    let mut counted = Counted { records: 0, bytes: 0 };
    let mut heard_at = Instant::now();
    while counted.records < records {
        if heard_at.elapsed() > SILENCE_MAX {
            bail!("only {} of {records} records came; none for {SILENCE_MAX:?}", counted.records);
        }
        let before = counted.records;
        let mut broken = None;
        queue.drain(|polled| match polled {
            Ok(record) => counted.add(record.key(), record.payload()),
            Err(error) => broken = Some(error),
        });
        if let Some(error) = broken {
            return Err(error).context("consuming");
        }
        for raw in queue.take(config.batch_records, WAIT, Duration::ZERO, || false).iter() {
            match raw.error() {
                None => counted.add(raw.key(), raw.payload()),
                Some(RDKafkaErrorCode::PartitionEOF) => {}
                Some(code) => bail!("consuming: {code}"),
            }
        }
        if counted.records > before {
            heard_at = Instant::now();
        }
    }
    Ok(counted)
}

impl Counted {
    fn add(&mut self, key: Option<&[u8]>, payload: Option<&[u8]>) {
        self.records += 1;
        self.bytes += (key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len)) as u64;
    }
}
