//! Step 5: consume. Topics → batches, checked, with the offsets that they span.
//!
//! One thread, since librdkafka blocks. Where a partition begins is decided by the lake's marks whenever the group gives
//! it to us; Kafka's committed offsets are never read. The thread reads and checks a batch while the one before is landed,
//! and no further ahead.

mod group;
mod only;
mod pieces;
mod positions;
mod queue;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clock::Clock;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(crate) use self::group::Member;
use self::group::{Events, Rebalance};
pub use self::only::{Counted, consume_only};
use self::pieces::{Piece, Stray};
pub(crate) use self::positions::Part;
use self::positions::{Consumed, Topic};
use self::queue::{Queue, Raw};
use crate::config::ProcessorConfig;
use crate::marks::Place;
use crate::status::{BROKER, Shared};

/// Wait for a first record, after which events are looked at again.
const WAIT: Duration = Duration::from_millis(100);
/// How often partitions that stand still are looked at again: a person may have resolved it meanwhile.
const STOPPED_EVERY: Duration = Duration::from_secs(10);
/// Before what failed is tried again, so that a broken broker isn't asked without end.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
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
        asked_at: Instant::now(),
    };
    while !cancel.is_cancelled() {
        if thread.turn().is_none() {
            break;
        }
    }
    member.leaving();
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
    asked_at: Instant,
}

impl Thread<'_> {
    /// Events first, then a batch. `None`: nobody listens any more.
    fn turn(&mut self) -> Option<()> {
        let queue = self.queue.clone();
        let mut strays = Vec::new();
        queue.drain(|polled| match polled {
            Ok(record) => strays.push(record),
            Err(error) => self.shared.broker_trouble(&error),
        });
        if !strays.is_empty() {
            self.batch(
                strays.iter().map(|record| {
                    Piece::Record(record.topic(), record.topic().as_ptr() as usize, record.partition(), Stray(record))
                }),
                Instant::now(),
            )?;
        }
        drop(strays);
        if let Some(rebalance) = self.consumer.context().next() {
            return self.rebalance(rebalance);
        }
        if self.shared.has_trouble(BROKER) && self.asked_at.elapsed() > AGAIN_AFTER {
            // An idle broker sends nothing that would say it is back.
            self.asked_at = Instant::now();
            if self.consumer.fetch_metadata(Some(self.topics[0].name()), AGAIN_AFTER).is_ok() {
                self.shared.broker_answers();
            }
        }
        if self.stopped && self.looked_at.elapsed() > STOPPED_EVERY {
            return self.begin();
        }
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
                self.topics.iter_mut().for_each(Topic::unassign_all);
                let unassigned = self.consumer.unassign();
                self.answered(unassigned)
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
        // Nothing is an answer, too: the group waits for one.
        let assigned = self.consumer.assign(&list);
        for Start { place, .. } in starts {
            self.queue.forward(&place.topic, place.partition);
        }
        self.answered(assigned)
    }

    fn answered(&self, answer: KafkaResult<()>) -> Option<()> {
        if let Err(error) = answer {
            self.shared.broker_trouble(&error);
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
