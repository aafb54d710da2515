//! What a feed's loop has done and what it waits for, for `hangang status` and people.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// State of one feed's asking. Counts are since the process started.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeedStatus {
    pub feed: String,
    /// City time at which the last poll was done, its records acknowledged.
    pub last_poll_at: Option<DateTime<Utc>>,
    /// City time of the next poll. None: the feed is asked no more.
    pub next_ask_at: Option<DateTime<Utc>>,
    /// Asks made, their retries not counted.
    pub asked: u64,
    /// Records published.
    pub published: u64,
    /// Asks answered with no rows.
    pub empty: u64,
    /// Asks answered with rows that were all known.
    pub unchanged: u64,
    /// Asks that got no good answer, retries included.
    pub failed: u64,
    /// Answers sent to the dead letters.
    pub dead_letters: u64,
    /// Asks that are due and wait for an answer.
    pub waiting: usize,
    /// What needs a person's eye, in words; none while all is well.
    pub alert: Option<String>,
}
