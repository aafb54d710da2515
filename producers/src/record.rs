//! An observation as a record of its feed's topic (`catalog::record` says how one looks).

use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::observation::{Observation, Value};

/// What is published for one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The series, as `A-01/1/2`: rows of one series keep their order.
    pub key: String,
    /// `observed_at` in milliseconds since 1970, UTC.
    pub timestamp_ms: i64,
    /// One JSON object: the feed's columns in their order, then `received_at`.
    pub payload: String,
}

/// The record of an observation that was received at a city time.
pub fn record(observation: &Observation, received_at: DateTime<Utc>) -> Record {
    let payload = serde_json::to_string(&Body { observation, received_at }).expect("columns of text and numbers are JSON");
    Record { key: observation.series(), timestamp_ms: observation.observed_at().timestamp_millis(), payload }
}

struct Body<'a> {
    observation: &'a Observation,
    received_at: DateTime<Utc>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.observation.feed.columns;
        let mut object = serializer.serialize_map(Some(columns.len() + 1))?;
        for (column, value) in columns.iter().zip(self.observation.values()) {
            match value {
                Value::Text(text) => object.serialize_entry(column.name, text)?,
                Value::Int(int) => object.serialize_entry(column.name, int)?,
                Value::Float(float) => object.serialize_entry(column.name, float)?,
                Value::Instant(instant) => object.serialize_entry(column.name, &rfc3339(*instant))?,
                Value::Null => object.serialize_entry(column.name, &())?,
            }
        }
        object.serialize_entry("received_at", &rfc3339(self.received_at))?;
        object.end()
    }
}

pub(crate) fn rfc3339(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_columns_in_their_order_and_then_when_it_was_received() {
        let feed = &catalog::feeds::traffic_volume::FEED;
        let example: serde_json::Value = serde_json::from_str(feed.example).unwrap();
        let observation = Observation::from_json(feed, &example).unwrap();
        let record = record(&observation, "2022-09-30T16:30:00.123456Z".parse().unwrap());
        assert_eq!((record.key.as_str(), record.timestamp_ms), ("A-01/1/1", 1_664_550_000_000));
        insta::assert_snapshot!(record.payload, @r#"{"spot":"A-01","direction":1,"lane":1,"observed_at":"2022-09-30T15:00:00Z","volume":247,"received_at":"2022-09-30T16:30:00.123456Z"}"#);
    }

    #[test]
    fn a_record_reads_back_as_the_observation_that_it_was_made_of() {
        for feed in catalog::FEEDS {
            let observation = Observation::from_json(feed, &serde_json::from_str(feed.example).unwrap()).unwrap();
            let record = record(&observation, "2022-09-30T16:30:00Z".parse().unwrap());
            assert_eq!(Observation::from_json(feed, &serde_json::from_str(&record.payload).unwrap()).unwrap(), observation);
        }
    }
}
