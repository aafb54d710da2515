//! How the processor is doing: for `hangang status`, for people, and for whoever waits until all is settled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::Notify;

use crate::resume::Stopped;

/// A snapshot of a processor. Counts are since its start.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// False once it has ended, by `stop` or by a fault that the log tells of.
    pub running: bool,
    /// Rows landed in `observed`, by feed.
    pub rows_landed: BTreeMap<&'static str, u64>,
    /// Records refused, by feed.
    pub rows_refused: BTreeMap<&'static str, u64>,
    /// Rows landed in `ops.quarantine`.
    pub rows_quarantined: u64,
    /// Records behind, by topic: between the lake's marks and what the broker was last heard to have, of the partitions
    /// that are ours.
    pub lag: BTreeMap<String, i64>,
    /// City time of the last commit.
    pub last_commit_at: Option<DateTime<Utc>>,
    /// Partitions that stand still until a person decides.
    pub stopped: Vec<Stopped>,
    /// What is being waited for: a lake or a broker that does not do what it should. The processor goes on by itself.
    pub trouble: BTreeMap<&'static str, String>,
    /// Real time spent in each step.
    pub spent: Spent,
}

/// Real time spent, by step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Sorting and checking records, on the consuming thread.
    pub check: Duration,
    pub dead_letters: Duration,
    pub land: Duration,
    pub roll_up: Duration,
}

/// Keys of [`Status::trouble`].
pub(crate) const BROKER: &str = "broker";
pub(crate) const LAKE: &str = "lake";

/// What the processor's parts share.
#[derive(Default)]
pub(crate) struct Shared {
    status: Mutex<Status>,
    /// Told after each step that may have settled something.
    pub(crate) moved: Notify,
    hurried: AtomicUsize,
}

impl Shared {
    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().expect("no holder of the status panics")
    }

    /// Whether somebody waits: then batches don't linger.
    pub(crate) fn hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed) > 0
    }

    /// Hurries until dropped.
    pub(crate) fn hurry(&self) -> Hurry<'_> {
        self.hurried.fetch_add(1, Ordering::Relaxed);
        Hurry(self)
    }

    /// Something is wrong and is waited out. Said once in the log, and in the status until it is over.
    pub(crate) fn trouble(&self, with: &'static str, what: String) {
        let mut status = self.status();
        if status.trouble.get(with) != Some(&what) {
            tracing::warn!(with, "{what}");
            metrics::counter!("hangang_process_trouble_total", "with" => with).increment(1);
            status.trouble.insert(with, what);
        }
    }

    pub(crate) fn has_trouble(&self, with: &'static str) -> bool {
        self.status().trouble.contains_key(with)
    }

    pub(crate) fn over(&self, with: &'static str) {
        if self.status().trouble.remove(with).is_some() {
            tracing::info!(with, "it goes on");
        }
    }

    /// A partition's end, which librdkafka reports among its errors, is none.
    pub(crate) fn broker_trouble(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.trouble(BROKER, format!("the broker: {error}; check --kafka and that it runs: the processor goes on by itself"));
    }

    pub(crate) fn broker_answers(&self) {
        self.over(BROKER);
    }
}

pub(crate) struct Hurry<'a>(&'a Shared);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::Relaxed);
    }
}
