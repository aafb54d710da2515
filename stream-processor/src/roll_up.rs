//! Step 8: roll up. Newly landed rows → the windows that they touch → the rollup's SQL over just those windows → replaced.
//!
//! The commit carries the version of `observed` that it has seen. What lies between that version and the newest, after
//! a crash or by another process, is found from the commits between; so nothing is remembered outside the lake. It never
//! adds to a window: a touched window is computed whole, so late, revised and replayed rows need no path of their own.

mod open;

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use catalog::{Feed, ROLLUPS, Rollup, kst};
use chrono::DateTime;
use lake::{Lake, LakeError, Mark, Outcome, Table, Windows, run_rollup};

use self::open::OpenWindows;
use crate::land::Landed;

/// Windows that one commit replaces at most: it bounds the rows in memory while a long absence is caught up with
/// (a thousand hours of traffic are a million rows).
const WINDOWS_MAX: usize = 1_000;

/// One rollup's way from `observed` to `rollup.<name>`.
pub struct RollUp {
    rollup: &'static Rollup,
    app_id: String,
    table: Table,
    open: OpenWindows,
}

impl RollUp {
    /// All rollups of a feed.
    pub async fn of(lake: &Lake, feed: &Feed) -> Result<Vec<RollUp>, LakeError> {
        let mut rollups = Vec::new();
        for &rollup in ROLLUPS.iter().filter(|rollup| rollup.feed.name == feed.name) {
            let table = lake.table(&rollup.table().name).await?;
            rollups.push(RollUp { rollup, app_id: feed.observed().name.to_string(), table, open: OpenWindows::new() });
        }
        Ok(rollups)
    }

    /// The version of `observed` that this rollup has seen.
    pub fn seen(&self) -> Option<i64> {
        self.table.mark(&self.app_id)
    }

    /// Brings the rollup up to `observed`'s snapshot. `landed`: the commit that made this snapshot, if it was ours.
    /// Gives the number of windows replaced.
    pub async fn advance(&mut self, observed: &Table, landed: Option<&Landed>) -> Result<usize, LakeError> {
        loop {
            let seen = self.seen();
            if seen >= Some(observed.version()) {
                return Ok(0);
            }
            let done = match landed {
                Some(landed)
                    if seen.unwrap_or(0) == landed.before.version() && landed.before.version() + 1 == observed.version() =>
                {
                    self.follow(observed, landed, seen).await?
                }
                _ => self.catch_up(observed, seen).await?,
            };
            match done {
                Some(windows) => return Ok(windows),
                // Another process has moved the rollup on: see how far.
                None => {
                    self.open.clear();
                    self.table.reload().await?;
                }
            }
        }
    }

    /// The usual case: one commit of ours to follow, its rows at hand. `None`: superseded.
    async fn follow(&mut self, observed: &Table, landed: &Landed, seen: Option<i64>) -> Result<Option<usize>, LakeError> {
        let fresh = std::slice::from_ref(&landed.rows);
        let touched = self.touched(fresh);
        if touched.len() > open::WINDOWS_MAX {
            self.open.clear();
            let mut rows = landed.before.scan(Some(&self.windows(&touched))).await?;
            rows.extend_from_slice(fresh);
            let replaced = self.replace(&touched, rows, seen, observed.version()).await?;
            return Ok(replaced.then_some(touched.len()));
        }
        let unknown = self.open.begin(landed.before.version(), &touched);
        if !unknown.is_empty() {
            let older = landed.before.scan(Some(&self.windows(&unknown))).await?;
            self.open.add(self.rollup, &older);
        }
        self.open.add(self.rollup, fresh);
        let rows = self.open.rows(&touched);
        let replaced = self.replace(&touched, rows, seen, observed.version()).await?;
        match replaced {
            true => self.open.end(observed.version()),
            false => self.open.clear(),
        }
        Ok(replaced.then_some(touched.len()))
    }

    /// After a crash, an import or another process's commits: whatever was added since. `None`: superseded.
    async fn catch_up(&mut self, observed: &Table, seen: Option<i64>) -> Result<Option<usize>, LakeError> {
        self.open.clear();
        let added = observed.added_since(seen.unwrap_or(0)).await?;
        let touched: Vec<i64> = self.touched(&added).into_iter().collect();
        drop(added);
        let mut seen = seen;
        let mut parts = touched.chunks(WINDOWS_MAX).peekable();
        while let Some(part) = parts.next() {
            let part = part.iter().copied().collect();
            let rows = observed.scan(Some(&self.windows(&part))).await?;
            // Before the last part the mark is written as it was: it guards against others, and promises nothing yet.
            let to = if parts.peek().is_none() { observed.version() } else { seen.unwrap_or(0) };
            if !self.replace(&part, rows, seen, to).await? {
                return Ok(None);
            }
            seen = Some(to);
        }
        Ok(Some(touched.len()))
    }

    async fn replace(
        &mut self,
        touched: &BTreeSet<i64>,
        rows: Vec<RecordBatch>,
        seen: Option<i64>,
        to: i64,
    ) -> Result<bool, LakeError> {
        let rolled = run_rollup(self.rollup, rows).await?;
        let mark = Mark { app_id: self.app_id.clone(), from: seen, to };
        fail::fail_point!("rollup.before-commit");
        let outcome = self.table.replace(&self.windows(touched), &rolled, &[mark]).await?;
        fail::fail_point!("rollup.after-commit");
        Ok(matches!(outcome, Outcome::Committed { .. }))
    }

    /// Starts of the windows that rows lie in, in microseconds.
    fn touched(&self, rows: &[RecordBatch]) -> BTreeSet<i64> {
        let mut touched = BTreeSet::new();
        for rows in rows {
            // Rows come nearly in order: most lie in the window of the row before.
            let mut last = None;
            for start in starts(self.rollup, rows) {
                if last != Some(start) {
                    touched.insert(start);
                    last = Some(start);
                }
            }
        }
        touched
    }

    fn windows(&self, touched: &BTreeSet<i64>) -> Windows {
        let instant = |&micros| DateTime::from_timestamp_micros(micros).expect("a window begins at an instant");
        Windows::starting_at(touched.iter().map(instant), self.rollup.window())
    }
}

/// Of each row the start of its window, in microseconds since 1970: [`Rollup::window_of`] for a column.
fn starts<'a>(rollup: &Rollup, rows: &'a RecordBatch) -> impl ExactSizeIterator<Item = i64> + use<'a> {
    let observed_at = rows.column_by_name("observed_at").expect("every observed table has it");
    let step = rollup.window_seconds * 1_000_000;
    let offset = i64::from(kst::KST.local_minus_utc()) * 1_000_000;
    let values = observed_at.as_primitive::<TimestampMicrosecondType>().values();
    values.iter().map(move |micros| micros - (micros + offset).rem_euclid(step))
}
