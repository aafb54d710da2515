//! What the lake answers to a query, column by column in the few types that we read.
//!
//! The lake may hand a text over as a view or a dictionary, and a count in any width; here each is cast once, so that
//! the routes see one type an idea.

use anyhow::Context;
use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, SecondsFormat, Utc};
use lake::Lake;

/// The rows of an answer.
pub struct Rows(Option<RecordBatch>);

impl Rows {
    /// Asks the lake's newest snapshots.
    pub async fn of(lake: &Lake, sql: &str) -> anyhow::Result<Rows> {
        let batches = lake.query(sql).await.with_context(|| format!("asking the lake \"{sql}\""))?;
        let Some(first) = batches.first() else { return Ok(Rows(None)) };
        let schema = first.schema();
        Ok(Rows(Some(concat_batches(&schema, &batches).context("joining the lake's answer")?)))
    }

    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |batch| batch.num_rows())
    }

    pub fn texts(&self, name: &str) -> anyhow::Result<StringArray> {
        self.column(name, &DataType::Utf8)
    }

    pub fn integers(&self, name: &str) -> anyhow::Result<Int64Array> {
        self.column(name, &DataType::Int64)
    }

    pub fn floats(&self, name: &str) -> anyhow::Result<Float64Array> {
        self.column(name, &DataType::Float64)
    }

    pub fn instants(&self, name: &str) -> anyhow::Result<Instants> {
        Ok(Instants(self.column(name, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?))
    }

    fn column<A: Array + Clone + From<arrow::array::ArrayData> + 'static>(
        &self,
        name: &str,
        kind: &DataType,
    ) -> anyhow::Result<A> {
        let column: ArrayRef = match &self.0 {
            None => arrow::array::new_empty_array(kind),
            Some(batch) => {
                let column = batch.column_by_name(name).with_context(|| format!("the lake's answer has no column \"{name}\""))?;
                cast(column, kind).with_context(|| format!("column \"{name}\" of the lake's answer is {}", column.data_type()))?
            }
        };
        Ok(A::from(column.to_data()))
    }
}

/// A column of instants.
pub struct Instants(TimestampMicrosecondArray);

impl Instants {
    pub fn get(&self, row: usize) -> Option<DateTime<Utc>> {
        self.0
            .is_valid(row)
            .then(|| DateTime::from_timestamp_micros(self.0.value(row)).expect("the lake's instants are chrono's"))
    }

    /// The value of a row whose column is never null.
    pub fn at(&self, row: usize) -> anyhow::Result<DateTime<Utc>> {
        self.get(row).context("the lake holds a null where it declares none")
    }
}

/// A number, or none where the lake holds a null.
pub fn number(column: &Float64Array, row: usize) -> Option<f64> {
    column.is_valid(row).then(|| column.value(row))
}

/// An instant as an SQL literal of the columns' own type, so that files are pruned by it.
pub fn instant_literal(instant: DateTime<Utc>) -> String {
    let text = instant.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// A text as an SQL literal.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quote_in_a_text_stays_a_text() {
        assert_eq!(super::text_literal("A' OR 1=1 --"), "'A'' OR 1=1 --'");
    }
}
