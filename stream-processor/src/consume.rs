//! Step 5: consume. Topics → batches, checked, with the offsets that they span.
//!
//! One thread, since librdkafka blocks. Where a partition begins is decided by the lake's marks whenever the group gives
//! it to us; Kafka's committed offsets are never read. The thread reads and checks a batch while the one before is landed,
//! and no further ahead.

mod positions;
mod queue;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clock::Clock;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(crate) use self::positions::Part;
use self::positions::{Consumed, Topic};
use self::queue::{Queue, Raw};
use crate::config::ProcessorConfig;
use crate::land::Slice;
use crate::marks::Place;
use crate::status::Shared;

/// Wait for a first record, after which events are looked at again.
const WAIT: Duration = Duration::from_millis(100);
/// How often partitions that stand still are looked at again: a person may have resolved it meanwhile.
const STOPPED_EVERY: Duration = Duration::from_secs(10);
/// Before partitions that had to be given up are begun again, so that a broken broker isn't asked without end.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Records that librdkafka reads ahead, in KiB: a batch's worth, and little memory.
const READ_AHEAD_KIB: &str = "16384";

/// What the thread hands over, in order.
pub(crate) enum Event {
    /// The group has given us these partitions: where do they begin?
    Assigned {
        partitions: Vec<(String, i32)>,
        starts: oneshot::Sender<Vec<Start>>,
    },
    /// They are taken away; whatever came before this event was ours.
    Revoked {
        done: oneshot::Sender<()>,
    },
    Batch {
        parts: Vec<Part>,
        reading: Duration,
    },
}

/// Where a partition begins.
pub(crate) struct Start {
    pub place: Place,
    pub next: i64,
}

/// The group's member. Clones share it.
#[derive(Clone)]
pub(crate) struct Member {
    consumer: Arc<BaseConsumer<Events>>,
}

impl Member {
    pub(crate) fn new(config: &ProcessorConfig, shared: Arc<Shared>) -> KafkaResult<Member> {
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
        let events = Events { rebalances: Mutex::default(), closing: AtomicBool::new(false), shared };
        Ok(Member { consumer: Arc::new(client.create_with_context(events)?) })
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

/// Runs until cancelled, or until nobody takes its events any more.
pub(crate) fn run(
    member: Member,
    config: &ProcessorConfig,
    clock: &Clock,
    events: mpsc::Sender<Event>,
    shared: &Shared,
    cancel: &CancellationToken,
) {
    let mut thread = Thread {
        queue: Rc::new(Queue::new(member.consumer.clone())),
        consumer: member.consumer.clone(),
        topics: config.feeds.iter().enumerate().flat_map(|(number, &feed)| Topic::of(number, feed)).collect(),
        config,
        clock,
        events,
        shared,
        assigned: Vec::new(),
        stopped: false,
        looked_at: Instant::now(),
    };
    while !cancel.is_cancelled() {
        if thread.turn().is_none() {
            break;
        }
    }
    thread.consumer.context().closing.store(true, Ordering::SeqCst);
}

struct Thread<'a> {
    queue: Rc<Queue<Events>>,
    consumer: Arc<BaseConsumer<Events>>,
    topics: Vec<Topic>,
    config: &'a ProcessorConfig,
    clock: &'a Clock,
    events: mpsc::Sender<Event>,
    shared: &'a Shared,
    /// What the group has given us.
    assigned: Vec<(String, i32)>,
    /// Whether some of these stand still.
    stopped: bool,
    looked_at: Instant,
}

impl Thread<'_> {
    /// Events first, then a batch. `None`: nobody listens any more.
    fn turn(&mut self) -> Option<()> {
        let consumer = self.consumer.clone();
        // An assignment takes effect before its partitions are forwarded: what came between is here.
        let mut strays = Vec::new();
        while let Some(polled) = consumer.poll(Duration::ZERO) {
            match polled {
                Ok(record) => strays.push(record),
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => self.shared.broker_trouble(&error),
            }
        }
        if !strays.is_empty() {
            self.batch(
                strays.iter().map(|record| {
                    Piece::Record(record.topic(), record.topic().as_ptr() as usize, record.partition(), Stray(record))
                }),
                Instant::now(),
            )?;
        }
        drop(strays);
        if let Some(rebalance) = consumer.context().next() {
            return self.rebalance(rebalance);
        }
        if self.stopped && self.looked_at.elapsed() > STOPPED_EVERY {
            return self.begin();
        }
        let queue = self.queue.clone();
        let taken = queue.take(self.config.batch_records, WAIT, self.config.linger, || self.shared.hurried());
        let started = Instant::now();
        let mut lost = None;
        let pieces = taken.iter().filter_map(|raw| match raw.error() {
            None => Some(Piece::Record(raw.topic(), raw.topic_id(), raw.partition(), raw)),
            Some(RDKafkaErrorCode::PartitionEOF) => Some(Piece::End(raw.topic(), raw.topic_id(), raw.partition(), raw.offset())),
            Some(code) => {
                lost = Some(code);
                None
            }
        });
        let pieces: Vec<Piece<'_, Raw<'_>>> = pieces.collect();
        let batch = self.batch(pieces.into_iter(), started);
        drop(taken);
        batch?;
        match lost {
            Some(code) => {
                self.shared.broker_trouble(&KafkaError::MessageConsumption(code));
                std::thread::sleep(AGAIN_AFTER);
                self.begin()
            }
            None => Some(()),
        }
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Option<()> {
        match rebalance {
            Rebalance::Assigned(partitions) => {
                self.assigned = partitions;
                self.begin()
            }
            Rebalance::Revoked => {
                self.assigned.clear();
                self.stopped = false;
                let (done, landed) = oneshot::channel();
                self.events.blocking_send(Event::Revoked { done }).ok()?;
                landed.blocking_recv().ok()?;
                self.assign(&[])
            }
        }
    }

    /// Asks where each assigned partition begins, and begins there. Those that must not go on are left out.
    fn begin(&mut self) -> Option<()> {
        let (starts, answer) = oneshot::channel();
        self.events.blocking_send(Event::Assigned { partitions: self.assigned.clone(), starts }).ok()?;
        let starts = answer.blocking_recv().ok()?;
        self.stopped = starts.len() < self.assigned.len();
        self.looked_at = Instant::now();
        self.assign(&starts)
    }

    fn assign(&mut self, starts: &[Start]) -> Option<()> {
        self.topics.iter_mut().for_each(Topic::unassign_all);
        let mut list = TopicPartitionList::new();
        for Start { place, next } in starts {
            list.add_partition_offset(&place.topic, place.partition, Offset::Offset(*next))
                .expect("an offset is a number from nought");
            let topic = self
                .topics
                .iter_mut()
                .find(|topic| topic.name() == &*place.topic)
                .expect("only topics that were subscribed are assigned");
            topic.assign(place.partition, place.generation, *next);
        }
        let assigned = if starts.is_empty() { self.consumer.unassign() } else { self.consumer.assign(&list) };
        if let Err(error) = assigned {
            self.shared.broker_trouble(&error);
        }
        for Start { place, .. } in starts {
            self.queue.forward(&place.topic, place.partition);
        }
        Some(())
    }

    /// Sorts what was taken by topic, checks it and hands it over.
    fn batch<'a, C: Consumed<'a>>(&mut self, pieces: impl Iterator<Item = Piece<'a, C>>, started: Instant) -> Option<()> {
        let mut by_topic: Vec<(Vec<(i32, C)>, Vec<(i32, i64)>)> = self.topics.iter().map(|_| Default::default()).collect();
        let mut last: Option<(usize, Option<usize>)> = None;
        for piece in pieces {
            let (name, id) = piece.topic();
            let number = match last {
                Some((known, number)) if known == id => number,
                _ => self.topics.iter().position(|topic| topic.name() == name),
            };
            last = Some((id, number));
            // A record of a topic that isn't ours can't be: we subscribe by name.
            let Some(number) = number else { continue };
            match piece {
                Piece::Record(_, _, partition, record) => by_topic[number].0.push((partition, record)),
                Piece::End(_, _, partition, end) => by_topic[number].1.push((partition, end)),
            }
        }
        let now = self.clock.now();
        let parts = self.topics.iter_mut().zip(&by_topic).filter_map(|(topic, (records, ends))| topic.part(now, records, ends));
        let parts: Vec<Part> = parts.collect();
        if parts.is_empty() {
            return Some(());
        }
        self.shared.broker_answers();
        self.events.blocking_send(Event::Batch { parts, reading: started.elapsed() }).ok()
    }
}

/// A record, or the end of a partition, of a topic by its name and something quicker to compare.
enum Piece<'a, C> {
    Record(&'a str, usize, i32, C),
    End(&'a str, usize, i32, i64),
}

impl<'a, C> Piece<'a, C> {
    fn topic(&self) -> (&'a str, usize) {
        match self {
            Piece::Record(name, id, ..) | Piece::End(name, id, ..) => (name, *id),
        }
    }
}

impl<'a> Consumed<'a> for Raw<'a> {
    fn offset(self) -> i64 {
        Raw::offset(self)
    }
    fn key(self) -> Option<&'a [u8]> {
        Raw::key(self)
    }
    fn payload(self) -> Option<&'a [u8]> {
        Raw::payload(self)
    }
    fn headers(self) -> Vec<(&'a str, &'a [u8])> {
        Raw::headers(self)
    }
}

/// A record that came by the consumer's own queue.
#[derive(Clone, Copy)]
struct Stray<'a>(&'a BorrowedMessage<'a>);

impl<'a> Consumed<'a> for Stray<'a> {
    fn offset(self) -> i64 {
        self.0.offset()
    }
    fn key(self) -> Option<&'a [u8]> {
        self.0.key()
    }
    fn payload(self) -> Option<&'a [u8]> {
        self.0.payload()
    }
    fn headers(self) -> Vec<(&'a str, &'a [u8])> {
        match self.0.headers() {
            Some(headers) => {
                (0..headers.count()).map(|place| headers.get(place)).map(|h| (h.key, h.value.unwrap_or_default())).collect()
            }
            None => Vec::new(),
        }
    }
}

enum Rebalance {
    Assigned(Vec<(String, i32)>),
    Revoked,
}

/// Keeps the group's decisions until the thread acts on them.
struct Events {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Set once the thread has ended: then what is revoked is let go at once.
    closing: AtomicBool,
    shared: Arc<Shared>,
}

impl Events {
    fn next(&self) -> Option<Rebalance> {
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
        if self.closing.load(Ordering::SeqCst) {
            if let Err(error) = consumer.unassign() {
                tracing::debug!(%error, "leaving the consumer group");
            }
            return;
        }
        self.rebalances.lock().expect("no holder of the rebalances panics").push_back(rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "the offsets for lag tools were not written");
        }
    }
}

/// Subscribes to all topics of the feeds.
pub(crate) fn subscribe(member: &Member, config: &ProcessorConfig) -> KafkaResult<()> {
    let topics: Vec<String> = config.feeds.iter().flat_map(|feed| [feed.topic().to_owned(), feed.dead_letter_topic()]).collect();
    member.consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())
}
