//! One typed row of a feed: values in the order of the catalog's columns.
//!
//! Its shape is derived from the catalog, so that keys, identities and records are made in one way for all feeds.

use catalog::{Feed, Kind};
use chrono::{DateTime, Utc};
use serde_json::Value as Json;

/// A value of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Instant(DateTime<Utc>),
    Null,
}

/// What a row speaks of: its series (`A-01/1/2`) and the start of its interval, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    pub series: String,
    pub observed_at: DateTime<Utc>,
}

/// One row: the series, then `observed_at`, then what was measured.
#[derive(Clone, Debug)]
pub struct Observation {
    pub feed: &'static Feed,
    values: Vec<Value>,
}

impl PartialEq for Observation {
    fn eq(&self, other: &Observation) -> bool {
        self.feed.name == other.feed.name && self.values == other.values
    }
}

/// A row from the lake that is not one of its feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a row of {feed}: column \"{column}\" should be {expected} and is {found}")]
pub struct ObservationError {
    pub feed: &'static str,
    pub column: &'static str,
    pub expected: &'static str,
    pub found: String,
}

impl Observation {
    /// A row of `feed`, its values in the order of the feed's columns and of their kinds.
    pub fn new(feed: &'static Feed, values: Vec<Value>) -> Observation {
        assert_eq!(values.len(), feed.columns.len(), "a row of {} has a value for each of its columns", feed.name);
        for (column, value) in feed.columns.iter().zip(&values) {
            assert!(fits(column.kind, column.nullable, value), "\"{}\" of {} cannot be {value:?}", column.name, feed.name);
        }
        Observation { feed, values }
    }

    /// A row as a JSON object of its columns (times in RFC 3339), as the lake and the topics write it. Further members
    /// are ignored.
    pub fn from_json(feed: &'static Feed, json: &Json) -> Result<Observation, ObservationError> {
        let read = |column: &catalog::Column| {
            let found = json.get(column.name).unwrap_or(&Json::Null);
            let value = match (column.kind, found) {
                (_, Json::Null) if column.nullable => Some(Value::Null),
                (Kind::Text, Json::String(text)) => Some(Value::Text(text.clone())),
                (Kind::Int16 | Kind::Int32 | Kind::Int64, Json::Number(number)) => number.as_i64().map(Value::Int),
                (Kind::Float64, Json::Number(number)) => number.as_f64().map(Value::Float),
                (Kind::Instant, Json::String(text)) => text.parse().ok().map(Value::Instant),
                _ => None,
            };
            value.ok_or_else(|| ObservationError {
                feed: feed.name,
                column: column.name,
                expected: name_of(column.kind),
                found: found.to_string(),
            })
        };
        Ok(Observation { feed, values: feed.columns.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// The series' values joined by `/`: a record's key.
    pub fn series(&self) -> String {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Int(int) => int.to_string(),
            other => panic!("a series is named by texts and whole numbers, not by {other:?}"),
        };
        self.values[..self.feed.series.len()].iter().map(text).collect::<Vec<_>>().join(catalog::record::SERIES_SEPARATOR)
    }

    /// Start of the interval that it speaks of, UTC.
    pub fn observed_at(&self) -> DateTime<Utc> {
        match self.values[self.feed.series.len()] {
            Value::Instant(instant) => instant,
            ref other => panic!("observed_at is an instant, not {other:?}"),
        }
    }

    pub fn identity(&self) -> Identity {
        Identity { series: self.series(), observed_at: self.observed_at() }
    }

    /// The values behind `observed_at`, in column order.
    pub fn measured(&self) -> &[Value] {
        &self.values[self.feed.series.len() + 1..]
    }

    /// All values, in column order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

fn fits(kind: Kind, nullable: bool, value: &Value) -> bool {
    match (kind, value) {
        (_, Value::Null) => nullable,
        (Kind::Text, Value::Text(_)) => true,
        (Kind::Int16 | Kind::Int32 | Kind::Int64, Value::Int(_)) => true,
        (Kind::Float64, Value::Float(number)) => number.is_finite(),
        (Kind::Instant, Value::Instant(_)) => true,
        _ => false,
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Bytes => "bytes",
        Kind::Bool => "true or false",
        Kind::Int16 | Kind::Int32 | Kind::Int64 => "a whole number",
        Kind::Float64 => "a number",
        Kind::Instant => "a time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feed_puts_its_series_first_then_the_time_and_its_example_is_a_row() {
        for feed in catalog::FEEDS {
            let names: Vec<_> = feed.columns.iter().map(|column| column.name).collect();
            assert_eq!(names[..feed.series.len()], *feed.series, "{}", feed.name);
            assert_eq!(names[feed.series.len()], "observed_at", "{}", feed.name);
            let example = serde_json::from_str(feed.example).expect("an example is JSON");
            let row = Observation::from_json(feed, &example).expect("an example is a row");
            assert_eq!(row.values().len(), feed.columns.len());
        }
    }

    #[test]
    fn a_row_of_another_shape_is_refused_by_name() {
        let json = serde_json::json!({ "spot": "A-01", "direction": 1, "lane": "one", "observed_at": "2022-09-30T15:00:00Z", "volume": 1 });
        let error = Observation::from_json(&catalog::feeds::traffic_volume::FEED, &json).unwrap_err();
        insta::assert_snapshot!(error, @r#"not a row of traffic_volume: column "lane" should be a whole number and is "one""#);
    }
}
