//! Instants as people in Seoul read them: RFC 3339 with +09:00. Inside, everything is UTC; this is the edge.

use catalog::kst::at_kst;
use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};

/// The instant in Seoul's time, whole seconds: nothing here is known finer.
pub fn kst(instant: DateTime<Utc>) -> DateTime<FixedOffset> {
    at_kst(DateTime::from_timestamp(instant.timestamp(), 0).expect("it is an instant already"))
}

/// The same as text.
pub fn kst_text(instant: DateTime<Utc>) -> String {
    at_kst(instant).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// To a tenth of the unit: finer than any of our forecasts is, and a third of the bytes.
pub fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
