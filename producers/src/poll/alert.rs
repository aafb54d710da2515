//! What is wrong with a feed, kept for its status, and said in the log once and not at each poll.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::fault::{Fault, Remedy};

/// The same kind of trouble is said again after this much real time.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// A feed's alert: one message at most, of the worst trouble of its last poll.
pub(crate) struct Alerts {
    feed: &'static str,
    message: Option<String>,
    said_at: BTreeMap<&'static str, Instant>,
}

impl Alerts {
    pub(crate) fn new(feed: &'static str) -> Alerts {
        Alerts { feed, message: None, said_at: BTreeMap::new() }
    }

    pub(crate) fn message(&self) -> Option<String> {
        self.message.clone()
    }

    /// Sums a poll of `total` asks up, `untried` of which were not made: the alert of its worst fault, or none.
    pub(crate) fn after_poll(&mut self, faults: &[Fault], total: usize, untried: usize) {
        let Some(worst) = faults.iter().max_by_key(|fault| severity(fault)) else {
            return self.calm();
        };
        let (count, outlook) = (faults.len(), outlook(worst));
        let waiting = if untried > 0 { format!("; {untried} more wait until the upstream answers") } else { String::new() };
        let message = format!("{count} of {total} asks got no good answer ({outlook}{waiting}): {worst}");
        self.raise(worst.code(), &message, severity(worst) > 0);
    }

    /// Nothing is wrong any more.
    pub(crate) fn calm(&mut self) {
        if self.message.take().is_some() {
            tracing::info!(feed = self.feed, "all asks are answered again");
        }
    }

    /// Sets the alert, and says it unless its kind was said a short while ago.
    pub(crate) fn raise(&mut self, code: &'static str, message: &str, needs_person: bool) {
        self.message = Some(message.to_owned());
        let now = Instant::now();
        if self.said_at.get(code).is_some_and(|&said_at| now - said_at < SAID_AGAIN_AFTER) {
            return;
        }
        self.said_at.insert(code, now);
        match needs_person {
            true => tracing::error!(feed = self.feed, "{message}"),
            false => tracing::warn!(feed = self.feed, "{message}"),
        }
    }
}

fn severity(fault: &Fault) -> u8 {
    match fault.remedy() {
        Remedy::Again | Remedy::Later => 0,
        Remedy::Patiently => 1,
        Remedy::Leave => 2,
        Remedy::Key => 3,
    }
}

fn outlook(fault: &Fault) -> &'static str {
    match fault.remedy() {
        Remedy::Again | Remedy::Later => "they are made again",
        Remedy::Patiently => "they are made again, ever more seldom up to hourly",
        Remedy::Key => "they are made again hourly",
        Remedy::Leave => "what could not be read is kept in the dead letters",
    }
}
