//! A view of the lake: a query that every reader asks by its name, so that what it says is defined once.

use crate::table::TableName;

#[derive(Clone, Debug)]
pub struct View {
    pub name: TableName,
    pub comment: String,
    /// Over stored tables.
    pub sql: String,
}
