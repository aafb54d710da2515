//! Why an ask got no good answer, from fetching or from parsing, and what is to be done about it.

use crate::fetch::FetchError;
use crate::parse::ParseError;

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A passing fault of the upstream: ask again after a moment; when that fails too, with the next poll.
    Again,
    /// Not at once: with the next poll.
    Later,
    /// Asking again at once brings the same: after ever longer pauses, up to an hour.
    Patiently,
    /// The key is refused: looked at again hourly.
    Key,
    /// The answer has come, but not all of it could be read: the rest is for a person.
    Leave,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Parse(#[from] ParseError),
}

impl Fault {
    pub fn remedy(&self) -> Remedy {
        match self {
            Fault::Fetch(error) => error.remedy(),
            Fault::Parse(error) => error.remedy(),
        }
    }

    pub fn code(&self) -> &'static str {
        match self {
            Fault::Fetch(error) => error.code(),
            Fault::Parse(error) => error.code(),
        }
    }
}
