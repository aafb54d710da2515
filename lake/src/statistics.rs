//! The least and greatest value of every column of a file: computed at writing, carried in the commit as Delta's JSON,
//! and read back for pruning and for answers that need no file (`count(*)`, `max(observed_at)`).
//!
//! Instants are written with all six digits, although Delta asks for three only: truncated, they would not be exact.
//! Text longer than [`TEXT_BYTES_MAX`] has no bounds: a commit is no place for paragraphs.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute;
use arrow::datatypes::{DataType, Float64Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use serde_json::{Map, Value, json};

/// Longest text, in bytes, that is kept as a bound.
const TEXT_BYTES_MAX: usize = 64;
/// What a truncated instant of another writer may hide, in microseconds.
const TRUNCATED_MICROS: i64 = 999;

/// Statistics of a batch, in the order of its columns.
pub(crate) fn of(batch: &RecordBatch) -> Statistics {
    Statistics {
        num_rows: Precision::Exact(batch.num_rows()),
        total_byte_size: Precision::Absent,
        column_statistics: batch.columns().iter().map(of_column).collect(),
    }
}

fn of_column(column: &ArrayRef) -> ColumnStatistics {
    let (least, greatest) = bounds(column).unzip();
    ColumnStatistics {
        null_count: Precision::Exact(column.null_count()),
        min_value: least.map_or(Precision::Absent, Precision::Exact),
        max_value: greatest.map_or(Precision::Absent, Precision::Exact),
        ..ColumnStatistics::new_unknown()
    }
}

fn bounds(column: &ArrayRef) -> Option<(ScalarValue, ScalarValue)> {
    match column.data_type() {
        DataType::Int16 => {
            let values = column.as_primitive::<Int16Type>();
            Some((compute::min(values)?.into(), compute::max(values)?.into()))
        }
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>();
            Some((compute::min(values)?.into(), compute::max(values)?.into()))
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            Some((compute::min(values)?.into(), compute::max(values)?.into()))
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            let (least, greatest) = (compute::min(values)?, compute::max(values)?);
            // Arrow's order puts NaN at the ends: where there is one, an end is one, and JSON has no word for it.
            (least.is_finite() && greatest.is_finite()).then(|| (least.into(), greatest.into()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            let scalar = |value| ScalarValue::TimestampMicrosecond(Some(value), zone.clone());
            Some((scalar(compute::min(values)?), scalar(compute::max(values)?)))
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            let (least, greatest) = (compute::min_string(values)?, compute::max_string(values)?);
            (least.len().max(greatest.len()) <= TEXT_BYTES_MAX).then(|| (least.into(), greatest.into()))
        }
        _ => None,
    }
}

/// Delta's JSON for them. `schema` names the columns.
pub(crate) fn to_json(schema: &SchemaRef, statistics: &Statistics) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (field, column) in schema.fields().iter().zip(&statistics.column_statistics) {
        if let Some(value) = column.min_value.get_value().and_then(json_of) {
            least.insert(field.name().clone(), value);
        }
        if let Some(value) = column.max_value.get_value().and_then(json_of) {
            greatest.insert(field.name().clone(), value);
        }
        if let Some(&count) = column.null_count.get_value() {
            nulls.insert(field.name().clone(), json!(count));
        }
    }
    let rows = statistics.num_rows.get_value();
    json!({ "numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls }).to_string()
}

fn json_of(value: &ScalarValue) -> Option<Value> {
    match value {
        ScalarValue::Int16(Some(value)) => Some(json!(value)),
        ScalarValue::Int32(Some(value)) => Some(json!(value)),
        ScalarValue::Int64(Some(value)) => Some(json!(value)),
        ScalarValue::Float64(Some(value)) => Some(json!(value)),
        ScalarValue::Utf8(Some(value)) => Some(json!(value)),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            let instant = DateTime::<Utc>::from_timestamp_micros(*micros)?;
            Some(json!(instant.to_rfc3339_opts(SecondsFormat::Micros, true)))
        }
        _ => None,
    }
}

/// Statistics from Delta's JSON; whatever it does not say, or says in an unknown way, is absent.
pub(crate) fn from_json(schema: &SchemaRef, text: Option<&str>) -> Statistics {
    let known: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let count = |value: &Value| value.as_u64().map_or(Precision::Absent, |count| Precision::Exact(count as usize));
    let column_statistics = schema
        .fields()
        .iter()
        .map(|field| {
            let of = |bound: &str| &known[bound][field.name()];
            ColumnStatistics {
                null_count: count(of("nullCount")),
                min_value: scalar_of(field.data_type(), of("minValues"), 0),
                max_value: scalar_of(field.data_type(), of("maxValues"), TRUNCATED_MICROS),
                ..ColumnStatistics::new_unknown()
            }
        })
        .collect();
    Statistics { num_rows: count(&known["numRecords"]), total_byte_size: Precision::Absent, column_statistics }
}

fn scalar_of(kind: &DataType, value: &Value, hidden_micros: i64) -> Precision<ScalarValue> {
    let exact = |scalar: Option<ScalarValue>| scalar.map_or(Precision::Absent, Precision::Exact);
    match kind {
        DataType::Int16 => exact(value.as_i64().and_then(|value| i16::try_from(value).ok()).map(ScalarValue::from)),
        DataType::Int32 => exact(value.as_i64().and_then(|value| i32::try_from(value).ok()).map(ScalarValue::from)),
        DataType::Int64 => exact(value.as_i64().map(ScalarValue::from)),
        DataType::Float64 => exact(value.as_f64().map(ScalarValue::from)),
        // Other writers shorten long text, and mark it in no way.
        DataType::Utf8 => exact(value.as_str().filter(|text| text.chars().count() < 32).map(ScalarValue::from)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let Some(text) = value.as_str() else { return Precision::Absent };
            let Ok(instant) = text.parse::<DateTime<Utc>>() else { return Precision::Absent };
            let scalar = |micros| ScalarValue::TimestampMicrosecond(Some(micros), zone.clone());
            let digits = text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
            match digits {
                6 => Precision::Exact(scalar(instant.timestamp_micros())),
                _ => Precision::Inexact(scalar(instant.timestamp_micros() + hidden_micros)),
            }
        }
        _ => Precision::Absent,
    }
}

/// Least and greatest instant, in microseconds, both included, of a time column that has no nulls.
pub(crate) fn times(statistics: &Statistics, time: usize) -> Option<(i64, i64)> {
    let column = statistics.column_statistics.get(time)?;
    if column.null_count != Precision::Exact(0) {
        return None;
    }
    Some((micros(&column.min_value)?, micros(&column.max_value)?))
}

/// The greatest instant of a column, where known.
pub(crate) fn newest(statistics: &Statistics, column: usize) -> Option<i64> {
    micros(&statistics.column_statistics.get(column)?.max_value)
}

/// The one value of a text column without nulls, where there is but one.
pub(crate) fn only_text(statistics: &Statistics, column: usize) -> Option<String> {
    let column = statistics.column_statistics.get(column)?;
    match (&column.null_count, &column.min_value, &column.max_value) {
        (Precision::Exact(0), Precision::Exact(ScalarValue::Utf8(Some(least))), greatest) => {
            (*greatest == Precision::Exact(ScalarValue::Utf8(Some(least.clone())))).then(|| least.clone())
        }
        _ => None,
    }
}

fn micros(value: &Precision<ScalarValue>) -> Option<i64> {
    match value.get_value()? {
        ScalarValue::TimestampMicrosecond(micros, _) => *micros,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Float64Array, Int16Array, StringArray, TimestampMicrosecondArray};
    use catalog::column::schema;
    use catalog::{Column, Kind};

    use super::*;

    #[test]
    fn they_come_back_from_json_as_they_were() {
        let schema = schema([
            Column::new("text", Kind::Text, "").nullable(),
            Column::new("long", Kind::Text, ""),
            Column::new("small", Kind::Int16, ""),
            Column::new("real", Kind::Float64, ""),
            Column::new("nan", Kind::Float64, ""),
            Column::new("bytes", Kind::Bytes, ""),
            Column::new("at", Kind::Instant, ""),
        ]);
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(StringArray::from(vec![Some("퇴계로"), None])),
                Arc::new(StringArray::from(vec!["x".repeat(65), "y".into()])),
                Arc::new(Int16Array::from(vec![2, -1])),
                Arc::new(Float64Array::from(vec![0.1, 1e300])),
                Arc::new(Float64Array::from(vec![f64::NAN, 1.0])),
                Arc::new(BinaryArray::from(vec![b"a".as_slice(), b"b"])),
                Arc::new(TimestampMicrosecondArray::from(vec![1_664_550_000_000_001, 0]).with_timezone("UTC")),
            ],
        )
        .unwrap();
        let statistics = of(&batch);
        assert_eq!(from_json(&schema, Some(&to_json(&schema, &statistics))), statistics);
        assert_eq!(statistics.column_statistics[1].max_value, Precision::Absent, "long text has no bound");
        assert_eq!(statistics.column_statistics[4].max_value, Precision::Absent, "NaN has no bound");
        assert_eq!(times(&statistics, 6), Some((0, 1_664_550_000_000_001)));
    }

    #[test]
    fn a_truncated_instant_of_another_writer_is_widened_and_not_exact() {
        let schema = schema([Column::new("at", Kind::Instant, "")]);
        let text = r#"{"numRecords":1,"minValues":{"at":"1970-01-01T00:00:00.001Z"},"maxValues":{"at":"1970-01-01T00:00:00.001Z"},"nullCount":{"at":0}}"#;
        let statistics = from_json(&schema, Some(text));
        assert_eq!(times(&statistics, 0), Some((1_000, 1_999)));
        assert!(!statistics.column_statistics[0].max_value.is_exact().unwrap());
    }
}
