//! A table's columns as Delta's JSON, and back.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
struct Struct {
    #[serde(rename = "type")]
    kind: String,
    fields: Vec<Column>,
}

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    /// A name, or a description of something nested.
    #[serde(rename = "type")]
    kind: Value,
    nullable: bool,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
}

/// The columns of an Arrow schema, comments with them.
///
/// # Panics
/// Where a column is of a type that the catalog does not have.
pub fn to_json(schema: &Schema) -> String {
    let column = |field: &std::sync::Arc<Field>| Column {
        name: field.name().clone(),
        kind: name_of(field.data_type()).unwrap_or_else(|| panic!("{field} is of a type that no column has")).into(),
        nullable: field.is_nullable(),
        metadata: field.metadata().iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect(),
    };
    let columns = Struct { kind: "struct".into(), fields: schema.fields().iter().map(column).collect() };
    serde_json::to_string(&columns).expect("columns are JSON")
}

/// The columns, without their comments; or what cannot be understood.
pub fn from_json(text: &str) -> Result<Schema, String> {
    let columns: Struct = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let field = |column: Column| {
        let kind = column.kind.as_str().and_then(type_of);
        let kind = kind.ok_or_else(|| format!("column \"{}\" is of type {}", column.name, column.kind))?;
        Ok::<_, String>(Field::new(column.name, kind, column.nullable))
    };
    Ok(Schema::new(columns.fields.into_iter().map(field).collect::<Result<Vec<_>, _>>()?))
}

const TYPES: [(&str, DataType); 11] = [
    ("string", DataType::Utf8),
    ("binary", DataType::Binary),
    ("boolean", DataType::Boolean),
    ("byte", DataType::Int8),
    ("short", DataType::Int16),
    ("integer", DataType::Int32),
    ("long", DataType::Int64),
    ("float", DataType::Float32),
    ("double", DataType::Float64),
    ("date", DataType::Date32),
    ("timestamp_ntz", DataType::Timestamp(TimeUnit::Microsecond, None)),
];

fn type_of(name: &str) -> Option<DataType> {
    match name {
        "timestamp" => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        _ => TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| kind.clone()),
    }
}

fn name_of(kind: &DataType) -> Option<&'static str> {
    match kind {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Some("timestamp"),
        _ => TYPES.iter().find(|(_, known)| known == kind).map(|(name, _)| *name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_catalog_comes_back_with_its_columns() {
        for table in catalog::tables::all() {
            let schema = table.schema();
            let back = from_json(&to_json(&schema)).unwrap();
            let plain = |schema: &Schema| {
                schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone(), f.is_nullable())).collect::<Vec<_>>()
            };
            assert_eq!(plain(&back), plain(&schema), "{}", table.name);
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let nested = r#"{"type":"struct","fields":[{"name":"a","type":{"type":"array","elementType":"long","containsNull":true},"nullable":true,"metadata":{}}]}"#;
        assert!(from_json(nested).unwrap_err().contains("column \"a\" is of type"));
    }
}
