//! One column of a table, as an analyst reads it: its name, its type, its unit and what it means.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The types that a column of the lake can have. Few on purpose: each means the same in Kafka's JSON, in Arrow,
/// in Parquet and in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Raw bytes; base64 in JSON.
    Bytes,
    Bool,
    Int16,
    Int32,
    Int64,
    Float64,
    /// An instant in UTC, in microseconds; RFC 3339 in JSON.
    Instant,
}

impl Kind {
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Bool => DataType::Boolean,
            Kind::Int16 => DataType::Int16,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Float64 => DataType::Float64,
            Kind::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// A column's declaration, from which schemas, contract checks, comments and `docs/topics.md` are derived.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    /// Least and greatest value that can be true, both included; outside it a row breaks its contract.
    pub range: Option<(f64, f64)>,
    /// Unit and meaning, for people.
    pub comment: &'static str,
}

impl Column {
    pub const fn new(name: &'static str, kind: Kind, comment: &'static str) -> Column {
        Column { name, kind, nullable: false, range: None, comment }
    }

    pub const fn nullable(self) -> Column {
        Column { nullable: true, ..self }
    }

    pub const fn within(self, least: f64, greatest: f64) -> Column {
        Column { range: Some((least, greatest)), ..self }
    }

    pub fn field(&self) -> Field {
        let metadata = HashMap::from([("comment".to_owned(), self.comment.to_owned())]);
        Field::new(self.name, self.kind.data_type(), self.nullable).with_metadata(metadata)
    }
}

/// The Arrow schema of columns in their order, comments in each field's metadata.
pub fn schema(columns: impl IntoIterator<Item = Column>) -> SchemaRef {
    Arc::new(Schema::new(columns.into_iter().map(|column| column.field()).collect::<Vec<_>>()))
}
