//! How it stands: freshness, lag, rows, dead letters and champions, read from the lake and the topics.
//!
//! `hangang status` prints it, the API serves it, and `up` shows a line of it. Every number comes from the lake, or is
//! the distance between a topic's end and the lake's mark.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use catalog::{FEEDS, Feed, TARGETS, Target};
use chrono::{DateTime, Utc};
use lake::Lake;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;
use stream_processor::resume::{self, Before};
use stream_processor::{Place, Stopped};
use trainer::{Entry, Registry};

/// How long a broker may take to say where its topics end.
const WATERMARKS_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// City time (UTC); null where no clock answers.
    pub now: Option<DateTime<Utc>>,
    pub feeds: Vec<FeedOverview>,
    pub targets: Vec<TargetOverview>,
    /// Why lag is not known, where it is not.
    pub kafka: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct FeedOverview {
    pub feed: &'static str,
    /// Rows in `observed`, every revision counted.
    pub rows: i64,
    pub newest_observed_at: Option<DateTime<Utc>>,
    pub newest_received_at: Option<DateTime<Utc>>,
    /// Since when something newer is overdue by the feed's schedule; null while it is not, or no clock answers.
    pub overdue_since: Option<DateTime<Utc>>,
    /// Records in the topic that are not landed yet; null where the broker does not answer.
    pub lag: Option<i64>,
    /// Rows in quarantine.
    pub dead_letters: i64,
    /// What stands still of its topic, since the broker lost records, and the commands that resolve it.
    pub lost: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TargetOverview {
    pub target: &'static str,
    pub champion: Option<Standing>,
    /// The last challenger that was refused, and why.
    pub refused: Option<Standing>,
    /// Origin of the newest forecast.
    pub issued_at: Option<DateTime<Utc>>,
    pub forecasts: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    pub bundle: String,
    pub kind: String,
    pub decided_at: Option<DateTime<Utc>>,
    pub reason: String,
}

/// Reads it all. `now` is the city's time, where a clock answers.
pub async fn read(lake: &Lake, bootstrap: &str, now: Option<DateTime<Utc>>) -> anyhow::Result<Overview> {
    // Before the ends: a mark that is read after them may lie beyond, and a healthy topic would look wiped.
    let mut marks = Vec::new();
    for feed in FEEDS {
        marks.push(landed(lake, feed).await?);
    }
    let bootstrap = bootstrap.to_owned();
    let ends = tokio::task::spawn_blocking(move || ends(&bootstrap)).await?;
    let mut feeds = Vec::new();
    for (feed, landed) in FEEDS.iter().zip(marks) {
        feeds.push(of_feed(lake, feed, landed, ends.as_ref().ok(), now).await?);
    }
    let mut targets = Vec::new();
    for target in TARGETS {
        targets.push(of_target(lake, target).await?);
    }
    Ok(Overview { now, feeds, targets, kafka: ends.err() })
}

/// Records of all feeds that are not landed yet.
pub async fn lag_total(lake: &Lake, bootstrap: &str) -> anyhow::Result<i64> {
    let bootstrap = bootstrap.to_owned();
    // Before the marks: what comes meanwhile is not counted.
    let ends = tokio::task::spawn_blocking(move || ends(&bootstrap)).await?.map_err(anyhow::Error::msg)?;
    let mut total = 0;
    for feed in FEEDS {
        total += lag(&landed(lake, feed).await?, feed, &ends);
    }
    Ok(total)
}

async fn of_feed(
    lake: &Lake,
    feed: &'static Feed,
    landed: Landed,
    ends: Option<&Ends>,
    now: Option<DateTime<Utc>>,
) -> anyhow::Result<FeedOverview> {
    let name = feed.name;
    let rows = lake
        .query(&format!("SELECT \"rows\", newest_observed_at, newest_received_at FROM ops.feeds WHERE feed = '{name}'"))
        .await?;
    let letters = lake.query(&format!("SELECT count(*) AS letters FROM ops.quarantine WHERE feed = '{name}'")).await?;
    let overdue_at = instant(&rows, 1).map(|newest| feed.overdue_at(newest));
    Ok(FeedOverview {
        feed: name,
        overdue_since: overdue_at.filter(|&at| now.is_some_and(|now| now > at)),
        rows: number(&rows, 0).unwrap_or(0),
        newest_observed_at: instant(&rows, 1),
        newest_received_at: instant(&rows, 2),
        lag: ends.map(|ends| lag(&landed, feed, ends)),
        dead_letters: number(&letters, 0).unwrap_or(0),
        lost: ends.and_then(|ends| lost(&landed, feed, ends)),
    })
}

async fn of_target(lake: &Lake, target: &'static Target) -> anyhow::Result<TargetOverview> {
    let name = target.name;
    let newest = lake
        .query(&format!(
            "SELECT max(issued_at) AS issued_at, count(*) AS forecasts FROM forecast.forecasts WHERE target = '{name}'"
        ))
        .await?;
    let registry = Registry::read(lake, target).await?;
    Ok(TargetOverview {
        target: name,
        champion: registry.champion().map(Standing::of),
        refused: registry.entries().iter().rev().find(|entry| entry.standing == "refused").map(Standing::of),
        issued_at: instant(&newest, 0),
        forecasts: number(&newest, 1).unwrap_or(0),
    })
}

impl Standing {
    fn of(entry: &Entry) -> Standing {
        Standing {
            bundle: entry.bundle.clone(),
            kind: entry.kind.clone(),
            decided_at: Some(entry.decided_at),
            reason: entry.reason.clone(),
        }
    }
}

/// Of each partition of each feed's topic the first offset, and the one after the last.
type Ends = BTreeMap<(&'static str, i32), (i64, i64)>;

fn ends(bootstrap: &str) -> Result<Ends, String> {
    let unreachable = |error: rdkafka::error::KafkaError| format!("no Kafka answers at {bootstrap}: {error}");
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("log_level", "0").create().map_err(unreachable)?;
    let mut ends = Ends::new();
    for feed in FEEDS {
        for partition in 0..feed.partitions {
            let found = consumer.fetch_watermarks(feed.topic(), partition, WATERMARKS_TIMEOUT).map_err(unreachable)?;
            ends.insert((feed.topic(), partition), found);
        }
    }
    Ok(ends)
}

/// Of each partition of a feed's topic its generation, and up to where the lake has it.
type Landed = BTreeMap<i32, (i32, i64)>;

async fn landed(lake: &Lake, feed: &Feed) -> anyhow::Result<Landed> {
    let marks = lake.table(&feed.observed().name).await?.marks();
    Ok(stream_processor::newest_marks(&marks, feed.topic()))
}

fn lag(landed: &Landed, feed: &Feed, ends: &Ends) -> i64 {
    let of_topic = ends.iter().filter(|((topic, _), _)| *topic == feed.topic());
    of_topic.map(|((_, partition), (_, end))| (end - landed.get(partition).map_or(0, |(_, next)| *next)).max(0)).sum()
}

/// What the topic's ends alone betray: a topic that was filled again beyond the mark is seen by the processor only.
fn lost(landed: &Landed, feed: &Feed, ends: &Ends) -> Option<String> {
    let stopped: Vec<Stopped> = landed
        .iter()
        .filter_map(|(&partition, &(generation, mark))| {
            let &(start, end) = ends.get(&(feed.topic(), partition))?;
            let loss = resume::start(Some(mark), start, end, Before::Gone).err()?;
            Some(Stopped { place: Place { topic: feed.topic().into(), generation, partition }, loss })
        })
        .collect();
    (!stopped.is_empty()).then(|| resume::told(&stopped))
}

fn first(batches: &[RecordBatch]) -> Option<&RecordBatch> {
    batches.iter().find(|batch| batch.num_rows() > 0)
}

fn number(batches: &[RecordBatch], column: usize) -> Option<i64> {
    let values = arrow::compute::cast(first(batches)?.column(column), &DataType::Int64).ok()?;
    let values = values.as_primitive::<Int64Type>();
    values.is_valid(0).then(|| values.value(0))
}

pub fn instant(batches: &[RecordBatch], column: usize) -> Option<DateTime<Utc>> {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let values = arrow::compute::cast(first(batches)?.column(column), &utc).ok()?;
    let values = values.as_primitive::<TimestampMicrosecondType>();
    values.is_valid(0).then(|| DateTime::from_timestamp_micros(values.value(0))).flatten()
}
