//! The stage as a whole: two workers and the channel between them.
//!
//! One thread consumes and checks; another lands and rolls up. The lake's marks are the only thing that outlives them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use catalog::{Feed, TableName, tables};
use clock::Clock;
use lake::{Lake, Table};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::ProcessorConfig;
use crate::consume::{self, Event, Member};
use crate::dead_letters::DeadLetters;
use crate::judge::ask;
use crate::marks;
use crate::resume::{self, Stopped};
use crate::roll_up::RollUp;
use crate::status::{BROKER, Shared, Status};
use crate::topics::{self, Topics};
use crate::work::{Common, Line, Work};

/// Batches that are checked while one is landed.
const BATCHES_WAITING_MAX: usize = 1;
/// Wait between attempts to reach the broker at the start.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long one waits for news before looking at the lake again: another process may have landed it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running processor. Dropping it without [`Processor::stop`] ends it too, without waiting for it.
pub struct Processor {
    lake: Lake,
    config: ProcessorConfig,
    topics: Arc<Topics>,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    worker: Option<JoinHandle<()>>,
}

/// Why it will not be settled without a person.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    #[error("{}", resume::told(.0))]
    Stopped(Vec<Stopped>),
    #[error(
        "the processor has ended by a fault of its own, told above; nothing is lost: start again, and it goes on from what has landed"
    )]
    Ended,
}

impl Processor {
    /// Starts to consume, land and roll up. The broker needn't be there yet: topics that don't exist are created once it
    /// answers. Needs a tokio runtime of several threads.
    pub async fn start(lake: Lake, clock: Clock, config: ProcessorConfig) -> anyhow::Result<Processor> {
        let shared = Arc::<Shared>::default();
        let cancel = CancellationToken::new();
        let topics = Arc::new(Topics::new(&config).context("setting up a Kafka client")?);
        let member = Member::new(&config, shared.clone()).context("setting up a Kafka consumer")?;
        let mut lines = Vec::new();
        for feed in &config.feeds {
            lines.push(Line::open(&lake, feed).await?);
        }
        let common = Common {
            lake: lake.clone(),
            clock: clock.clone(),
            dead_letters: DeadLetters::new(&config).context("setting up a Kafka producer")?,
            topics: topics.clone(),
            member: member.clone(),
            shared: shared.clone(),
            cancel: cancel.clone(),
        };
        shared.status().running = true;
        let work = Work { lines, common };
        let supervised =
            supervise(Worker { work, member, config: config.clone(), clock, shared: shared.clone(), cancel: cancel.clone() });
        let worker = tokio::task::spawn_blocking(supervised);
        Ok(Processor { lake, config, topics, shared, cancel, worker: Some(worker) })
    }

    /// How it is doing now.
    pub fn status(&self) -> Status {
        self.shared.status().clone()
    }

    /// Waits until everything that the topics held when this was asked is landed, rolled up and quarantined, by this
    /// process or another. Batches don't linger meanwhile.
    pub async fn settled(&self) -> Result<(), Unsettled> {
        let _hurry = self.shared.hurry();
        for feed in &self.config.feeds {
            let observed = feed.observed().name;
            self.landed(feed.topic(), &observed).await?;
            while !self.is(rolled_up(&self.lake, feed).await)? {
                self.news().await;
            }
            // A record's dead letter is acknowledged before its offset is passed: now all of them are there.
            self.landed(&feed.dead_letter_topic(), &tables::quarantine().name).await?;
        }
        Ok(())
    }

    /// Waits until it has ended by itself, which it does by a fault only.
    pub async fn ended(&self) -> Unsettled {
        loop {
            let moved = self.shared.moved.notified();
            if !self.status().running {
                return Unsettled::Ended;
            }
            moved.await;
        }
    }

    /// Stops in order: the batch at hand is given up or finished, and the consumer group is left.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        if let Some(worker) = self.worker.take()
            && let Err(error) = worker.await
        {
            tracing::error!(%error, "the processor ended with a fault");
        }
    }

    async fn landed(&self, topic: &str, table: &TableName) -> Result<(), Unsettled> {
        let mut ends = None;
        while !self.is(self.has_landed(topic, table, &mut ends).await)? {
            self.news().await;
        }
        Ok(())
    }

    /// Whether a topic's partitions are landed up to `ends`, which are looked up where they are not known yet.
    async fn has_landed(&self, topic: &str, table: &TableName, ends: &mut Option<Vec<(i32, i64)>>) -> anyhow::Result<bool> {
        let marks = marks::newest(&self.lake.table(table).await?.marks(), topic);
        let mark = |partition: &i32| marks.get(partition).map_or(0, |&(_, next)| next);
        if ends.is_none() {
            // A topic that ends below a mark was wiped: that is not for waiting, and soon said.
            *ends =
                ends_of(&self.topics, topic).await?.filter(|ends| ends.iter().all(|(partition, end)| mark(partition) <= *end));
        }
        Ok(ends.as_ref().is_some_and(|ends| ends.iter().all(|(partition, end)| mark(partition) >= *end)))
    }

    /// What an answer means for waiting: done, or not yet, or never without a person. An error in asking is waited out
    /// like anything else.
    fn is(&self, met: anyhow::Result<bool>) -> Result<bool, Unsettled> {
        let met = met.unwrap_or_else(|error| {
            tracing::debug!("looking whether all is settled: {error:#}");
            false
        });
        let status = self.status();
        if !status.stopped.is_empty() {
            return Err(Unsettled::Stopped(status.stopped));
        }
        if !met && !status.running {
            return Err(Unsettled::Ended);
        }
        Ok(met)
    }

    /// Waits until something was done here, or a little while: another process may have done it.
    async fn news(&self) {
        _ = tokio::time::timeout(LOOK_EVERY, self.shared.moved.notified()).await;
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// The end of each partition of a topic; none while the topic doesn't exist.
async fn ends_of(topics: &Arc<Topics>, topic: &str) -> anyhow::Result<Option<Vec<(i32, i64)>>> {
    ask(topics, topic, |topics, topic| {
        let Some(partitions) = topics.partitions(topic)? else { return Ok(None) };
        (0..partitions).map(|partition| Ok((partition, topics.ends(topic, partition)?.1))).collect::<Result<_, _>>().map(Some)
    })
    .await
}

/// Whether every rollup of a feed has seen all that was added to `observed`. Compaction adds nothing.
async fn rolled_up(lake: &Lake, feed: &Feed) -> anyhow::Result<bool> {
    let observed: Table = lake.table(&feed.observed().name).await?;
    for rollup in RollUp::of(lake, feed).await? {
        let seen = rollup.seen().unwrap_or(0);
        if seen < observed.version() && !observed.added_since(seen).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Worker {
    work: Work,
    member: Member,
    config: ProcessorConfig,
    clock: Clock,
    shared: Arc<Shared>,
    cancel: CancellationToken,
}

/// Runs both workers until the processor is stopped, and ends both when one ends. Landing has a thread of its own as
/// consuming has: sorting, encoding and SQL are work, and would hold up others on the runtime's threads.
fn supervise(worker: Worker) -> impl FnOnce() + Send + 'static {
    let runtime = Handle::current();
    move || {
        let Worker { work, member, config, clock, shared, cancel } = worker;
        let _running = Running(&shared);
        if runtime.block_on(prepare(&config, &member, &shared, &cancel)).is_none() {
            return;
        }
        let (events, incoming) = mpsc::channel::<Event>(BATCHES_WAITING_MAX);
        let consuming = {
            let (member, shared, cancel) = (member.clone(), shared.clone(), cancel.clone());
            runtime.spawn_blocking(move || consume::run(member, &config, &clock, events, &shared, &cancel))
        };
        // It ends when it is cancelled, or when the consuming thread has ended and with it the channel.
        if runtime.block_on(work.run(incoming)).is_err() {
            tracing::debug!("stopped while waiting");
        }
        cancel.cancel();
        if let Err(error) = runtime.block_on(consuming) {
            tracing::error!(%error, "consuming ended with a fault");
        }
        // The last holder of the consumer: it leaves the group here.
        drop(member);
    }
}

/// Creates missing topics and subscribes, once the broker answers. `None`: stopped before.
async fn prepare(config: &ProcessorConfig, member: &Member, shared: &Shared, cancel: &CancellationToken) -> Option<()> {
    while let Err(error) = topics::ensure(config).await {
        shared.trouble(BROKER, format!("{error}; the processor goes on by itself"));
        tokio::select! {
            () = cancel.cancelled() => return None,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
    shared.broker_answers();
    if let Err(error) = member.subscribe(config) {
        tracing::error!(%error, "subscribing to the feeds' topics");
        return None;
    }
    Some(())
}

/// Says that it has ended, however it did.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.status().running = false;
        self.0.moved.notify_waiters();
    }
}
