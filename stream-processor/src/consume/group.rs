//! Our place in the consumer group: joining it, what it decides, and the offsets that are told to lag tools.
//!
//! A decision is only kept here; the consuming thread acts on it, in order with the records before it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::queue;
use crate::config::ProcessorConfig;
use crate::land::Slice;
use crate::status::Shared;

/// Records that librdkafka reads ahead, in KiB: a batch's worth, and little memory.
const READ_AHEAD_KIB: &str = "16384";

/// The group's member. Clones share it.
#[derive(Clone)]
pub(crate) struct Member {
    pub(super) consumer: Arc<BaseConsumer<Events>>,
}

impl Member {
    pub(crate) fn new(config: &ProcessorConfig, shared: Arc<Shared>) -> KafkaResult<Member> {
        let client = reading(config);
        let events = Events { rebalances: Mutex::default(), leaving: AtomicBool::new(false), shared };
        Ok(Member { consumer: Arc::new(client.create_with_context(events)?) })
    }

    /// Joins the group for all topics of the feeds.
    pub(crate) fn subscribe(&self, config: &ProcessorConfig) -> KafkaResult<()> {
        let topics: Vec<String> =
            config.feeds.iter().flat_map(|feed| [feed.topic().to_owned(), feed.dead_letter_topic()]).collect();
        self.consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Leaves the group at once when it is dropped, whatever it has been given since.
    pub(super) fn leaving(&self) {
        self.consumer.context().leaving.store(true, Ordering::SeqCst);
    }

    /// Tells Kafka how far we are, for tools that show lag. Nothing of ours reads it.
    pub(crate) fn commit(&self, landed: impl IntoIterator<Item = (String, i32, i64)>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, next) in landed {
            list.add_partition_offset(&topic, partition, Offset::Offset(next))?;
        }
        self.consumer.commit(&list, CommitMode::Async)
    }

    /// Of each topic, how many records the broker was last heard to have beyond what these slices have reached.
    pub(crate) fn lag(&self, slices: &[Slice]) -> BTreeMap<String, i64> {
        let mut lag = BTreeMap::new();
        for slice in slices {
            if let Some(end) = queue::end(&self.consumer, &slice.place.topic, slice.place.partition) {
                *lag.entry(slice.place.topic.to_string()).or_default() += (end - slice.next).max(0);
            }
        }
        lag
    }
}

/// What every consumer of ours is set to.
pub(super) fn reading(config: &ProcessorConfig) -> ClientConfig {
    let mut client = config.client();
    client
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("queued.max.messages.kbytes", READ_AHEAD_KIB)
        .set("fetch.message.max.bytes", "4194304")
        .set("fetch.wait.max.ms", "100");
    client
}

/// What the group has decided.
pub(super) enum Rebalance {
    Assigned(Vec<(String, i32)>),
    Revoked,
}

/// Keeps the group's decisions until the thread acts on them.
pub(super) struct Events {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Set once the thread has ended: then what is revoked is let go at once.
    leaving: AtomicBool,
    shared: Arc<Shared>,
}

impl Events {
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.rebalances.lock().expect("no holder of the rebalances panics").pop_front()
    }
}

impl ClientContext for Events {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        self.shared.broker_trouble(&error);
    }
}

impl ConsumerContext for Events {
    fn rebalance(&self, consumer: &BaseConsumer<Events>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let rebalance = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(
                list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect(),
            ),
            _ => Rebalance::Revoked,
        };
        if self.leaving.load(Ordering::SeqCst) {
            if let Err(error) = consumer.unassign() {
                tracing::debug!(%error, "leaving the consumer group");
            }
            return;
        }
        self.rebalances.lock().expect("no holder of the rebalances panics").push_back(rebalance);
    }
}
