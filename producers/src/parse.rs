//! Step 3: response bytes → observations, or a typed error that says whose fault it is.
//!
//! Nothing but the bytes is believed: not the status, not the content type, not the format that was asked for. The
//! first byte tells XML from JSON ([`markup`]); both become one small tree; in it the RESULT is found wherever it
//! stands ([`envelope`]); and each row is read by its feed. No missing or unreadable value is ever replaced by another.

mod envelope;
mod error;
mod markup;
mod row;

use chrono::{DateTime, Utc};

pub use error::ParseError;
pub(crate) use row::Row;
pub use row::RowFault;

use crate::feeds::Source;
use crate::observation::Observation;
use crate::request::{PAGE_ROWS, PAGES_MAX, Request};

/// What could be read of one page, and what was wrong with the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub observations: Vec<Observation>,
    /// How many rows there are on all pages (`list_total_count`).
    pub total: usize,
    /// Set when some of the page could not be read: its observations are good, but not all that there is.
    pub fault: Option<ParseError>,
}

/// Reads the answer to a request of a feed, complete at city time `received_at`. An answer without rows (INFO-200) is
/// an empty one, not an error.
pub fn parse(source: &Source, request: &Request, bytes: &[u8], received_at: DateTime<Utc>) -> Result<Answer, ParseError> {
    let tree = markup::read(bytes)?;
    let envelope = envelope::open(&tree)?;
    if envelope.total > PAGES_MAX * PAGE_ROWS {
        return Err(ParseError::TooManyRows { total: envelope.total });
    }
    let mut observations = Vec::new();
    let mut fault = None;
    for (row, number) in envelope.rows.iter().zip(1..) {
        match (source.read)(row, received_at) {
            Ok(observation) => observations.push(observation),
            Err(error) => fault = fault.or(Some(ParseError::Row { row: number, fault: error })),
        }
    }
    if let (true, Some(fault)) = (observations.is_empty(), &fault) {
        return Err(fault.clone());
    }
    let found = envelope.rows.len();
    let expected = envelope.total.saturating_sub(request.first_row()).min(PAGE_ROWS);
    if found != expected {
        fault = fault.or(Some(ParseError::RowCount { expected, found }));
    }
    Ok(Answer { observations, total: envelope.total, fault })
}

#[cfg(test)]
mod tests;
