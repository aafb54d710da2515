//! Replacing what lies in some windows: a delete and an insert that become visible as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use deltalake::kernel::Add;
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::{Change, Mark, Outcome, Table};
use crate::file::DataFile;
use crate::{LakeError, Windows};

/// Kept rows before or after the windows get a file of their own from this many on. So a large file is cut once, where
/// the busy windows begin, and the next replacements rewrite the small part only.
const SPLIT_ROWS: usize = 8 * 1024;

impl Table {
    /// Takes out all rows whose time lies in `windows` and puts `rows`, which must lie in them, in their place; moves
    /// marks; in one commit. Without windows it only moves marks.
    pub async fn replace(&mut self, windows: &Windows, rows: &[RecordBatch], marks: &[Mark]) -> Result<Outcome, LakeError> {
        let rows = self.checked(rows)?;
        self.check_within(windows, &rows)?;
        if windows.is_empty() {
            return self.append(&[], marks).await;
        }
        loop {
            if !self.marks_hold(marks).await? {
                return Ok(Outcome::Superseded);
            }
            let touched: Vec<_> = self.snapshot.files.values().filter(|file| file.touches(windows)).cloned().collect();
            let adds = self.rewritten(windows, &rows, &touched).await?;
            if touched.is_empty() && adds.is_empty() && marks.is_empty() {
                return Ok(Outcome::Committed { version: self.version() });
            }
            match self.commit_replacement(windows, &touched, &adds, marks).await {
                Ok(Some(version)) => return Ok(Outcome::Committed { version }),
                // A mark moved, or somebody changed the same stretch meanwhile: look again from the newest snapshot.
                Ok(None) => self.shared.files.forget(&adds).await,
                Err(error) => return Err(self.forgetting(&adds, error).await),
            }
        }
    }

    /// The kept rows of the touched files and the new ones, as files.
    async fn rewritten(&self, windows: &Windows, rows: &[RecordBatch], touched: &[Arc<DataFile>]) -> Result<Vec<Add>, LakeError> {
        let files = &self.shared.files;
        let mut all = rows.to_vec();
        for file in touched {
            if file.times.is_some_and(|(least, greatest)| windows.cover_micros(least, greatest)) {
                continue;
            }
            for batch in self.read(file, None).await? {
                all.push(files.filter(&batch, |time| !windows.contains_micros(time))?);
            }
        }
        all.retain(|batch| batch.num_rows() > 0);
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let all = files.sorted(&all)?;
        let (start, end) = windows.hull_micros().expect("there are windows");
        let times = files.times(&all);
        let mut before = times.partition_point(|&time| time < start);
        let mut after = times.partition_point(|&time| time < end);
        if before < SPLIT_ROWS {
            before = 0;
        }
        if times.len() - after < SPLIT_ROWS {
            after = times.len();
        }
        let mut adds = Vec::new();
        for (from, to) in [(0, before), (before, after), (after, times.len())] {
            if from < to {
                adds.extend(files.write(&[all.slice(from, to - from)], true).await?);
            }
        }
        Ok(adds)
    }

    /// None where it must be looked at again.
    async fn commit_replacement(
        &mut self,
        windows: &Windows,
        touched: &[Arc<DataFile>],
        adds: &[Add],
        marks: &[Mark],
    ) -> Result<Option<i64>, LakeError> {
        let (start, end) = windows.hull().expect("there are windows");
        let time = self.shared.declared.time;
        let predicate = Some(format!("{time} >= '{}' AND {time} < '{}'", start.to_rfc3339(), end.to_rfc3339()));
        let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate };
        let change = Change { adds: adds.to_vec(), removes: touched.to_vec(), data_change: true, operation };
        let known: BTreeSet<String> = touched.iter().map(|file| file.path.clone()).collect();
        let unchanged = move |snapshot: &crate::snapshot::Snapshot| {
            snapshot.files.values().filter(|file| file.touches(windows)).all(|file| known.contains(&file.path))
        };
        self.commit_if(change, marks, unchanged).await
    }

    fn check_within(&self, windows: &Windows, rows: &[RecordBatch]) -> Result<(), LakeError> {
        for batch in rows {
            if let Some(&time) = self.shared.files.times(batch).iter().find(|&&time| !windows.contains_micros(time)) {
                let time = chrono::DateTime::from_timestamp_micros(time).unwrap_or_default();
                return Err(LakeError::schema(
                    &self.shared.declared.name,
                    format!("was given a row of {time} outside the windows that it replaces"),
                ));
            }
        }
        Ok(())
    }
}
