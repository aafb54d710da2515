//! Why a record was refused: a short stable code for machines, and a sentence with the value for people.

use std::fmt;

/// The part of the contract that a record broke. The codes stand in the dead letters' headers and in `ops.quarantine`;
/// they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The record has no bytes, as a tombstone.
    Empty,
    NotUtf8,
    NotJson,
    NotAnObject,
    RepeatedColumn,
    UnknownColumn,
    MissingColumn,
    WrongType,
    OutOfRange,
    /// `observed_at` is not the start of one of the feed's intervals.
    OffGrid,
    /// `observed_at` or `received_at` is later than the city's clock allows.
    Ahead,
    MissingKey,
    /// The record's key names another series than its columns.
    KeyMismatch,
}

impl Reason {
    pub fn code(self) -> &'static str {
        match self {
            Reason::Empty => "empty",
            Reason::NotUtf8 => "not_utf8",
            Reason::NotJson => "not_json",
            Reason::NotAnObject => "not_an_object",
            Reason::RepeatedColumn => "repeated_column",
            Reason::UnknownColumn => "unknown_column",
            Reason::MissingColumn => "missing_column",
            Reason::WrongType => "wrong_type",
            Reason::OutOfRange => "out_of_range",
            Reason::OffGrid => "off_grid",
            Reason::Ahead => "ahead",
            Reason::MissingKey => "missing_key",
            Reason::KeyMismatch => "key_mismatch",
        }
    }
}

/// A reason with its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// One sentence in lower case that quotes the value.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, detail: String) -> Refusal {
        Refusal { reason, detail }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.detail)
    }
}

/// A value as it is quoted in a sentence: no longer than a line, since the whole bytes stand beside it.
pub(super) fn quoted(value: &str) -> String {
    const CHARACTERS_MAX: usize = 80;
    match value.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
