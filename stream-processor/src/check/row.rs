//! One record's values on their way from JSON to columns, and the columns they are gathered in.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use catalog::Kind;

/// One value. Integers are held wide until the contract has seen their range.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
    Bool(bool),
    Integer(i64),
    Number(f64),
    /// Microseconds since 1970, UTC.
    Instant(i64),
}

/// A column being gathered.
pub(super) enum Gathered {
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Instant(TimestampMicrosecondBuilder),
}

/// Room that is made for a text value in advance, in bytes: ids and short names.
const TEXT_BYTES: usize = 12;

impl Gathered {
    pub(super) fn with_capacity(kind: Kind, rows: usize) -> Gathered {
        match kind {
            Kind::Text => Gathered::Text(StringBuilder::with_capacity(rows, rows * TEXT_BYTES)),
            Kind::Bytes => Gathered::Bytes(BinaryBuilder::new()),
            Kind::Bool => Gathered::Bool(BooleanBuilder::with_capacity(rows)),
            Kind::Int16 => Gathered::Int16(Int16Builder::with_capacity(rows)),
            Kind::Int32 => Gathered::Int32(Int32Builder::with_capacity(rows)),
            Kind::Int64 => Gathered::Int64(Int64Builder::with_capacity(rows)),
            Kind::Float64 => Gathered::Float64(Float64Builder::with_capacity(rows)),
            Kind::Instant => Gathered::Instant(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
        }
    }

    /// Appends a value that the contract has passed: of the column's kind and within its type, or null.
    pub(super) fn push(&mut self, value: &Scalar<'_>) {
        match (self, value) {
            (Gathered::Text(column), Scalar::Text(value)) => column.append_value(value),
            (Gathered::Bytes(column), Scalar::Bytes(value)) => column.append_value(value),
            (Gathered::Bool(column), Scalar::Bool(value)) => column.append_value(*value),
            (Gathered::Int16(column), Scalar::Integer(value)) => column.append_value(*value as i16),
            (Gathered::Int32(column), Scalar::Integer(value)) => column.append_value(*value as i32),
            (Gathered::Int64(column), Scalar::Integer(value)) => column.append_value(*value),
            (Gathered::Float64(column), Scalar::Number(value)) => column.append_value(*value),
            (Gathered::Instant(column), Scalar::Instant(value)) => column.append_value(*value),
            (Gathered::Text(column), Scalar::Null) => column.append_null(),
            (Gathered::Bytes(column), Scalar::Null) => column.append_null(),
            (Gathered::Bool(column), Scalar::Null) => column.append_null(),
            (Gathered::Int16(column), Scalar::Null) => column.append_null(),
            (Gathered::Int32(column), Scalar::Null) => column.append_null(),
            (Gathered::Int64(column), Scalar::Null) => column.append_null(),
            (Gathered::Float64(column), Scalar::Null) => column.append_null(),
            (Gathered::Instant(column), Scalar::Null) => column.append_null(),
            (_, value) => unreachable!("a reader gives a column only values of its own kind, not {value:?}"),
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Gathered::Text(mut column) => Arc::new(column.finish()),
            Gathered::Bytes(mut column) => Arc::new(column.finish()),
            Gathered::Bool(mut column) => Arc::new(column.finish()),
            Gathered::Int16(mut column) => Arc::new(column.finish()),
            Gathered::Int32(mut column) => Arc::new(column.finish()),
            Gathered::Int64(mut column) => Arc::new(column.finish()),
            Gathered::Float64(mut column) => Arc::new(column.finish()),
            Gathered::Instant(mut column) => Arc::new(column.finish()),
        }
    }
}
