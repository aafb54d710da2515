//! What a topic looks like now, held against the lake: the facts that [`crate::resume`] decides on.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use catalog::Feed;
use chrono::{DateTime, TimeDelta, Utc};
use lake::{Lake, Table};

use crate::check::{Checker, Record};
use crate::marks::{self, Place};
use crate::quarantine::Letter;
use crate::resume::{self, Before, Loss};
use crate::topics::{Found, Topics};

/// A consumed topic's feed, and whether it is the one of its dead letters.
pub(crate) fn feed_of(topic: &str) -> Option<(&'static Feed, bool)> {
    catalog::FEEDS.iter().find_map(|&feed| {
        if topic == feed.topic() { Some((feed, false)) } else { (topic == feed.dead_letter_topic()).then_some((feed, true)) }
    })
}

/// One partition as it stands.
pub(crate) struct Judged {
    pub place: Place,
    pub mark: Option<i64>,
    /// Where it goes on, or what was lost of it.
    pub start: Result<i64, Loss>,
    /// The topic's first offset.
    pub first: i64,
}

/// Compares a partition with the marks of `table`, which its topic is landed in.
pub(crate) async fn judge(
    lake: &Lake,
    topics: &Arc<Topics>,
    table: &Table,
    topic: &str,
    partition: i32,
) -> anyhow::Result<Judged> {
    let newest = marks::newest(&table.marks(), topic).get(&partition).copied();
    let (generation, mark) = newest.map_or((0, None), |(generation, next)| (generation, Some(next)));
    let place = Place { topic: topic.into(), generation, partition };
    let (first, end) = ask(topics, topic, move |topics, topic| topics.ends(topic, partition)).await?;
    let before = match mark {
        Some(mark) if first < mark && mark <= end => before(lake, topics, &place, mark).await?,
        _ => Before::Gone,
    };
    Ok(Judged { start: resume::start(mark, first, end, before), place, mark, first })
}

/// Asks the broker, off the async threads.
pub(crate) async fn ask<T: Send + 'static>(
    topics: &Arc<Topics>,
    topic: &str,
    question: impl FnOnce(&Topics, &str) -> rdkafka::error::KafkaResult<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (topics, name) = (topics.clone(), topic.to_owned());
    let answer = tokio::task::spawn_blocking(move || question(&topics, &name)).await.expect("asking the broker does not panic");
    answer.with_context(|| format!("asking the broker about topic \"{topic}\""))
}

/// Whether the record before the mark is the one that was landed from there.
async fn before(lake: &Lake, topics: &Arc<Topics>, place: &Place, mark: i64) -> anyhow::Result<Before> {
    let (feed, dead_letters) = feed_of(&place.topic).with_context(|| format!("topic \"{}\" is no feed's", place.topic))?;
    let partition = place.partition;
    let record = async |offset| ask(topics, &place.topic, move |topics, topic| topics.record(topic, partition, offset)).await;
    let Some(last) = record(mark - 1).await? else { return Ok(Before::Gone) };
    if dead_letters {
        return quarantined_letter(lake, feed, place, mark - 1, &last).await;
    }
    if let Some(landed) = landed(lake, feed, place, mark - 1).await? {
        return Ok(same(is_row(feed, place, mark - 1, &last, &landed)));
    }
    if let Some(payload) = quarantined(lake, place, mark - 1).await? {
        return Ok(same(last.payload.unwrap_or_default().starts_with(&payload)));
    }
    // It was refused, and its dead letter isn't landed yet: compare the last one that was landed.
    let Some(offset) = last_landed(lake, feed, place, mark - 1).await? else { return Ok(Before::Gone) };
    let (Some(record), Some(landed)) = (record(offset).await?, landed(lake, feed, place, offset).await?) else {
        return Ok(Before::Gone);
    };
    Ok(same(is_row(feed, place, offset, &record, &landed)))
}

fn same(same: bool) -> Before {
    if same { Before::Same } else { Before::Other }
}

/// Whether a record says what a landed row says.
fn is_row(feed: &'static Feed, place: &Place, offset: i64, found: &Found, landed: &RecordBatch) -> bool {
    let record = Record {
        generation: place.generation,
        partition: place.partition,
        offset,
        key: found.key.as_deref(),
        payload: found.payload.as_deref(),
    };
    // Its time was checked when it was landed.
    let checked = Checker::new(feed).check(DateTime::<Utc>::MAX_UTC - TimeDelta::days(1), [record].into_iter());
    checked.rows.num_rows() == 1 && checked.rows.columns() == landed.columns()
}

async fn landed(lake: &Lake, feed: &Feed, place: &Place, offset: i64) -> anyhow::Result<Option<RecordBatch>> {
    let columns: Vec<String> = feed.observed_schema().fields().iter().map(|field| format!("\"{}\"", field.name())).collect();
    let sql =
        format!("SELECT {} FROM {} WHERE {} AND \"offset\" = {offset}", columns.join(", "), feed.observed().name, of(place));
    let rows = lake.query(&sql).await?.into_iter().find(|rows| rows.num_rows() > 0);
    Ok(rows.map(|rows| under(feed.observed_schema(), &rows)).transpose()?)
}

/// Rows as a query gives them, under a table's own types.
fn under(schema: SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

async fn last_landed(lake: &Lake, feed: &Feed, place: &Place, below: i64) -> anyhow::Result<Option<i64>> {
    let sql = format!("SELECT max(\"offset\") FROM {} WHERE {} AND \"offset\" < {below}", feed.observed().name, of(place));
    let rows = lake.query(&sql).await?;
    let greatest = rows.first().map(|rows| rows.column(0).as_primitive::<Int64Type>());
    Ok(greatest.filter(|column| column.len() == 1 && column.is_valid(0)).map(|column| column.value(0)))
}

async fn quarantined(lake: &Lake, place: &Place, offset: i64) -> anyhow::Result<Option<Vec<u8>>> {
    payload(lake, &format!("{} AND \"offset\" = {offset}", of(place))).await
}

/// A dead letter is there by its own place, or by its source's when it had been sent twice.
async fn quarantined_letter(
    lake: &Lake,
    feed: &'static Feed,
    place: &Place,
    offset: i64,
    found: &Found,
) -> anyhow::Result<Before> {
    let letter = Letter { feed: feed.name, ..Letter::default() };
    let letter = letter.with_headers(found.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    let by_place = format!(
        "dead_letter_topic = '{}' AND dead_letter_partition = {} AND dead_letter_offset = {offset}",
        place.topic, place.partition
    );
    let there = match (&letter.source, payload(lake, &by_place).await?) {
        (_, Some(payload)) => Some(payload),
        (Some((topic, generation, partition, offset)), None) => {
            let source = Place { topic: topic.as_str().into(), generation: *generation, partition: *partition };
            quarantined(lake, &source, *offset).await?
        }
        (None, None) => None,
    };
    Ok(same(there.is_some_and(|there| found.payload.as_deref().unwrap_or_default() == there)))
}

async fn payload(lake: &Lake, condition: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let rows = lake.query(&format!("SELECT payload FROM ops.quarantine WHERE {condition}")).await?;
    let Some(rows) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(None) };
    Ok(Some(cast(rows.column(0), &DataType::Binary)?.as_binary::<i32>().value(0).to_vec()))
}

fn of(place: &Place) -> String {
    format!(
        "topic = '{}' AND generation = {} AND \"partition\" = {}",
        place.topic.replace('\'', "''"),
        place.generation,
        place.partition
    )
}
