//! A feed: an upstream data set that is polled or imported, and the contract that each of its rows keeps.

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, TimeDelta, Utc};

use crate::column::{Column, Kind, schema};
use crate::table::{Table, TableName};
use crate::view::View;

/// Who answers, and how one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Seoul Open Data Plaza: `/{KEY}/xml/{service}/{START}/{END}[/{arg}…]/`, key in the path, HTTP 200 for errors.
    Seoul { service: &'static str },
}

/// Which end of its interval an upstream's stamp names. `observed_at` is always the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    Begin,
    End,
}

/// An upstream data set: what its rows look like, when they appear and when they are asked for again.
#[derive(Debug)]
pub struct Feed {
    /// Name of the feed, of its topic and of its table in `observed`.
    pub name: &'static str,
    pub title: &'static str,
    pub upstream: Upstream,
    /// Columns that name a series, in key order. With `observed_at` they are a row's identity.
    pub series: &'static [&'static str],
    /// The feed's own columns: the series, then `observed_at`, then what was measured.
    pub columns: &'static [Column],
    /// Length of the interval that a row speaks of, in seconds. Intervals lie on the grid that begins at midnight KST.
    pub interval_seconds: i64,
    pub stamp: Stamp,
    /// From an interval's end until its values can be had, in seconds.
    pub delay_seconds: i64,
    /// When each interval is asked for, in seconds after its end: the first ask and the re-reads, ascending.
    pub asks_seconds: &'static [i64],
    /// Partitions of its topic.
    pub partitions: i32,
    /// An example of a record's own columns, as JSON, in the order of `columns`.
    pub example: &'static str,
}

/// How far `observed_at` may lie ahead of the city clock before a row is refused.
pub const AHEAD_MINUTES_MAX: i64 = 5;

/// Columns that every table in `observed` has behind the feed's own.
pub const LINEAGE: &[Column] = &[
    Column::new("received_at", Kind::Instant, "city time (UTC) at which the response that brought this row was complete"),
    Column::new("topic", Kind::Text, "Kafka topic it was landed from; null for an imported row").nullable(),
    Column::new(
        "generation",
        Kind::Int32,
        "how often the topic had been replaced by a new one when this row was landed; 0 at first",
    ),
    Column::new("partition", Kind::Int32, "Kafka partition; null for an imported row").nullable(),
    Column::new("offset", Kind::Int64, "Kafka offset; an import's running number for an imported row"),
];

/// What makes one revision of a row newer than another, as the terms of an ascending `ORDER BY`: a total order, so
/// that rows arriving in any order give one answer. Received later wins; at the same instant a topic wins over an
/// import, and the higher partition and offset over the lower.
pub const REVISION_ORDER: &str = r#"received_at, topic IS NOT NULL, generation, partition, "offset""#;

impl Feed {
    pub fn by_name(name: &str) -> Option<&'static Feed> {
        crate::FEEDS.iter().copied().find(|feed| feed.name == name)
    }

    pub fn topic(&self) -> &'static str {
        self.name
    }

    /// Where this feed's dead letters go.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dlq", self.name)
    }

    pub fn interval(&self) -> TimeDelta {
        TimeDelta::seconds(self.interval_seconds)
    }

    pub fn delay(&self) -> TimeDelta {
        TimeDelta::seconds(self.delay_seconds)
    }

    /// The asks of one interval, after its end.
    pub fn asks(&self) -> impl DoubleEndedIterator<Item = TimeDelta> + use<> {
        self.asks_seconds.iter().map(|&seconds| TimeDelta::seconds(seconds))
    }

    /// From an interval's end until nothing is asked of it any more.
    pub fn settled_after(&self) -> TimeDelta {
        self.asks().next_back().expect("a feed is asked at least once")
    }

    /// When something newer is overdue, where the newest value is of the interval that starts at `newest`: two intervals
    /// after the first ask for the next one.
    pub fn overdue_at(&self, newest: DateTime<Utc>) -> DateTime<Utc> {
        let first_ask = self.asks().next().expect("a feed is asked at least once");
        newest + self.interval() * 2 + first_ask + self.interval() * 2
    }

    /// When a value that was never seen arriving is taken to have been received: as soon as it could be had.
    pub fn received_at_import(&self, observed_at: DateTime<Utc>) -> DateTime<Utc> {
        observed_at + self.interval() + self.delay()
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Schema of a record's own columns and `received_at`: what the topic carries.
    pub fn record_schema(&self) -> SchemaRef {
        schema(self.columns.iter().chain(LINEAGE.first()).copied())
    }

    /// Schema of `observed.<feed>`: the feed's own columns, then the lineage.
    pub fn observed_schema(&self) -> SchemaRef {
        schema(self.columns.iter().chain(LINEAGE).copied())
    }

    /// `observed.<feed>`: every row at the source's grain, every revision kept.
    pub fn observed(&self) -> Table {
        Table {
            name: TableName::new("observed", self.name),
            comment: self.title,
            columns: self.columns.iter().chain(LINEAGE).copied().collect(),
            key: vec!["topic", "generation", "partition", "offset"],
            time: "observed_at",
            apart: None,
            replaced: false,
        }
    }

    /// Of each identity in `source`, a relation with the columns of `observed.<feed>`, the newest revision: its `columns`.
    /// `leading` names further columns that tell identities apart, each with a comma behind it.
    pub(crate) fn newest_sql(&self, columns: &str, source: &str, leading: &str) -> String {
        let identity = self.series.join(", ");
        let order = REVISION_ORDER.split(", ").map(|term| format!("{term} DESC")).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY {leading}{identity}, observed_at ORDER BY {order}) AS age \
             FROM {source}) WHERE age = 1"
        )
    }

    /// The columns of `observed.<feed>` as SQL writes them.
    pub(crate) fn columns_sql(&self) -> String {
        self.columns.iter().chain(LINEAGE).map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
    }

    /// `current.<feed>`: of each identity the newest revision.
    pub fn current(&self) -> View {
        let sql = self.newest_sql(&self.columns_sql(), &self.observed().name.to_string(), "");
        View { name: TableName::new("current", self.name), comment: format!("{}: newest revision", self.title), sql }
    }
}
