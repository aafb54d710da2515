//! Replacing what lies in some windows: a delete and an insert that become visible as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::{Change, Mark, Outcome, Table};
use crate::delta::action::Add;
use crate::file::DataFile;
use crate::log::Operation;
use crate::{LakeError, Windows};

/// Kept rows before or after the windows get a file of their own from this many on. So a large file is cut once, where
/// the busy windows begin, and the next replacements rewrite the small part only.
const SPLIT_ROWS: usize = 8 * 1024;
/// Stretches that one replacement rewrites apart from each other, at most: each is a file or three.
const STRETCHES_MAX: usize = 64;

/// What a replacement takes out.
struct Taken<'a> {
    /// Only rows of this part, where the table keeps parts apart.
    part: Option<&'a str>,
    windows: &'a Windows,
}

impl Taken<'_> {
    fn touches(&self, file: &DataFile) -> bool {
        file.touches(self.windows) && file.may_hold(self.part)
    }

    /// Whether nothing of a file is kept.
    fn covers(&self, file: &DataFile) -> bool {
        let is_of = self.part.is_none() || file.part.as_deref() == self.part;
        is_of && file.times.is_some_and(|(least, greatest)| self.windows.cover_micros(least, greatest))
    }
}

impl Table {
    /// Takes out all rows whose time lies in `windows` and puts `rows`, which must lie in them, in their place; moves
    /// marks; in one commit. Without windows it only moves marks.
    pub async fn replace(&mut self, windows: &Windows, rows: &[RecordBatch], marks: &[Mark]) -> Result<Outcome, LakeError> {
        self.replace_taken(&Taken { part: None, windows }, rows, marks).await
    }

    /// The same for the rows of one part of a table that keeps parts apart ([`catalog::Table::apart`]); those of others
    /// stay, and so do their files. `rows` must be of that part.
    pub async fn replace_part(
        &mut self,
        part: &str,
        windows: &Windows,
        rows: &[RecordBatch],
        marks: &[Mark],
    ) -> Result<Outcome, LakeError> {
        self.replace_taken(&Taken { part: Some(part), windows }, rows, marks).await
    }

    async fn replace_taken(&mut self, taken: &Taken<'_>, rows: &[RecordBatch], marks: &[Mark]) -> Result<Outcome, LakeError> {
        let rows = self.checked(rows)?;
        self.check_within(taken, &rows)?;
        if taken.windows.is_empty() {
            return self.append(&[], marks).await;
        }
        let rows = self.shared.files.sorted(&rows)?;
        loop {
            if !self.marks_hold(marks).await? {
                return Ok(Outcome::Superseded);
            }
            let touched: Vec<_> = self.snapshot.files.values().filter(|file| taken.touches(file)).cloned().collect();
            let adds = self.rewritten(taken, &rows, &touched).await?;
            if touched.is_empty() && adds.is_empty() && marks.is_empty() {
                return Ok(Outcome::Committed { version: self.version() });
            }
            match self.commit_replacement(taken, &touched, &adds, marks).await {
                Ok(Some(version)) => return Ok(Outcome::Committed { version }),
                // A mark moved, or somebody changed the same stretch meanwhile: look again from the newest snapshot.
                Ok(None) => self.shared.files.forget(&adds).await,
                Err(error) => return Err(self.forgetting(&adds, error).await),
            }
        }
    }

    /// The kept rows of the touched files and the new ones, as files: those of each stretch by themselves, so that what
    /// lies between two windows is not rewritten.
    async fn rewritten(&self, taken: &Taken<'_>, rows: &RecordBatch, touched: &[Arc<DataFile>]) -> Result<Vec<Add>, LakeError> {
        let mut adds = Vec::new();
        for stretch in stretches(taken.windows, touched) {
            adds.extend(self.rewritten_stretch(taken, rows, &stretch).await?);
        }
        Ok(adds)
    }

    /// `rows` are sorted by time.
    async fn rewritten_stretch(&self, taken: &Taken<'_>, rows: &RecordBatch, stretch: &Stretch) -> Result<Vec<Add>, LakeError> {
        let files = &self.shared.files;
        let times = files.times(rows);
        let (from, to) = (times.partition_point(|&at| at < stretch.start), times.partition_point(|&at| at < stretch.end));
        let mut all = vec![rows.slice(from, to - from)];
        for file in stretch.files.iter().filter(|file| !taken.covers(file)) {
            for batch in self.read(file, None).await? {
                all.push(files.outside(&batch, taken.part, taken.windows)?);
            }
        }
        all.retain(|batch| batch.num_rows() > 0);
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let all = files.sorted(&all)?;
        let times = files.times(&all);
        let (start, end) = stretch.hull;
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
        taken: &Taken<'_>,
        touched: &[Arc<DataFile>],
        adds: &[Add],
        marks: &[Mark],
    ) -> Result<Option<i64>, LakeError> {
        let (start, end) = taken.windows.hull().expect("there are windows");
        let declared = &self.shared.declared;
        let part = taken.part.zip(declared.apart).map(|(part, column)| format!("{column} = '{part}' AND ")).unwrap_or_default();
        let time = declared.time;
        let predicate = format!("{part}{time} >= '{}' AND {time} < '{}'", start.to_rfc3339(), end.to_rfc3339());
        let operation = Operation::Replace { predicate };
        let change = Change { adds: adds.to_vec(), removes: touched.to_vec(), data_change: true, operation };
        let known: BTreeSet<String> = touched.iter().map(|file| file.path.clone()).collect();
        let unchanged = |snapshot: &crate::snapshot::Snapshot| {
            snapshot.files.values().filter(|file| taken.touches(file)).all(|file| known.contains(&file.path))
        };
        self.commit_if(change, marks, unchanged).await
    }

    fn check_within(&self, taken: &Taken<'_>, rows: &[RecordBatch]) -> Result<(), LakeError> {
        let (name, files) = (&self.shared.declared.name, &self.shared.files);
        assert!(taken.part.is_none() || files.apart.is_some(), "{name} keeps no parts apart");
        for batch in rows {
            if files.outside(batch, taken.part, taken.windows)?.num_rows() == 0 {
                continue;
            }
            if let Some(&time) = files.times(batch).iter().find(|&&time| !taken.windows.contains_micros(time)) {
                let time = chrono::DateTime::from_timestamp_micros(time).unwrap_or_default();
                return Err(LakeError::schema(name, format!("was given a row of {time} outside the windows that it replaces")));
            }
            return Err(LakeError::schema(
                name,
                format!("was given rows of another part than \"{}\"", taken.part.unwrap_or_default()),
            ));
        }
        Ok(())
    }
}

/// A stretch of time that is rewritten by itself: windows, and the files that reach into each other or into them.
struct Stretch {
    /// Microseconds, half-open.
    start: i64,
    end: i64,
    /// From its first window's start to its last one's end.
    hull: (i64, i64),
    files: Vec<Arc<DataFile>>,
}

/// Disjoint, in order; every window and every file lies in one.
fn stretches(windows: &Windows, touched: &[Arc<DataFile>]) -> Vec<Stretch> {
    let of_window = |(start, end)| Stretch { start, end, hull: (start, end), files: Vec::new() };
    let of_file = |file: &Arc<DataFile>| {
        let (start, end) = file.times.map_or((i64::MIN, i64::MAX), |(least, greatest)| (least, greatest + 1));
        Stretch { start, end, hull: (i64::MAX, i64::MIN), files: vec![file.clone()] }
    };
    let mut parts: Vec<Stretch> = windows.micros().map(of_window).chain(touched.iter().map(of_file)).collect();
    parts.sort_by_key(|part| part.start);
    let apart = joined(parts, |last, next| next.start < last.end);
    // Where they are too many, neighbours go together.
    let together = apart.len().div_ceil(STRETCHES_MAX);
    let mut number = 0;
    joined(apart, |_, _| {
        number += 1;
        number % together != 0
    })
}

fn joined(parts: Vec<Stretch>, mut belong: impl FnMut(&Stretch, &Stretch) -> bool) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if belong(last, &part) => {
                last.end = last.end.max(part.end);
                last.hull = (last.hull.0.min(part.hull.0), last.hull.1.max(part.hull.1));
                last.files.extend(part.files);
            }
            _ => joined.push(part),
        }
    }
    joined
}
