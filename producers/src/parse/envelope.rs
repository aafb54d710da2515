//! The tree of an answer → its rows, or the upstream's own error.
//!
//! Seoul's services put `RESULT` at the root (errors, asked in either format), under `response` (errors of the
//! XML-only traffic services) or under the service's name, which is not always the name that was asked for: whatever
//! child of the root holds a RESULT is the envelope. Tag names are matched without case.

use super::error::ParseError;
use super::markup::{Node, shorten};
use super::row::Row;

const OK: &str = "INFO-000";
/// No rows match: an empty answer, not a failure.
const NO_ROWS: &str = "INFO-200";

#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) total: usize,
    pub(super) rows: Vec<Row<'a>>,
}

pub(super) fn open(root: &Node) -> Result<Envelope<'_>, ParseError> {
    let holders = || std::iter::once(root).chain(&root.children);
    let (holder, result) = holders()
        .find_map(|holder| holder.child("RESULT").map(|result| (holder, result)))
        .ok_or_else(|| ParseError::NoResult { found: paths(root) })?;
    let text = |names: [&str; 2]| names.iter().find_map(|name| result.child(name)).map(|node| node.text.clone());
    let code = text(["CODE", "RESULT.CODE"]).ok_or_else(|| ParseError::NoResult { found: paths(root) })?;
    match code.as_str() {
        OK => {}
        NO_ROWS => return Ok(Envelope { total: 0, rows: Vec::new() }),
        _ => {
            return Err(ParseError::Refused {
                code: shorten(&code),
                message: first_line(&text(["MESSAGE", "RESULT.MESSAGE"]).unwrap_or_default()),
            });
        }
    }
    let total = holder.child("list_total_count").map(|node| node.text.as_str());
    let total = total.and_then(|text| text.parse().ok()).ok_or_else(|| ParseError::NoTotal {
        found: total.map_or_else(|| paths(root), |text| format!("\"{}\"", shorten(text))),
    })?;
    Ok(Envelope { total, rows: holder.named("row").map(Row).collect() })
}

/// Messages have several lines; the first says what it is.
fn first_line(message: &str) -> String {
    shorten(message.lines().next().unwrap_or_default())
}

/// What stands in the answer's first two levels, each name once.
fn paths(root: &Node) -> String {
    let mut paths: Vec<String> = Vec::new();
    for child in &root.children {
        let mut names: Vec<_> = child.children.iter().map(|grandchild| format!("{}/{}", child.name, grandchild.name)).collect();
        if names.is_empty() {
            names.push(child.name.clone());
        }
        for name in names {
            if !paths.contains(&name) {
                paths.push(name);
            }
        }
    }
    super::row::quoted(paths.iter().map(String::as_str))
}
