//! Step 7: land. Rows and offsets → one Delta commit with both.
//!
//! The lake's marks decide what of a batch is new: a row below its partition's mark has been landed before, by this
//! process or by another that owned the partition, and is left out. It never commits rows without the marks that pass
//! them, nor marks without their rows.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use lake::{LakeError, Mark, Outcome, Table};

use crate::marks::Place;

/// What was consumed of one partition: every record of `[from, next)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub place: Place,
    pub from: i64,
    pub next: i64,
}

/// A batch that is to become visible, and the columns that say where each row stood.
pub struct Landing {
    pub slices: Vec<Slice>,
    pub rows: RecordBatch,
    pub partition_column: &'static str,
    pub offset_column: &'static str,
}

/// What became visible.
pub struct Landed {
    /// The table as it was known before the commit. Others may have committed between; then its version says so.
    pub before: Table,
    pub rows: RecordBatch,
    /// Partitions whose marks were moved.
    pub places: Vec<Place>,
}

impl Landing {
    /// Commits what is new of this batch. `None`: all of it had been landed.
    pub async fn land(&self, table: &mut Table) -> Result<Option<Landed>, LakeError> {
        if self.gap(table).is_some() {
            // A partition that came to us from another owner: this handle is older than its landings.
            table.reload().await?;
        }
        loop {
            if let Some(slice) = self.gap(table) {
                panic!("a partition is consumed from its mark on, and {slice:?} begins above it: rows between would be lost");
            }
            let (marks, cuts) = self.marks(table);
            if marks.is_empty() {
                return Ok(None);
            }
            let rows = self.cut(&cuts);
            let before = table.clone();
            fail::fail_point!("land.before-commit");
            match table.append(std::slice::from_ref(&rows), &marks).await? {
                Outcome::Committed { .. } => {
                    fail::fail_point!("land.after-commit");
                    let moved = self.slices.iter().zip(&cuts).filter(|(slice, cut)| **cut < slice.next);
                    return Ok(Some(Landed { before, rows, places: moved.map(|(slice, _)| slice.place.clone()).collect() }));
                }
                // Another owner of a partition was faster: go on from its marks.
                Outcome::Superseded => table.reload().await?,
            }
        }
    }

    /// A slice that begins above its partition's mark.
    fn gap(&self, table: &Table) -> Option<&Slice> {
        self.slices.iter().find(|slice| table.mark(&slice.place.to_string()).is_some_and(|mark| mark < slice.from))
    }

    /// The marks to move, and of each slice the first offset that is new.
    fn marks(&self, table: &Table) -> (Vec<Mark>, Vec<i64>) {
        let mut marks = Vec::new();
        let mut cuts = Vec::new();
        for slice in &self.slices {
            let app_id = slice.place.to_string();
            let mark = table.mark(&app_id);
            let cut = mark.unwrap_or(slice.from);
            if cut < slice.next {
                marks.push(Mark { app_id, from: mark, to: slice.next });
            }
            cuts.push(cut);
        }
        (marks, cuts)
    }

    /// The rows at or above their partition's cut.
    fn cut(&self, cuts: &[i64]) -> RecordBatch {
        let repeated: Vec<(i32, i64)> = self
            .slices
            .iter()
            .zip(cuts)
            .filter(|(slice, cut)| slice.from < **cut)
            .map(|(slice, &cut)| (slice.place.partition, cut))
            .collect();
        if repeated.is_empty() {
            return self.rows.clone();
        }
        let column = |name| self.rows.column_by_name(name).expect("a landing names columns of its rows");
        let partitions = column(self.partition_column).as_primitive::<Int32Type>();
        let offsets = column(self.offset_column).as_primitive::<Int64Type>();
        let new =
            |row: usize| !repeated.iter().any(|&(partition, cut)| partitions.value(row) == partition && offsets.value(row) < cut);
        let kept: BooleanArray = (0..self.rows.num_rows()).map(|row| Some(new(row))).collect();
        debug_assert_eq!(partitions.null_count() + offsets.null_count(), 0);
        filter_record_batch(&self.rows, &kept).expect("a mask as long as its batch filters it")
    }
}
