//! Steps 6 to 8, batch by batch: dead letters sent, rows landed, windows rolled up, quarantine landed.
//!
//! The order is what keeps every record in exactly one place: a refused record's letter is acknowledged before the commit
//! that passes its offset. What fails is tried again until it works or the processor is stopped; a batch is never left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use catalog::{Feed, tables};
use clock::Clock;
use futures::future::try_join_all;
use lake::{Lake, Table};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::check::Checked;
use crate::consume::{Event, Member, Part, Start};
use crate::dead_letters::DeadLetters;
use crate::judge::{self, judge};
use crate::land::{Landed, Landing, Slice};
use crate::quarantine::{self, Letter};
use crate::resume::{Stopped, told};
use crate::roll_up::RollUp;
use crate::status::{LAKE, Shared};
use crate::topics::Topics;

/// Waits between attempts, doubling from the first to the last.
const AGAIN_AFTER_MIN: Duration = Duration::from_millis(200);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(10);

/// The processor's hands: what every batch goes through.
pub(crate) struct Work {
    pub lines: Vec<Line>,
    pub common: Common,
}

/// One feed's way.
pub(crate) struct Line {
    feed: &'static Feed,
    observed: Table,
    rollups: Vec<RollUp>,
}

pub(crate) struct Common {
    pub lake: Lake,
    pub clock: Clock,
    pub dead_letters: DeadLetters,
    pub topics: Arc<Topics>,
    pub member: Member,
    pub shared: Arc<Shared>,
    pub cancel: CancellationToken,
}

/// The processor was stopped while it waited.
pub(crate) struct Cancelled;

impl Line {
    pub(crate) async fn open(lake: &Lake, feed: &'static Feed) -> Result<Line, lake::LakeError> {
        Ok(Line { feed, observed: lake.table(&feed.observed().name).await?, rollups: RollUp::of(lake, feed).await? })
    }
}

impl Work {
    /// Takes events until there are none any more, or the processor is stopped.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<(), Cancelled> {
        for line in &mut self.lines {
            line.catch_up(&self.common).await?;
        }
        self.common.shared.moved.notify_waiters();
        while let Some(event) = events.recv().await {
            match event {
                Event::Assigned { partitions, starts } => {
                    let found = self.common.starts(&partitions).await?;
                    // The thread ends when the processor is stopped; then nobody waits for the answer.
                    starts.send(found).ok();
                }
                Event::Revoked { done } => {
                    self.common.shared.status().stopped.clear();
                    self.common.shared.status().lag.clear();
                    done.send(()).ok();
                }
                Event::Batch { parts, reading } => {
                    self.common.shared.status().spent.check += reading;
                    self.batch(parts).await?;
                }
            }
            self.common.shared.moved.notify_waiters();
        }
        Ok(())
    }

    async fn batch(&mut self, parts: Vec<Part>) -> Result<(), Cancelled> {
        let (mut letters, mut letter_slices) = (Vec::new(), Vec::new());
        let mut rows = BTreeMap::new();
        for part in parts {
            match part {
                Part::Rows { feed, checked, slices } => _ = rows.insert(feed, (checked, slices)),
                Part::Letters { letters: more, slices } => {
                    letters.extend(more);
                    letter_slices.extend(slices);
                }
            }
        }
        let common = &self.common;
        let lines = self.lines.iter_mut().enumerate().filter_map(|(number, line)| Some((line, rows.remove(&number)?)));
        try_join_all(lines.map(|(line, (checked, slices))| line.batch(common, checked, slices))).await?;
        if !letter_slices.is_empty() {
            common.quarantine(letters, letter_slices).await?;
        }
        Ok(())
    }
}

impl Line {
    async fn batch(&mut self, common: &Common, checked: Checked, slices: Vec<Slice>) -> Result<(), Cancelled> {
        let feed = self.feed.name;
        let started = Instant::now();
        if !checked.refused.is_empty() {
            let now = common.clock.now();
            common
                .persist(async || {
                    common.dead_letters.send(self.feed, &checked.refused, now).await.context("sending dead letters")
                })
                .await?;
        }
        let sent = Instant::now();
        let refused = checked.refused.len() as u64;
        let landing = Landing { slices, rows: checked.rows, partition_column: "partition", offset_column: "offset" };
        let landed = common.persist(async || Ok(landing.land(&mut self.observed).await?)).await?;
        let committed = Instant::now();
        let windows = self.roll_up(common, landed.as_ref()).await?;
        let rows = landed.as_ref().map_or(0, |landed| landed.rows.num_rows() as u64);
        common.passed(&landing.slices);
        metrics::counter!("hangang_land_rows_total", "feed" => feed).increment(rows);
        metrics::histogram!("hangang_land_seconds", "feed" => feed).record((committed - sent).as_secs_f64());
        metrics::histogram!("hangang_rollup_seconds", "feed" => feed).record(committed.elapsed().as_secs_f64());
        metrics::counter!("hangang_rollup_windows_total", "feed" => feed).increment(windows as u64);
        let mut status = common.shared.status();
        *status.rows_landed.entry(feed).or_default() += rows;
        *status.rows_refused.entry(feed).or_default() += refused;
        status.last_commit_at = Some(common.clock.now());
        status.spent.dead_letters += sent - started;
        status.spent.land += committed - sent;
        status.spent.roll_up += committed.elapsed();
        Ok(())
    }

    async fn roll_up(&mut self, common: &Common, landed: Option<&Landed>) -> Result<usize, Cancelled> {
        let mut windows = 0;
        for rollup in &mut self.rollups {
            let observed = &mut self.observed;
            let mut failed = false;
            let advanced = common.persist(async || {
                if std::mem::replace(&mut failed, true) {
                    // The lake may have been away for so long that files of an older snapshot are gone.
                    observed.reload().await?;
                    return Ok(rollup.advance(observed, None).await?);
                }
                Ok(rollup.advance(observed, landed).await?)
            });
            windows += advanced.await?;
        }
        Ok(windows)
    }

    /// What a crash, an import or another process may have left to roll up.
    async fn catch_up(&mut self, common: &Common) -> Result<(), Cancelled> {
        common.persist(async || Ok(self.observed.reload().await?)).await?;
        self.roll_up(common, None).await.map(|_| ())
    }
}

impl Common {
    /// Where each partition begins; those that must not go on are told of, and left out.
    async fn starts(&self, partitions: &[(String, i32)]) -> Result<Vec<Start>, Cancelled> {
        let (mut starts, mut stopped) = (Vec::new(), Vec::new());
        for (topic, partition) in partitions {
            let judged = self
                .persist(async || judge(&self.lake, &self.topics, &table_of(&self.lake, topic).await?, topic, *partition).await)
                .await?;
            match judged.start {
                Ok(next) => {
                    if judged.mark.is_none() && judged.first > 0 {
                        tracing::warn!(partition = %judged.place, first = judged.first, "the topic does not begin at offset 0; it is landed from where it begins");
                    }
                    starts.push(Start { place: judged.place, next });
                }
                Err(loss) => stopped.push(Stopped { place: judged.place, loss }),
            }
        }
        let mut status = self.shared.status();
        let new: Vec<Stopped> = stopped.iter().filter(|stopped| !status.stopped.contains(stopped)).cloned().collect();
        for line in told(&new).lines() {
            tracing::error!("{line}");
        }
        status.stopped = stopped;
        Ok(starts)
    }

    async fn quarantine(&self, letters: Vec<Letter>, slices: Vec<Slice>) -> Result<(), Cancelled> {
        let rows = self
            .persist(async || {
                // Repeats of a source stand in one partition of the dead letters, so its mark guards this look-up, too.
                let mut table = self.lake.table(&tables::quarantine().name).await?;
                let unknown = quarantine::unknown(&self.lake, &letters).await?;
                let rows = quarantine::rows(&unknown, self.clock.now());
                let landing = Landing {
                    slices: slices.clone(),
                    rows,
                    partition_column: "dead_letter_partition",
                    offset_column: "dead_letter_offset",
                };
                Ok(landing.land(&mut table).await?.map_or(0, |landed| landed.rows.num_rows()))
            })
            .await?;
        self.passed(&slices);
        metrics::counter!("hangang_quarantine_rows_total").increment(rows as u64);
        let mut status = self.shared.status();
        status.rows_quarantined += rows as u64;
        status.last_commit_at = Some(self.clock.now());
        Ok(())
    }

    /// Tells how far slices were landed: lag tools and the status.
    fn passed(&self, slices: &[Slice]) {
        let passed = slices.iter().map(|slice| (slice.place.topic.to_string(), slice.place.partition, slice.next));
        if let Err(error) = self.member.commit(passed) {
            tracing::debug!(%error, "the offsets for lag tools were not written");
        }
        let lag = self.member.lag(slices);
        for (topic, behind) in &lag {
            metrics::gauge!("hangang_consume_lag", "topic" => topic.clone()).set(*behind as f64);
        }
        self.shared.status().lag.extend(lag);
    }

    /// Does it until it is done: a lake or a broker that is away is waited for, and said.
    async fn persist<T>(&self, mut attempt: impl AsyncFnMut() -> anyhow::Result<T>) -> Result<T, Cancelled> {
        let mut wait = AGAIN_AFTER_MIN;
        loop {
            match attempt().await {
                Ok(done) => {
                    self.shared.over(LAKE);
                    return Ok(done);
                }
                Err(error) => self.shared.trouble(LAKE, format!("{error:#}")),
            }
            tokio::select! {
                () = self.cancel.cancelled() => return Err(Cancelled),
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(AGAIN_AFTER_MAX),
            }
        }
    }
}

/// The table that a topic is landed in.
pub(crate) async fn table_of(lake: &Lake, topic: &str) -> anyhow::Result<Table> {
    let (feed, dead_letters) = judge::feed_of(topic).with_context(|| {
        let known: Vec<&str> = catalog::FEEDS.iter().map(|feed| feed.topic()).collect();
        format!("topic \"{topic}\" is no feed's; there are {}, and each with .dlq for its dead letters", known.join(", "))
    })?;
    let name = if dead_letters { tables::quarantine().name } else { feed.observed().name };
    let mut table = lake.table(&name).await?;
    table.reload().await?;
    Ok(table)
}
