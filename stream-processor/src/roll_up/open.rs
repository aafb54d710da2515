//! The rows of the windows that were touched lately, kept in memory: most new rows touch windows that are still filling,
//! and those needn't be read back from the lake each time.
//!
//! What it holds of a window is all that `observed` holds of it at one version. It is only ever a copy: emptied whenever
//! that version isn't the one to go on from.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use catalog::Rollup;

use super::starts;

/// Windows kept at most: the hours of a day and the re-reads after it, with some to spare.
pub(super) const WINDOWS_MAX: usize = 64;
/// Rows kept at most, some 20 MB.
const ROWS_MAX: usize = 200_000;
/// Pieces of a window that are made one when there are more.
const PIECES_MAX: usize = 16;

pub(super) struct OpenWindows {
    /// The version of `observed` that `windows` tells of.
    version: Option<i64>,
    windows: BTreeMap<i64, Window>,
    /// Counts the rounds, to know what was touched longest ago.
    round: u64,
}

#[derive(Default)]
struct Window {
    pieces: Vec<RecordBatch>,
    rows: usize,
    touched: u64,
}

impl OpenWindows {
    pub(super) fn new() -> OpenWindows {
        OpenWindows { version: None, windows: BTreeMap::new(), round: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.version = None;
        self.windows.clear();
    }

    /// Begins a round over `touched` windows on top of `version`; gives those of which nothing is known here. Until
    /// [`OpenWindows::end`] what is held is of no version.
    pub(super) fn begin(&mut self, version: i64, touched: &BTreeSet<i64>) -> BTreeSet<i64> {
        if self.version.take() != Some(version) {
            self.windows.clear();
        }
        self.round += 1;
        let unknown = touched.iter().copied().filter(|start| !self.windows.contains_key(start)).collect();
        for &start in touched {
            self.windows.entry(start).or_default().touched = self.round;
        }
        unknown
    }

    /// Adds rows of windows that this round has begun with.
    pub(super) fn add(&mut self, rollup: &Rollup, batches: &[RecordBatch]) {
        for batch in batches {
            for (start, piece) in split(rollup, batch) {
                let window = self.windows.get_mut(&start).expect("only rows of this round's windows are added");
                window.rows += piece.num_rows();
                window.pieces.push(piece);
                if window.pieces.len() > PIECES_MAX {
                    let whole = concat_batches(&batch.schema(), &window.pieces).expect("pieces of one table have one schema");
                    window.pieces = vec![whole];
                }
            }
        }
    }

    pub(super) fn rows(&self, touched: &BTreeSet<i64>) -> Vec<RecordBatch> {
        touched.iter().flat_map(|start| self.windows[start].pieces.iter().cloned()).collect()
    }

    /// Ends the round: what is held is `observed` at `version`. Lets go of what was touched longest ago.
    pub(super) fn end(&mut self, version: i64) {
        self.version = Some(version);
        let mut rows: usize = self.windows.values().map(|window| window.rows).sum();
        while self.windows.len() > WINDOWS_MAX || rows > ROWS_MAX {
            let oldest = self.windows.iter().min_by_key(|(start, window)| (window.touched, **start)).map(|(&start, _)| start);
            let Some(oldest) = oldest else { break };
            rows -= self.windows.remove(&oldest).map_or(0, |window| window.rows);
        }
    }
}

/// A batch by window. Rows are copied, so that a window kept doesn't keep its whole batch in memory.
fn split(rollup: &Rollup, batch: &RecordBatch) -> Vec<(i64, RecordBatch)> {
    let mut windows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    // Rows come nearly in order: runs of one window are looked up once.
    let mut starts = starts(rollup, batch).zip(0..).peekable();
    while let Some((start, row)) = starts.next() {
        let rows = windows.entry(start).or_default();
        rows.push(row);
        while let Some((_, row)) = starts.next_if(|(next, _)| *next == start) {
            rows.push(row);
        }
    }
    if windows.len() == 1 {
        return windows.into_keys().map(|start| (start, batch.clone())).collect();
    }
    let taken = |rows| take_record_batch(batch, &UInt32Array::from(rows)).expect("row numbers lie within their batch");
    windows.into_iter().map(|(start, rows)| (start, taken(rows))).collect()
}
