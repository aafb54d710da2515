//! Bytes → a small tree of names and texts, from XML or from JSON, by the first byte.

use quick_xml::Reader;
use quick_xml::errors::{Error as XmlError, IllFormedError};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use serde_json::Value as Json;

use super::error::ParseError;

/// Envelope, row, field and one to spare; deeper nesting is no answer of these upstreams, and must not cost the stack.
const DEPTH_MAX: usize = 16;
/// How much of an upstream's text a message shows.
const SHOWN_CHARS_MAX: usize = 60;

/// An element or member: its children, and its text where it has none.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// Children of a name, without regard to case.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |child| child.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name.eq_ignore_ascii_case(name))
    }
}

/// The tree under a nameless root.
pub(super) fn read(bytes: &[u8]) -> Result<Node, ParseError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).ok_or(ParseError::Empty)?;
    // A maintenance page first: its encoding, and whether it is whole, matter to nobody.
    if is_html(&bytes[start..]) {
        return Err(ParseError::Html { title: title(bytes) });
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // Cut inside a character; anywhere else it is another encoding.
        Err(error) if error.error_len().is_none() => {
            return Err(ParseError::Truncated { bytes: bytes.len(), inside: "a character".to_owned() });
        }
        Err(error) => return Err(ParseError::Encoding { at: error.valid_up_to(), byte: bytes[error.valid_up_to()] }),
    };
    match bytes[start] {
        b'<' => xml(text),
        b'{' => json(text),
        _ => Err(ParseError::Unrecognised { begin: shorten(&text[start..]) }),
    }
}

fn is_html(bytes: &[u8]) -> bool {
    ["<!doctype html", "<html"]
        .iter()
        .any(|tag| bytes.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes())))
}

fn title(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page);
    // ASCII only, so that places in the one are places in the other.
    let lower = page.to_ascii_lowercase();
    let begin = lower.find("<title").and_then(|at| lower[at..].find('>').map(|end| at + end + 1));
    let title = begin.map(|begin| &page[begin..lower[begin..].find('<').map_or(page.len(), |end| begin + end)]);
    shorten(title.unwrap_or_default())
}

/// A text as a message shows it: on one line, its beginning only.
pub(super) fn shorten(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = text.char_indices().nth(SHOWN_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}

fn xml(text: &str) -> Result<Node, ParseError> {
    let malformed = |detail: String| ParseError::Malformed { detail };
    let mut reader = Reader::from_str(text);
    // The elements that are open, the nameless root first.
    let mut open = vec![Node::default()];
    loop {
        let event = reader.read_event().map_err(|error| xml_error(error, text, &open))?;
        let innermost = open.last_mut().expect("the root is never closed");
        match event {
            Event::Start(tag) => {
                let name = tag.local_name().as_ref().to_owned();
                open.push(Node { name, ..Node::default() });
                if open.len() > DEPTH_MAX {
                    return Err(malformed(format!("elements lie deeper than {DEPTH_MAX}")));
                }
            }
            Event::Empty(tag) => innermost.children.push(Node { name: tag.local_name().as_ref().to_owned(), ..Node::default() }),
            Event::End(_) => {
                let mut closed = open.pop().expect("an end without a beginning is an error of the reader");
                closed.text = closed.text.trim().to_owned();
                open.last_mut().expect("the root is never closed").children.push(closed);
            }
            Event::Text(text) => innermost.text.push_str(&text.xml10_content()),
            Event::CData(text) => innermost.text.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) => match entity.resolve_char_ref().map_err(|error| malformed(error.to_string()))? {
                Some(character) => innermost.text.push(character),
                None => {
                    let resolved =
                        resolve_xml_entity(&entity).ok_or_else(|| malformed(format!("\"&{};\" means nothing", &*entity)))?;
                    innermost.text.push_str(resolved);
                }
            },
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(root), true) if !root.children.is_empty() => Ok(root),
        (Some(_), true) => Err(malformed("it holds no element".to_owned())),
        (innermost, _) => Err(truncated(text, innermost.as_ref())),
    }
}

fn xml_error(error: XmlError, text: &str, open: &[Node]) -> ParseError {
    match error {
        // The reader's syntax errors are all of one kind: the text ends before something is closed.
        XmlError::Syntax(_) | XmlError::IllFormed(IllFormedError::MissingEndTag(_)) => truncated(text, open.last()),
        error => ParseError::Malformed { detail: error.to_string() },
    }
}

fn truncated(text: &str, innermost: Option<&Node>) -> ParseError {
    let inside =
        innermost.filter(|node| !node.name.is_empty()).map_or("its beginning".to_owned(), |node| format!("<{}>", node.name));
    ParseError::Truncated { bytes: text.len(), inside }
}

fn json(text: &str) -> Result<Node, ParseError> {
    let value: Json = serde_json::from_str(text).map_err(|error| match error.is_eof() {
        true => ParseError::Truncated { bytes: text.len(), inside: "a JSON value".to_owned() },
        false => ParseError::Malformed { detail: error.to_string() },
    })?;
    let mut root = Node::default();
    hang(&mut root, value, 0)?;
    Ok(root)
}

/// Hangs a JSON value into the tree as XML would have it: members are children, an array is one child after another,
/// and numbers and truths are their text. A null is absent.
fn hang(node: &mut Node, value: Json, depth: usize) -> Result<(), ParseError> {
    if depth > DEPTH_MAX {
        return Err(ParseError::Malformed { detail: format!("values lie deeper than {DEPTH_MAX}") });
    }
    match value {
        Json::Object(members) => {
            for (name, value) in members {
                let values = match value {
                    Json::Null => continue,
                    Json::Array(values) => values,
                    value => vec![value],
                };
                for value in values {
                    let mut child = Node { name: name.clone(), ..Node::default() };
                    hang(&mut child, value, depth + 1)?;
                    node.children.push(child);
                }
            }
        }
        Json::Array(_) => return Err(ParseError::Malformed { detail: "an array stands directly in an array".to_owned() }),
        Json::String(text) => node.text = text.trim().to_owned(),
        Json::Number(number) => node.text = number.to_string(),
        Json::Bool(truth) => node.text = truth.to_string(),
        Json::Null => {}
    }
    Ok(())
}
