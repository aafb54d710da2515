//! What the producers go on from, read out of the lake: what was received last, and the newest values of what is still
//! asked for.

use anyhow::Context;
use arrow::array::RecordBatch;
use catalog::{FEEDS, Feed};
use chrono::{DateTime, TimeDelta, Utc};
use lake::Lake;
use producers::{FeedResume, Observation, Resume};

/// How far back, beyond the feed's re-reads, values are handed over: holes of an outage are looked for there.
const BEYOND_DAYS: i64 = 3;

/// Reads what the lake knows of every feed.
pub async fn read(lake: &Lake, now: DateTime<Utc>) -> anyhow::Result<Resume> {
    let mut resume = Resume { spots: spots(lake).await?, ..Resume::default() };
    for feed in FEEDS {
        resume.feeds.insert(feed.name.to_owned(), of_feed(lake, feed, now).await?);
    }
    Ok(resume)
}

async fn of_feed(lake: &Lake, feed: &'static Feed, now: DateTime<Utc>) -> anyhow::Result<FeedResume> {
    let name = feed.name;
    let newest = lake
        .query(&format!(
            "SELECT max(received_at) AS received_at, max(received_at) FILTER (WHERE topic IS NOT NULL) AS polled_at FROM observed.{name} WHERE received_at <= TIMESTAMP '{}'",
            // An import may hold what the city is to receive: polling does not go on from there.
            now.to_rfc3339()
        ))
        .await?;
    let mut resume = FeedResume::default();
    if let Some(batch) = newest.iter().find(|batch| batch.num_rows() > 0) {
        resume.newest_received_at = instant(batch, 0)?;
        resume.newest_polled_at = instant(batch, 1)?;
    }
    let since = now - feed.settled_after().max(TimeDelta::zero()) - feed.interval() - TimeDelta::days(BEYOND_DAYS);
    let columns: Vec<String> = feed.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let rows = lake
        .query(&format!(
            "SELECT {} FROM current.{name} WHERE observed_at >= TIMESTAMP '{}'",
            columns.join(", "),
            since.to_rfc3339()
        ))
        .await?;
    for batch in &rows {
        // As JSON, which is how a record carries them: one way to read a value, whatever its type.
        for row in json_rows(batch)? {
            resume.learn(&Observation::from_json(feed, &row).with_context(|| format!("a row of current.{name}"))?);
        }
    }
    Ok(resume)
}

async fn spots(lake: &Lake) -> anyhow::Result<Vec<String>> {
    let rows = lake.query("SELECT DISTINCT spot FROM current.traffic_spot ORDER BY spot").await?;
    let mut spots = Vec::new();
    for batch in &rows {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        let column = arrow::array::AsArray::as_string::<i32>(&column);
        spots.extend(column.iter().flatten().map(str::to_owned));
    }
    Ok(spots)
}

fn instant(batch: &RecordBatch, column: usize) -> anyhow::Result<Option<DateTime<Utc>>> {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let column = arrow::compute::cast(batch.column(column), &utc)?;
    let column = column.as_primitive::<TimestampMicrosecondType>();
    Ok(column.is_valid(0).then(|| DateTime::from_timestamp_micros(column.value(0))).flatten())
}

fn json_rows(batch: &RecordBatch) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(serde_json::from_slice(&writer.into_inner())?)
}
