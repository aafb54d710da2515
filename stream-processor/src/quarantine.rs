//! Dead letters → rows of `ops.quarantine`: landed like any table, by the marks of the `.dlq` topics.
//!
//! A crash may have sent a letter twice, so a row that names its source is landed once per source. What never had a
//! source offset, an unparsed response, is landed once per place in the dead-letter topic, which the marks see to.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int32Type, Int64Type};
use catalog::{record, tables};
use chrono::{DateTime, Utc};
use lake::{Lake, LakeError};

/// A dead letter as it was consumed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    pub feed: &'static str,
    pub dead_letter_topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub refused_at: Option<DateTime<Utc>>,
    pub received_at: Option<DateTime<Utc>>,
    pub source: Option<Source>,
    pub generation: Option<i32>,
}

/// Where the refused record stood: topic, generation, partition, offset.
pub(crate) type Source = (String, i32, i32, i64);

impl Letter {
    /// From a record's headers. What they don't say, or say wrongly, stays unsaid.
    pub(crate) fn with_headers<'a>(mut self, headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Letter {
        let mut topic = None;
        let mut numbers = [None; 2];
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            let instant = || DateTime::parse_from_rfc3339(value).ok().map(|at| at.to_utc());
            match name {
                record::HEADER_REASON => self.reason = Some(value.to_owned()),
                record::HEADER_DETAIL => self.detail = Some(value.to_owned()),
                record::HEADER_REFUSED_AT => self.refused_at = instant(),
                record::HEADER_RECEIVED_AT => self.received_at = instant(),
                record::HEADER_TOPIC => topic = Some(value.to_owned()),
                record::HEADER_GENERATION => self.generation = value.parse().ok(),
                record::HEADER_PARTITION => numbers[0] = value.parse::<i64>().ok(),
                record::HEADER_OFFSET => numbers[1] = value.parse().ok(),
                _ => {}
            }
        }
        if let (Some(topic), [Some(partition), Some(offset)]) = (topic, numbers)
            && let Ok(partition) = i32::try_from(partition)
        {
            self.source = Some((topic, self.generation.unwrap_or(0), partition, offset));
        }
        self
    }
}

/// Those letters whose source isn't in the quarantine, each source once.
pub(crate) async fn unknown<'a>(lake: &Lake, letters: &'a [Letter]) -> Result<Vec<&'a Letter>, LakeError> {
    let sources: Vec<&Source> = letters.iter().filter_map(|letter| letter.source.as_ref()).collect();
    let mut known = known(lake, &sources).await?;
    Ok(letters.iter().filter(|letter| letter.source.as_ref().is_none_or(|source| known.insert(source.clone()))).collect())
}

/// Sources in the quarantine that may be among `sources`.
async fn known(lake: &Lake, sources: &[&Source]) -> Result<HashSet<Source>, LakeError> {
    let mut known = HashSet::new();
    let topics: HashSet<&str> = sources.iter().map(|source| source.0.as_str()).collect();
    for topic in topics {
        let offsets = || sources.iter().filter(|source| source.0 == topic).map(|source| source.3);
        let (Some(least), Some(greatest)) = (offsets().min(), offsets().max()) else { continue };
        let sql = format!(
            "SELECT generation, \"partition\", \"offset\" FROM ops.quarantine WHERE topic = '{}' AND \"offset\" BETWEEN {least} AND {greatest}",
            topic.replace('\'', "''")
        );
        for rows in lake.query(&sql).await? {
            let (generation, partition) =
                (rows.column(0).as_primitive::<Int32Type>(), rows.column(1).as_primitive::<Int32Type>());
            let offset = rows.column(2).as_primitive::<Int64Type>();
            known.extend(
                (0..rows.num_rows())
                    .map(|row| (topic.to_owned(), generation.value(row), partition.value(row), offset.value(row))),
            );
        }
    }
    Ok(known)
}

/// Rows of `ops.quarantine`. `now`: city time, for letters that don't say when they were refused.
pub(crate) fn rows(letters: &[&Letter], now: DateTime<Utc>) -> RecordBatch {
    let texts = |text: &dyn Fn(&Letter) -> Option<String>| {
        Arc::new(letters.iter().map(|letter| text(letter)).collect::<StringArray>()) as ArrayRef
    };
    let ints = |int: &dyn Fn(&Letter) -> Option<i32>| {
        Arc::new(letters.iter().map(|letter| int(letter)).collect::<Int32Array>()) as ArrayRef
    };
    let longs = |long: &dyn Fn(&Letter) -> Option<i64>| {
        Arc::new(letters.iter().map(|letter| long(letter)).collect::<Int64Array>()) as ArrayRef
    };
    let instants = |at: &dyn Fn(&Letter) -> Option<DateTime<Utc>>| {
        let micros = letters.iter().map(|letter| at(letter).map(|at| at.timestamp_micros()));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        texts(&|letter| Some(letter.feed.to_owned())),
        texts(&|letter| Some(letter.reason.clone().unwrap_or_else(|| UNSAID.to_owned()))),
        texts(&|letter| {
            Some(letter.detail.clone().unwrap_or_else(|| "the dead letter's headers don't say why it was refused".to_owned()))
        }),
        instants(&|letter| letter.received_at),
        instants(&|letter| Some(letter.refused_at.unwrap_or(now))),
        texts(&|letter| letter.source.as_ref().map(|source| source.0.clone())),
        ints(&|letter| Some(letter.source.as_ref().map_or(letter.generation.unwrap_or(0), |source| source.1))),
        ints(&|letter| letter.source.as_ref().map(|source| source.2)),
        longs(&|letter| letter.source.as_ref().map(|source| source.3)),
        texts(&|letter| Some(letter.dead_letter_topic.clone())),
        ints(&|letter| Some(letter.partition)),
        longs(&|letter| Some(letter.offset)),
        texts(&|letter| letter.key.as_ref().map(|key| String::from_utf8_lossy(key).into_owned())),
        Arc::new(letters.iter().map(|letter| Some(letter.payload.as_slice())).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(tables::quarantine().schema(), columns).expect("columns are made by the schema that they are put in")
}

/// Reason of a letter that somebody else's program sent without one.
const UNSAID: &str = "unsaid";

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    #[test]
    fn a_letter_without_a_source_has_none_in_its_row() {
        let letter =
            Letter { feed: "traffic_volume", dead_letter_topic: "traffic_volume.dlq".into(), offset: 4, ..Letter::default() };
        let letter =
            letter.with_headers([(record::HEADER_REASON, &b"html"[..]), (record::HEADER_PARTITION, b"x"), ("other", b"\xff")]);
        assert_eq!((letter.reason.as_deref(), &letter.source), (Some("html"), &None));
        let rows = rows(&[&letter], DateTime::UNIX_EPOCH);
        assert!(rows.column_by_name("offset").unwrap().is_null(0));
        assert_eq!(rows.column_by_name("reason").unwrap().as_string::<i32>().value(0), "html");
    }
}
