//! What was added to a table since a version: where a rollup goes on after a stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::Table;
use crate::delta::action::Action;
use crate::file::DataFile;
use crate::{LakeError, Windows};

impl Table {
    /// All rows added by commits after `version` up to this snapshot. Compaction adds none. A replacement adds the
    /// rows that it kept in rewritten files, too.
    ///
    /// Where the log no longer reaches back to `version`, or a file of then is gone, the answer is larger: all that
    /// lies in the same stretch of time, or in the whole table. It is never smaller, so a rollup that looks at the
    /// windows of these rows misses none.
    pub async fn added_since(&self, version: i64) -> Result<Vec<RecordBatch>, LakeError> {
        let Some(files) = self.files_added_since(version).await? else {
            tracing::warn!(table = %self.shared.declared.name, version, "the log no longer reaches back; the whole table counts as added");
            return self.scan(None).await;
        };
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for file in files.values() {
            match self.shared.files.read(file, None).await? {
                Some(batches) => rows.extend(batches),
                None => gone.push(file),
            }
        }
        if gone.is_empty() {
            return Ok(rows);
        }
        match gone.iter().map(|file| file.times).collect::<Option<Vec<_>>>() {
            Some(times) => {
                let stretch = Windows::from_micros(times.into_iter().map(|(least, greatest)| (least, greatest + 1)));
                rows.extend(self.scan(Some(&stretch)).await?);
                Ok(rows)
            }
            None => self.scan(None).await,
        }
    }

    /// None where the log lacks a commit.
    async fn files_added_since(&self, version: i64) -> Result<Option<BTreeMap<String, Arc<DataFile>>>, LakeError> {
        let log = &self.shared.log;
        let mut added = BTreeMap::new();
        for version in version + 1..=self.version() {
            let Some(actions) = log.read(version).await? else { return Ok(None) };
            for action in actions {
                match action {
                    Action::Add(add) if add.data_change => {
                        added.insert(add.path.clone(), Arc::new(DataFile::new(&add, &log.declared)));
                    }
                    // Replaced since: its rows came back in the file that replaced it, or are no more.
                    Action::Remove(remove) if remove.data_change => {
                        added.remove(&remove.path);
                    }
                    _ => {}
                }
            }
        }
        Ok(Some(added))
    }
}
