//! Why an answer, or a part of it, could not be read.

use super::row::RowFault;
use crate::fault::Remedy;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParseError {
    #[error("the answer is empty; the upstream may be restarting")]
    Empty,
    #[error("the answer is a web page titled \"{title}\" and no data; the upstream may be under maintenance")]
    Html { title: String },
    #[error("the answer is not UTF-8: byte {byte:#04x} at {at}; the upstream may have changed its encoding (EUC-KR?)")]
    Encoding { at: usize, byte: u8 },
    #[error("the answer ends after {bytes} bytes inside {inside}")]
    Truncated { bytes: usize, inside: String },
    #[error("the answer is damaged: {detail}")]
    Malformed { detail: String },
    #[error("the answer begins with \"{begin}\" and is neither XML nor JSON")]
    Unrecognised { begin: String },
    #[error("the answer has no RESULT; found {found}; the upstream may have changed its envelope")]
    NoResult { found: String },
    /// The upstream's own error, in its envelope.
    #[error("the upstream refuses with {code}: \"{message}\"; {hint}", hint = hint(.code))]
    Refused { code: String, message: String },
    #[error("the answer has {found} rows where its list_total_count promises {expected} on this page")]
    RowCount { expected: usize, found: usize },
    #[error("the answer has no list_total_count that is a number; found {found}")]
    NoTotal { found: String },
    #[error("the answer's list_total_count promises {total} rows, more than any of these services has; it is not believed")]
    TooManyRows { total: usize },
    #[error("row {row} {fault}")]
    Row { row: usize, fault: RowFault },
}

impl ParseError {
    /// What to do about it, by the upstream's own table of codes where it gave one.
    pub fn remedy(&self) -> Remedy {
        match self {
            ParseError::Refused { code, .. } => match code.as_str() {
                "INFO-100" => Remedy::Key,
                "ERROR-500" | "ERROR-600" => Remedy::Again,
                "ERROR-601" => Remedy::Later,
                _ => Remedy::Patiently,
            },
            ParseError::Empty | ParseError::Html { .. } | ParseError::Truncated { .. } | ParseError::RowCount { .. } => {
                Remedy::Again
            }
            ParseError::Malformed { .. } | ParseError::Unrecognised { .. } => Remedy::Again,
            ParseError::Encoding { .. } | ParseError::NoResult { .. } | ParseError::NoTotal { .. } => Remedy::Patiently,
            ParseError::TooManyRows { .. } => Remedy::Patiently,
            ParseError::Row { .. } => Remedy::Leave,
        }
    }

    /// A short stable name: a dead letter's reason, and a metric's label.
    pub fn code(&self) -> &'static str {
        match self {
            ParseError::Empty => "empty",
            ParseError::Html { .. } => "html",
            ParseError::Encoding { .. } => "encoding",
            ParseError::Truncated { .. } => "truncated",
            ParseError::Malformed { .. } => "malformed",
            ParseError::Unrecognised { .. } => "unrecognised",
            ParseError::NoResult { .. } => "no-result",
            ParseError::Refused { .. } => "refused",
            ParseError::RowCount { .. } => "row-count",
            ParseError::NoTotal { .. } => "no-total",
            ParseError::TooManyRows { .. } => "too-many-rows",
            ParseError::Row { fault: RowFault::Missing { .. }, .. } => "missing-field",
            ParseError::Row { fault: RowFault::Wrong { .. }, .. } => "wrong-value",
        }
    }

    /// Whether the answer itself could not be read and has to be kept. An upstream's own error was read well.
    pub fn keeps_answer(&self) -> bool {
        !matches!(self, ParseError::Refused { .. })
    }
}

/// The portal's table of codes, as what a person can do.
fn hint(code: &str) -> &'static str {
    match code {
        "INFO-100" => "set a valid key and start again",
        "ERROR-300" | "ERROR-301" | "ERROR-331" | "ERROR-332" | "ERROR-333" | "ERROR-334" | "ERROR-336" => {
            "the request is wrong: report it as a bug"
        }
        "ERROR-310" => "the service may have been withdrawn or renamed",
        "ERROR-335" => "the key \"sample\" gives five rows only: set a key of your own",
        "ERROR-500" | "ERROR-600" => "its server has trouble: asked again by itself",
        "ERROR-601" => "its database has trouble: asked again later by itself",
        _ => "a code that the portal's table does not have",
    }
}
