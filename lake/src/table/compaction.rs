//! Many small files made few: the same rows in larger files, sorted by time. Nobody sees a difference but the speed.
//!
//! Its commits carry `dataChange: false`, so that what follows a table by its additions skips them, and it gives way:
//! where one of its inputs has been taken out meanwhile, it takes its output back. The inputs stay on disk until
//! [`crate::maintain`] has kept them long enough for readers of older snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;

use super::{Change, Table};
use crate::LakeError;
use crate::file::DataFile;
use crate::log::Operation;

/// When small files are joined, and which.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// More small files than this, side by side in time, are joined.
    pub small_files_max: usize,
    /// A file with fewer rows is small.
    pub small_rows: usize,
    /// Rows that one compaction reads at once, at most: what it holds in memory, about 100 bytes a row.
    pub rows_max: usize,
    /// Files that reach into this stretch before the table's newest time are joined only with their like: a rollup's
    /// newest hours are replaced again and again, and must not lie in a file with last year's.
    pub fresh: TimeDelta,
    /// So many times as many of these may lie side by side in a table whose windows are replaced: joined, a few rows that
    /// change would rewrite days.
    pub fresh_times: usize,
}

impl Default for Compaction {
    fn default() -> Compaction {
        Compaction { small_files_max: 24, small_rows: 64 * 1024, rows_max: 256 * 1024, fresh: TimeDelta::days(2), fresh_times: 8 }
    }
}

/// What compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    pub files_before: usize,
    pub files_after: usize,
    pub rows: usize,
    /// Runs that gave way to another writer.
    pub gave_way: usize,
}

impl Table {
    /// Joins small files where there are too many. The handle moves to the newest snapshot.
    pub async fn compact(&mut self, compaction: &Compaction) -> Result<Compacted, LakeError> {
        self.reload().await?;
        let mut done = Compacted::default();
        let mut parts: BTreeMap<Option<String>, Vec<Arc<DataFile>>> = BTreeMap::new();
        for file in self.snapshot.by_time() {
            parts.entry(file.part.clone()).or_default().push(file);
        }
        for files in parts.values() {
            for run in runs(files, self.shared.declared.replaced, compaction) {
                self.join(&run, &mut done).await?;
            }
        }
        Ok(done)
    }

    async fn join(&mut self, run: &[Arc<DataFile>], done: &mut Compacted) -> Result<(), LakeError> {
        let mut rows = Vec::new();
        for file in run {
            match self.shared.files.read(file, None).await? {
                Some(batches) => rows.extend(batches),
                None => {
                    done.gave_way += 1;
                    return Ok(());
                }
            }
        }
        let adds = self.shared.files.write(&rows, false).await?;
        let change = Change { adds: adds.clone(), removes: run.to_vec(), data_change: false, operation: Operation::Optimize };
        fail::fail_point!("compact.before-commit");
        match self.commit_if(change, &[], |_| true).await? {
            Some(_) => {
                done.files_before += run.len();
                done.files_after += adds.len();
                done.rows += rows.iter().map(|batch| batch.num_rows()).sum::<usize>();
            }
            None => {
                done.gave_way += 1;
                self.shared.files.forget(&adds).await;
            }
        }
        fail::fail_point!("compact.after-commit");
        Ok(())
    }
}

/// The runs of files to join: neighbours in time, of one age, together no larger than memory allows.
fn runs(by_time: &[Arc<DataFile>], replaced: bool, compaction: &Compaction) -> Vec<Vec<Arc<DataFile>>> {
    let small = |file: &&Arc<DataFile>| file.rows().is_some_and(|rows| rows < compaction.small_rows);
    let newest = by_time.iter().filter_map(|file| file.times).map(|(_, greatest)| greatest).max();
    let fresh_from = newest.map(|newest| newest - compaction.fresh.num_microseconds().unwrap_or(i64::MAX));
    let fresh = |file: &&Arc<DataFile>| file.times.zip(fresh_from).is_none_or(|((_, greatest), from)| greatest > from);
    let (fresh, settled): (Vec<_>, Vec<_>) = by_time.iter().filter(small).partition(fresh);
    let fresh_max = compaction.small_files_max * if replaced { compaction.fresh_times } else { 1 };
    [(settled, compaction.small_files_max), (fresh, fresh_max)]
        .iter()
        .filter(|(files, most)| files.len() > *most)
        .flat_map(|(files, _)| cut(files, compaction.rows_max))
        .collect()
}

fn cut(files: &[&Arc<DataFile>], rows_max: usize) -> Vec<Vec<Arc<DataFile>>> {
    let mut runs: Vec<Vec<Arc<DataFile>>> = Vec::new();
    let mut rows = usize::MAX;
    for &file in files {
        let more = file.rows().expect("small files say how many rows they have");
        if rows.saturating_add(more) > rows_max {
            runs.push(Vec::new());
            rows = 0;
        }
        rows += more;
        runs.last_mut().expect("a run was begun").push(file.clone());
    }
    runs.retain(|run| run.len() > 1);
    runs
}
