//! One row of an answer: named texts, read by a feed's file. Everything is asked for by name and in a type; what is not
//! there, or not of its type, is an error that says what was expected and what was found.

use super::markup::{Node, shorten};

/// How many names a message lists.
const SHOWN_NAMES_MAX: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    #[error("has no field \"{expected}\"; found {found}; the upstream may have renamed it")]
    Missing { expected: &'static str, found: String },
    #[error("has \"{found}\" as \"{field}\" where {expected} is expected")]
    Wrong { field: &'static str, expected: &'static str, found: String },
}

/// A row's fields. Names are matched without case.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(pub(super) &'a Node);

impl Row<'_> {
    /// A text that is not empty.
    pub(crate) fn text(&self, field: &'static str) -> Result<&str, RowFault> {
        let text = self.field(field)?;
        if text.is_empty() { Err(self.wrong(field, "a text")) } else { Ok(text) }
    }

    /// A whole number, however it is written: `247`, `"247"`, `247.0`, `2.47e2`.
    pub(crate) fn integer(&self, field: &'static str) -> Result<i64, RowFault> {
        let text = self.field(field)?;
        // Beyond 2^53 a float no longer tells whole numbers apart; only plain digits do.
        let from_float =
            || text.parse().ok().filter(|number: &f64| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64);
        text.parse().ok().or_else(from_float).ok_or_else(|| self.wrong(field, "a whole number"))
    }

    /// A finite number.
    pub(crate) fn float(&self, field: &'static str) -> Result<f64, RowFault> {
        let number: Option<f64> = self.field(field)?.parse().ok();
        number.filter(|number| number.is_finite()).ok_or_else(|| self.wrong(field, "a number"))
    }

    fn field(&self, field: &'static str) -> Result<&str, RowFault> {
        let found = || quoted(self.0.children.iter().map(|child| child.name.as_str()));
        self.0.child(field).map(|node| node.text.as_str()).ok_or_else(|| RowFault::Missing { expected: field, found: found() })
    }

    /// The fault of a field that is there and cannot be what is expected.
    pub(crate) fn wrong(&self, field: &'static str, expected: &'static str) -> RowFault {
        let found = self.0.child(field).map(|node| shorten(&node.text)).unwrap_or_default();
        RowFault::Wrong { field, expected, found }
    }
}

/// Names, each in quotes.
pub(super) fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.take(SHOWN_NAMES_MAX + 1).map(|name| format!("\"{}\"", shorten(name))).collect();
    if names.is_empty() {
        return "nothing".to_owned();
    }
    if names.len() > SHOWN_NAMES_MAX {
        names.truncate(SHOWN_NAMES_MAX);
        names.push("…".to_owned());
    }
    names.join(", ")
}
