//! Rows taken out because they are lost: those of damaged files, and those that are to be landed again.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;

use super::{Change, Mark, Outcome, Table};
use crate::LakeError;
use crate::file::DataFile;
use crate::log::Operation;

/// What the log still says of a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub path: String,
    pub rows: Option<usize>,
    /// Least and greatest of an integer column, both included.
    bounds: Vec<Option<(i64, i64)>>,
    nulls: Vec<Option<usize>>,
}

impl Lost {
    fn of(file: &DataFile) -> Lost {
        let columns = &file.statistics.column_statistics;
        let long = |value: &ScalarValue| match value {
            ScalarValue::Int16(value) => value.map(i64::from),
            ScalarValue::Int32(value) => value.map(i64::from),
            ScalarValue::Int64(value) => *value,
            _ => None,
        };
        let bounds =
            columns.iter().map(|column| Some((long(column.min_value.get_value()?)?, long(column.max_value.get_value()?)?)));
        Lost {
            path: file.path.clone(),
            rows: file.rows(),
            bounds: bounds.collect(),
            nulls: columns.iter().map(|column| column.null_count.get_value().copied()).collect(),
        }
    }
}

impl Table {
    /// What is known of a file of this snapshot; none where it holds no such file.
    pub fn lost(&self, path: &str) -> Option<Lost> {
        self.snapshot.files.get(path).map(|file| Lost::of(file))
    }

    /// Least and greatest value that a lost file held in an integer column.
    pub fn lost_bounds(&self, lost: &Lost, column: &str) -> Option<(i64, i64)> {
        lost.bounds[self.schema().index_of(column).ok()?]
    }

    /// Rows of a lost file without a value in a column.
    pub fn lost_nulls(&self, lost: &Lost, column: &str) -> Option<usize> {
        lost.nulls[self.schema().index_of(column).ok()?]
    }

    /// All rows but those of lost files.
    pub async fn scan_without(&self, lost: &[Lost]) -> Result<Vec<RecordBatch>, LakeError> {
        let mut rows = Vec::new();
        for file in self.rest(lost) {
            rows.extend(self.read(&file, None).await?);
        }
        Ok(rows)
    }

    /// Takes lost files out of the table, and of the other rows those that `keep` does not name; moves marks; in one
    /// commit.
    pub async fn take_out(
        &mut self,
        lost: &[Lost],
        keep: &dyn Fn(&RecordBatch) -> BooleanArray,
        marks: &[Mark],
    ) -> Result<Outcome, LakeError> {
        let files = self.shared.files.clone();
        let is_lost = |file: &&Arc<DataFile>| lost.iter().any(|lost| lost.path == file.path);
        let mut removes: Vec<_> = self.snapshot.files.values().filter(is_lost).cloned().collect();
        let mut kept = Vec::new();
        for file in self.rest(lost) {
            let rows = self.read(&file, None).await?;
            let masks: Vec<BooleanArray> = rows.iter().map(keep).collect();
            if masks.iter().all(|mask| mask.true_count() == mask.len()) {
                continue;
            }
            removes.push(file);
            for (rows, mask) in rows.iter().zip(&masks) {
                kept.push(filter_record_batch(rows, mask).map_err(|error| files.failed("taking rows out", &error))?);
            }
        }
        kept.retain(|rows| rows.num_rows() > 0);
        let adds = files.write(&kept, true).await?;
        let change = Change { adds: adds.clone(), removes, data_change: true, operation: Operation::Delete };
        match self.commit_if(change, marks, |_| true).await? {
            Some(version) => Ok(Outcome::Committed { version }),
            None => {
                files.forget(&adds).await;
                Ok(Outcome::Superseded)
            }
        }
    }

    fn rest(&self, lost: &[Lost]) -> Vec<Arc<DataFile>> {
        self.snapshot.by_time().into_iter().filter(|file| lost.iter().all(|lost| lost.path != file.path)).collect()
    }
}
