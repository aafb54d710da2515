//! A table of the lake, as SQL clients see it.

use std::fmt;

use arrow::datatypes::SchemaRef;

use crate::column::{Column, schema};

/// Schema and name, as in `observed.traffic_volume`. Its folder in the lake is `observed/traffic_volume`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    pub schema: &'static str,
    pub table: &'static str,
}

impl TableName {
    pub const fn new(schema: &'static str, table: &'static str) -> TableName {
        TableName { schema, table }
    }

    /// Where the table lies below the lake's root.
    pub fn path(&self) -> String {
        format!("{}/{}", self.schema, self.table)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A stored table: its columns, what tells its rows apart, and the time by which its files are ordered.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: TableName,
    pub comment: &'static str,
    pub columns: Vec<Column>,
    /// Columns that together name one row.
    pub key: Vec<&'static str>,
    /// The instant column by which files are ordered, pruned and compacted.
    pub time: &'static str,
    /// A text column whose values never share a file, where rows of one value are replaced and those of another are not.
    pub apart: Option<&'static str>,
    /// Whether windows of its newest days are replaced again and again; else rows are only added.
    pub replaced: bool,
}

impl Table {
    pub fn schema(&self) -> SchemaRef {
        schema(self.columns.iter().copied())
    }
}
