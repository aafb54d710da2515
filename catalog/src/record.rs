//! A record on a feed's topic: one JSON object per observation, keyed by its series.
//!
//! The key is the series' values joined by `/` (`A-01/1/2`), the Kafka timestamp is `observed_at`, and the object holds
//! the feed's own columns in their order and then `received_at`.

use serde_json::{Map, Value, json};

use crate::column::{Column, Kind};
use crate::feed::Feed;

/// Header of a dead letter: why it was refused (a short stable code).
pub const HEADER_REASON: &str = "reason";
/// Header of a dead letter: the reason in words.
pub const HEADER_DETAIL: &str = "detail";
/// Header of a dead letter: city time, RFC 3339, at which it was refused.
pub const HEADER_REFUSED_AT: &str = "refused_at";
/// Header of a dead letter: city time, RFC 3339, at which it was received, where that is known.
pub const HEADER_RECEIVED_AT: &str = "received_at";
/// Headers of a dead letter: where the refused record stood. Absent for a response that was never published.
pub const HEADER_TOPIC: &str = "source_topic";
pub const HEADER_GENERATION: &str = "source_generation";
pub const HEADER_PARTITION: &str = "source_partition";
pub const HEADER_OFFSET: &str = "source_offset";

/// What joins the values of a series into one id.
pub const SERIES_SEPARATOR: &str = "/";

/// JSON Schema (2020-12) of a feed's record.
pub fn json_schema(feed: &Feed) -> Value {
    let columns = || feed.columns.iter().chain(crate::feed::LINEAGE.first());
    let properties: Map<String, Value> = columns().map(|column| (column.name.to_owned(), property(column))).collect();
    let required: Vec<&str> = columns().filter(|column| !column.nullable).map(|column| column.name).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": feed.name,
        "description": feed.title,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(column: &Column) -> Value {
    let (kind, format) = match column.kind {
        Kind::Text => ("string", None),
        Kind::Bytes => ("string", Some("base64")),
        Kind::Bool => ("boolean", None),
        Kind::Int16 | Kind::Int32 | Kind::Int64 => ("integer", None),
        Kind::Float64 => ("number", None),
        Kind::Instant => ("string", Some("date-time")),
    };
    let mut property =
        json!({ "description": column.comment, "type": if column.nullable { json!([kind, "null"]) } else { json!(kind) } });
    if let Some(format) = format {
        property["format"] = json!(format);
    }
    if let Some((least, greatest)) = column.range {
        property["minimum"] = json!(least);
        property["maximum"] = json!(greatest);
    }
    property
}
