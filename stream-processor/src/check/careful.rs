//! The careful way to read a record: any JSON there is, with a sentence for whatever is wrong.
//!
//! It stands behind [`super::plain`] and has the last word.

use std::borrow::Cow;
use std::fmt;

use catalog::{Column, Kind};
use chrono::DateTime;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::reason::{Reason, Refusal, quoted};
use super::row::Scalar;

/// Reads a payload into one value a column, or says what is wrong with it.
pub(super) fn read(columns: &[Column], payload: &[u8]) -> Result<Vec<Scalar<'static>>, Refusal> {
    let text = std::str::from_utf8(payload).map_err(|error| {
        Refusal::new(Reason::NotUtf8, format!("the record is not UTF-8 from its byte {} on", error.valid_up_to()))
    })?;
    let Members(members) = serde_json::from_str(text).map_err(|error| not_an_object(text, &error))?;
    let mut row: Vec<Option<Scalar<'static>>> = vec![None; columns.len()];
    for (name, value) in members {
        let Some(place) = columns.iter().position(|column| column.name == name) else {
            return Err(Refusal::new(Reason::UnknownColumn, format!("column {} is none of this feed's", quoted(&name))));
        };
        if row[place].is_some() {
            return Err(Refusal::new(Reason::RepeatedColumn, format!("column \"{name}\" stands there more than once")));
        }
        row[place] = Some(scalar(&columns[place], value)?);
    }
    let whole = row.into_iter().zip(columns).map(|(value, column)| match value {
        Some(value) => Ok(value),
        None if column.nullable => Ok(Scalar::Null),
        None => Err(Refusal::new(Reason::MissingColumn, format!("column \"{}\" is missing", column.name))),
    });
    whole.collect()
}

fn not_an_object(text: &str, error: &serde_json::Error) -> Refusal {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            Refusal::new(Reason::NotAnObject, format!("the record is {}, expected a JSON object", quoted(&value.to_string())))
        }
        Err(_) => Refusal::new(Reason::NotJson, format!("the record is not JSON: {error}; it begins with {}", quoted(text))),
    }
}

fn scalar(column: &Column, value: Value) -> Result<Scalar<'static>, Refusal> {
    let wrong = |value: &Value, expected: &str| {
        let detail = format!("column \"{}\" is {}, expected {expected}", column.name, shown(value));
        Err(Refusal::new(Reason::WrongType, detail))
    };
    match (column.kind, value) {
        (_, Value::Null) if column.nullable => Ok(Scalar::Null),
        (_, Value::Null) => {
            Err(Refusal::new(Reason::MissingColumn, format!("column \"{}\" is null, and it must have a value", column.name)))
        }
        (Kind::Text, Value::String(text)) => Ok(Scalar::Text(Cow::Owned(text))),
        (Kind::Text, value) => wrong(&value, "a text"),
        (Kind::Bool, Value::Bool(value)) => Ok(Scalar::Bool(value)),
        (Kind::Bool, value) => wrong(&value, "true or false"),
        (Kind::Int16 | Kind::Int32 | Kind::Int64, value) => match integer(&value) {
            Some(integer) => Ok(Scalar::Integer(integer)),
            None => wrong(&value, "a whole number"),
        },
        (Kind::Float64, value) => match value.as_f64() {
            Some(number) => Ok(Scalar::Number(number)),
            None => wrong(&value, "a number"),
        },
        (Kind::Instant, value) => match value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok()) {
            Some(instant) => Ok(Scalar::Instant(instant.timestamp_micros())),
            None => wrong(&value, "a time as \"2022-09-30T15:00:00Z\""),
        },
        (Kind::Bytes, value) => match value.as_str().and_then(base64) {
            Some(bytes) => Ok(Scalar::Bytes(bytes)),
            None => wrong(&value, "bytes in base64"),
        },
    }
}

/// A whole number as JSON Schema has it: `3.0` is one, `"3"` is not.
fn integer(value: &Value) -> Option<i64> {
    /// Up to here every whole number has a double of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT_MAX).map(|number| number as i64)
    })
}

/// RFC 4648 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let symbol = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let symbols = text.trim_end_matches('=');
    if text.len() - symbols.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in symbols.as_bytes().chunks(4) {
        let bits =
            group.iter().try_fold(0_u32, |bits, &byte| Some(bits << 6 | u32::from(symbol(byte)?)))? << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => {
            let text = quoted(&other.to_string());
            if other.is_object() || other.is_array() { text } else { text.replace('"', "") }
        }
    }
}

/// An object's members in their order, repeated ones too.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_read_as_rfc_4648_has_it() {
        let cases = [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9", None),
            ("Z===", None),
            ("Zm9*", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(base64(text).as_deref(), bytes, "{text:?}");
        }
    }
}
