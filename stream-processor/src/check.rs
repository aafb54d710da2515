//! Step 6: check. Records of a topic → rows that keep the feed's contract, and refused records with their reason.
//!
//! Pure: the city's time is an argument. It never drops a record, never mends one and never puts a default in place
//! of what is missing; whatever is not in the rows is among the refused, with its bytes.

mod careful;
pub(crate) mod plain;
mod reason;
mod row;

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringBuilder};
use arrow::datatypes::SchemaRef;
use catalog::feed::AHEAD_MINUTES_MAX;
use catalog::record::SERIES_SEPARATOR;
use catalog::{Column, Feed, Kind, kst};
use chrono::{DateTime, SecondsFormat, Utc};

use self::reason::quoted;
pub use self::reason::{Reason, Refusal};
use self::row::{Gathered, Scalar};

/// A record as it came from Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub generation: i32,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

/// What a batch came to.
#[derive(Debug)]
pub struct Checked {
    /// Rows of `observed.<feed>`, in the records' order.
    pub rows: RecordBatch,
    pub refused: Vec<Refused>,
}

/// A record that broke the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub refusal: Refusal,
    pub generation: i32,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// City time at which it was received, where the record could be read so far.
    pub received_at: Option<DateTime<Utc>>,
}

/// A feed's contract, ready to be applied.
pub struct Checker {
    feed: &'static Feed,
    /// The feed's own columns, then `received_at`: a record's members.
    columns: Vec<Column>,
    layout: plain::Layout,
    series: Vec<usize>,
    observed_at: usize,
    received_at: usize,
    schema: SchemaRef,
}

impl Checker {
    pub fn new(feed: &'static Feed) -> Checker {
        let columns: Vec<Column> = feed.columns.iter().chain(catalog::feed::LINEAGE.first()).copied().collect();
        let place =
            |name: &str| columns.iter().position(|column| column.name == name).expect("the catalog names its own columns");
        Checker {
            feed,
            layout: plain::Layout::new(&columns),
            series: feed.series.iter().map(|name| place(name)).collect(),
            observed_at: place("observed_at"),
            received_at: place("received_at"),
            schema: feed.observed_schema(),
            columns,
        }
    }

    pub fn feed(&self) -> &'static Feed {
        self.feed
    }

    /// Reads and checks each record. `now` is the city's time.
    pub fn check<'a>(&self, now: DateTime<Utc>, records: impl ExactSizeIterator<Item = Record<'a>>) -> Checked {
        let limit = Limit::at(now);
        let mut gathered = Rows::new(&self.columns, records.len());
        let mut refused = Vec::new();
        let mut row = Vec::with_capacity(self.columns.len());
        let mut key = String::new();
        for record in records {
            match self.read(&record, &mut row).and_then(|()| self.keep(&record, &row, &limit, &mut key)) {
                Ok(()) => gathered.push(&record, &row),
                Err(refusal) => refused.push(self.refused(&record, &row, refusal)),
            }
        }
        Checked { rows: gathered.finish(self.feed.topic(), self.schema.clone()), refused }
    }

    fn read<'a>(&self, record: &Record<'a>, row: &mut Vec<Scalar<'a>>) -> Result<(), Refusal> {
        let Some(payload) = record.payload.filter(|payload| !payload.is_empty()) else {
            row.clear();
            return Err(Refusal::new(Reason::Empty, "the record has no bytes".to_owned()));
        };
        if !self.layout.read(payload, row) {
            row.clear();
            row.extend(careful::read(&self.columns, payload)?);
        }
        Ok(())
    }

    /// The contract beyond types: ranges, the grid, the city's clock, the key.
    fn keep(&self, record: &Record<'_>, row: &[Scalar<'_>], limit: &Limit, key: &mut String) -> Result<(), Refusal> {
        for (column, value) in self.columns.iter().zip(row) {
            within(column, value)?;
        }
        self.on_grid(&row[self.observed_at])?;
        for place in [self.observed_at, self.received_at] {
            limit.allows(self.columns[place].name, &row[place])?;
        }
        self.keyed(record, row, key)
    }

    fn on_grid(&self, observed_at: &Scalar<'_>) -> Result<(), Refusal> {
        let Scalar::Instant(micros) = observed_at else { unreachable!("observed_at is an instant") };
        let step = self.feed.interval_seconds * 1_000_000;
        let offset = i64::from(kst::KST.local_minus_utc()) * 1_000_000;
        if (micros + offset).rem_euclid(step) == 0 {
            return Ok(());
        }
        let detail =
            format!("observed_at {} is not the start of an interval of {} s", shown(*micros), self.feed.interval_seconds);
        Err(Refusal::new(Reason::OffGrid, detail))
    }

    fn keyed(&self, record: &Record<'_>, row: &[Scalar<'_>], key: &mut String) -> Result<(), Refusal> {
        key.clear();
        for &place in &self.series {
            if !key.is_empty() {
                key.push_str(SERIES_SEPARATOR);
            }
            match &row[place] {
                Scalar::Text(text) => key.push_str(text),
                Scalar::Integer(value) => write!(key, "{value}").expect("a string takes all"),
                value => unreachable!("a series is named by texts and whole numbers, not {value:?}"),
            }
        }
        match record.key {
            Some(found) if found == key.as_bytes() => Ok(()),
            Some(found) => {
                let detail = format!(
                    "the key is {}, its columns name the series {}",
                    quoted(&String::from_utf8_lossy(found)),
                    quoted(key)
                );
                Err(Refusal::new(Reason::KeyMismatch, detail))
            }
            None => Err(Refusal::new(Reason::MissingKey, format!("the record has no key, expected {}", quoted(key)))),
        }
    }

    fn refused(&self, record: &Record<'_>, row: &[Scalar<'_>], refusal: Refusal) -> Refused {
        let received_at = match row.get(self.received_at) {
            Some(Scalar::Instant(micros)) => DateTime::from_timestamp_micros(*micros),
            _ => None,
        };
        Refused {
            refusal,
            generation: record.generation,
            partition: record.partition,
            offset: record.offset,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            received_at,
        }
    }
}

fn within(column: &Column, value: &Scalar<'_>) -> Result<(), Refusal> {
    let number = match value {
        Scalar::Integer(value) => *value as f64,
        Scalar::Number(value) => *value,
        _ => return Ok(()),
    };
    let (least, greatest) = match (column.range, column.kind) {
        (Some(range), _) => range,
        (None, Kind::Int16) => (i16::MIN.into(), i16::MAX.into()),
        (None, Kind::Int32) => (i32::MIN.into(), i32::MAX.into()),
        (None, _) => return Ok(()),
    };
    if (least..=greatest).contains(&number) {
        return Ok(());
    }
    Err(Refusal::new(Reason::OutOfRange, format!("{} is {number}, outside {least} to {greatest}", column.name)))
}

/// The latest instant that a record may speak of.
struct Limit {
    now: DateTime<Utc>,
    micros: i64,
}

impl Limit {
    fn at(now: DateTime<Utc>) -> Limit {
        Limit { now, micros: now.timestamp_micros() + AHEAD_MINUTES_MAX * 60 * 1_000_000 }
    }

    fn allows(&self, column: &str, value: &Scalar<'_>) -> Result<(), Refusal> {
        match value {
            Scalar::Instant(micros) if *micros > self.micros => {
                let now = self.now.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                let detail =
                    format!("{column} {} is more than {AHEAD_MINUTES_MAX} min ahead of the city's clock ({now})", shown(*micros));
                Err(Refusal::new(Reason::Ahead, detail))
            }
            _ => Ok(()),
        }
    }
}

fn shown(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(instant) => instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{micros} µs"),
    }
}

/// The kept rows, gathered column by column.
struct Rows {
    columns: Vec<Gathered>,
    generations: Vec<i32>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
}

impl Rows {
    fn new(columns: &[Column], rows: usize) -> Rows {
        Rows {
            columns: columns.iter().map(|column| Gathered::with_capacity(column.kind, rows)).collect(),
            generations: Vec::with_capacity(rows),
            partitions: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, record: &Record<'_>, row: &[Scalar<'_>]) {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
        self.generations.push(record.generation);
        self.partitions.push(record.partition);
        self.offsets.push(record.offset);
    }

    fn finish(self, topic: &str, schema: SchemaRef) -> RecordBatch {
        let mut topics = StringBuilder::with_capacity(self.offsets.len(), self.offsets.len() * topic.len());
        self.offsets.iter().for_each(|_| topics.append_value(topic));
        let mut columns: Vec<ArrayRef> = self.columns.into_iter().map(Gathered::finish).collect();
        columns.push(Arc::new(topics.finish()));
        columns.push(Arc::new(Int32Array::from(self.generations)));
        columns.push(Arc::new(Int32Array::from(self.partitions)));
        columns.push(Arc::new(Int64Array::from(self.offsets)));
        RecordBatch::try_new(schema, columns).expect("columns are gathered by the schema that they are put in")
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use catalog::feeds::{traffic_spot, traffic_volume};
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"spot":"A-01","direction":1,"lane":2,"observed_at":"2022-09-30T15:00:00Z","volume":247,"received_at":"2022-09-30T16:30:00.25Z"}"#;

    fn now() -> DateTime<Utc> {
        "2022-09-30T16:30:01Z".parse().unwrap()
    }

    fn check(key: Option<&str>, payload: &[u8]) -> Checked {
        let record = Record { generation: 0, partition: 3, offset: 17, key: key.map(str::as_bytes), payload: Some(payload) };
        Checker::new(&traffic_volume::FEED).check(now(), [record].into_iter())
    }

    /// What is said of one record: its row, or its reason.
    fn said(key: Option<&str>, payload: impl AsRef<[u8]>) -> String {
        let checked = check(key, payload.as_ref());
        match &checked.refused[..] {
            [] => pretty_format_batches(&[checked.rows]).unwrap().to_string(),
            [refused] => {
                assert_eq!((checked.rows.num_rows(), refused.partition, refused.offset), (0, 3, 17));
                assert_eq!(refused.payload.as_deref(), Some(payload.as_ref()), "the bytes are kept as they came");
                refused.refusal.to_string()
            }
            more => panic!("one record was refused {} times", more.len()),
        }
    }

    fn with(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from));
        said(Some("A-01/1/2"), GOOD.replace(from, to))
    }

    #[test]
    fn a_good_record_becomes_a_row_with_its_lineage() {
        assert_snapshot!(said(Some("A-01/1/2"), GOOD), @r"
        +------+-----------+------+----------------------+--------+--------------------------+----------------+------------+-----------+--------+
        | spot | direction | lane | observed_at          | volume | received_at              | topic          | generation | partition | offset |
        +------+-----------+------+----------------------+--------+--------------------------+----------------+------------+-----------+--------+
        | A-01 | 1         | 2    | 2022-09-30T15:00:00Z | 247    | 2022-09-30T16:30:00.250Z | traffic_volume | 0          | 3         | 17     |
        +------+-----------+------+----------------------+--------+--------------------------+----------------+------------+-----------+--------+
        ");
    }

    #[test]
    fn each_broken_type_is_told_by_its_column_and_value() {
        assert_snapshot!(with("247", "\"247\""), @r#"wrong_type: column "volume" is "247", expected a whole number"#);
        assert_snapshot!(with("247", "2.5"), @r#"wrong_type: column "volume" is 2.5, expected a whole number"#);
        assert_snapshot!(with("247", "[247]"), @r#"wrong_type: column "volume" is "[247]", expected a whole number"#);
        assert_snapshot!(with("\"A-01\"", "1"), @r#"wrong_type: column "spot" is 1, expected a text"#);
        assert_snapshot!(with("\"2022-09-30T15:00:00Z\"", "\"2022-09-31T15:00:00Z\""), @r#"wrong_type: column "observed_at" is "2022-09-31T15:00:00Z", expected a time as "2022-09-30T15:00:00Z""#);
        assert_snapshot!(with("\"2022-09-30T15:00:00Z\"", "1664550000"), @r#"wrong_type: column "observed_at" is 1664550000, expected a time as "2022-09-30T15:00:00Z""#);
    }

    #[test]
    fn what_is_missing_twice_or_too_much_is_named() {
        assert_snapshot!(with(",\"volume\":247", ""), @r#"missing_column: column "volume" is missing"#);
        assert_snapshot!(with("247", "null"), @r#"missing_column: column "volume" is null, and it must have a value"#);
        assert_snapshot!(with("247", "247,\"vol\":3"), @r#"unknown_column: column "vol" is none of this feed's"#);
        assert_snapshot!(with("247", "247,\"volume\":248"), @r#"repeated_column: column "volume" stands there more than once"#);
    }

    #[test]
    fn an_impossible_value_is_quoted_with_its_range() {
        assert_snapshot!(with("247", "30001"), @"out_of_range: volume is 30001, outside 0 to 30000");
        assert_snapshot!(with("247", "-1"), @"out_of_range: volume is -1, outside 0 to 30000");
        assert_snapshot!(with("247", "99999999999"), @"out_of_range: volume is 99999999999, outside 0 to 30000");
        assert_snapshot!(with("\"direction\":1", "\"direction\":3"), @"out_of_range: direction is 3, outside 1 to 2");
    }

    #[test]
    fn a_time_off_the_grid_or_ahead_of_the_city_is_refused() {
        assert_snapshot!(with("15:00:00Z", "15:30:00Z"), @"off_grid: observed_at 2022-09-30T15:30:00Z is not the start of an interval of 3600 s");
        assert_snapshot!(with("15:00:00Z", "17:00:00Z"), @"ahead: observed_at 2022-09-30T17:00:00Z is more than 5 min ahead of the city's clock (2022-09-30T16:30:01Z)");
        assert_snapshot!(with("16:30:00.25Z", "16:35:01.000001Z"), @"ahead: received_at 2022-09-30T16:35:01.000001Z is more than 5 min ahead of the city's clock (2022-09-30T16:30:01Z)");
        assert!(with("16:30:00.25Z", "16:35:01Z").contains("A-01"), "five minutes to the second are allowed");
    }

    #[test]
    fn a_key_must_name_the_series() {
        assert_snapshot!(said(None, GOOD), @r#"missing_key: the record has no key, expected "A-01/1/2""#);
        assert_snapshot!(said(Some("A-01/1/1"), GOOD), @r#"key_mismatch: the key is "A-01/1/1", its columns name the series "A-01/1/2""#);
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_whole() {
        assert_snapshot!(said(None, ""), @"empty: the record has no bytes");
        assert_snapshot!(said(None, b"{\"spot\":\"\xb1\xa4\"}"), @"not_utf8: the record is not UTF-8 from its byte 9 on");
        assert_snapshot!(said(None, "<html>"), @r#"not_json: the record is not JSON: expected value at line 1 column 1; it begins with "<html>""#);
        assert_snapshot!(said(None, &GOOD[..40]), @r#"not_json: the record is not JSON: EOF while parsing a string at line 1 column 40; it begins with "{\"spot\":\"A-01\",\"direction\":1,\"lane\":2,\"o""#);
        assert_snapshot!(said(None, "[1,2]"), @r#"not_an_object: the record is "[1,2]", expected a JSON object"#);
        let two = format!("{GOOD}{GOOD}");
        assert!(
            said(None, two).starts_with("not_json: the record is not JSON: trailing characters"),
            "two records in one are none"
        );
    }

    #[test]
    fn only_the_bad_of_a_batch_are_refused() {
        let bad = GOOD.replace("247", "-7");
        let payloads = [GOOD, bad.as_str(), GOOD];
        let records: Vec<Record<'_>> = (40..)
            .zip(&payloads)
            .map(|(offset, payload)| Record {
                generation: 1,
                partition: 0,
                offset,
                key: Some(b"A-01/1/2"),
                payload: Some(payload.as_bytes()),
            })
            .collect();
        let checked = Checker::new(&traffic_volume::FEED).check(now(), records.into_iter());
        let offsets = checked.rows.column_by_name("offset").unwrap();
        assert_eq!(offsets.as_ref(), &Int64Array::from(vec![40, 42]));
        assert_eq!(checked.refused.iter().map(|refused| (refused.generation, refused.offset)).collect::<Vec<_>>(), [(1, 41)]);
        assert_eq!(checked.refused[0].received_at, Some("2022-09-30T16:30:00.25Z".parse().unwrap()));
    }

    #[test]
    fn the_example_of_each_feed_keeps_its_contract() {
        for feed in catalog::FEEDS {
            let example = feed.example.replace('}', ",\"received_at\":\"2022-09-30T16:30:00Z\"}");
            let members: serde_json::Value = serde_json::from_str(&example).unwrap();
            let part = |name: &&str| members[name].as_str().map_or_else(|| members[name].to_string(), str::to_owned);
            let key = feed.series.iter().map(part).collect::<Vec<_>>().join(SERIES_SEPARATOR);
            let record =
                Record { generation: 0, partition: 0, offset: 0, key: Some(key.as_bytes()), payload: Some(example.as_bytes()) };
            let checked = Checker::new(feed).check(now(), [record].into_iter());
            assert_eq!(checked.refused, [], "{}", feed.name);
            let checker = Checker::new(feed);
            assert!(checker.layout.read(example.as_bytes(), &mut Vec::new()), "{}: its example is in the plain form", feed.name);
        }
    }

    /// Members that are right, nearly right and wrong.
    fn member() -> impl Strategy<Value = String> {
        prop_oneof![
            (-100_000_i64..100_000).prop_map(|value| value.to_string()),
            any::<i64>().prop_map(|value| value.to_string()),
            (-1e3..1e6_f64).prop_map(|value| value.to_string()),
            any::<f64>().prop_map(|value| value.to_string()),
            "-?[0-9]{1,3}(\\.[0-9]{0,3})?([eE][-+]?[0-9]{0,2})?",
            "\"[A-Z가-힣]-[0-9]{1,2}\"",
            "\"(\\\\n|\\\\u00e9|a|\\\\|\")*\"",
            (0_i64..2_000_000_000, 0..1_000_000_i64)
                .prop_map(|(seconds, micros)| format!("\"{}\"", shown(seconds * 1_000_000 + micros))),
            "\"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,9})?(Z|\\+09:00)\"",
            Just("null".to_owned()),
            Just("true".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        /// Whatever the quick way reads, the careful way reads the same.
        #[test]
        fn both_ways_of_reading_agree(
            spot in "[A-F]-[0-9]{2}",
            name in member(), x in member(), observed_at in member(), replaced in 0..6_usize,
        ) {
            let mut members = [
                format!("\"{spot}\""), "\"2022-09-30T15:00:00Z\"".to_owned(), "\"퇴계로\"".to_owned(), "201850.055".to_owned(),
                "451769.97".to_owned(), "37.5".to_owned(), "127.02094".to_owned(), "\"2022-09-30T15:10:00.125Z\"".to_owned(),
            ];
            match replaced { 0 => members[2] = name, 1 => members[3] = x, 2 => members[1] = observed_at, 3 => members[0] = name, 4 => members[5] = x, _ => {} }
            let checker = Checker::new(&traffic_spot::FEED);
            let payload = checker.columns.iter().zip(&members).map(|(column, value)| format!("\"{}\":{value}", column.name)).collect::<Vec<_>>();
            let payload = format!("{{{}}}", payload.join(","));
            let mut row = Vec::new();
            if checker.layout.read(payload.as_bytes(), &mut row) {
                let careful = careful::read(&checker.columns, payload.as_bytes()).expect("the quick way reads only what is right");
                for (quick, careful) in row.iter().zip(&careful) {
                    match (quick, careful) {
                        // The quick way reads a decimal exactly; serde_json, which multiplies powers of ten, to within a few
                        // units of the last place, and below the normal numbers such a unit is no share of the value.
                        (Scalar::Number(quick), Scalar::Number(careful)) => prop_assert!((quick - careful).abs() <= quick.abs() * (4.0 * f64::EPSILON) + f64::MIN_POSITIVE),
                        (quick, careful) => prop_assert_eq!(quick, careful),
                    }
                }
            } else if replaced == 5 {
                prop_assert!(false, "the plain form is read the quick way: {}", payload);
            }
        }
    }
}
