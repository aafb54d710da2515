//! An upstream's key: used in a request's path, and shown nowhere else.
//!
//! It has no `Display` and no `Serialize`; its `Debug` hides it; and whatever an upstream answers passes through
//! [`Secret::redact`] before any other step sees it, since error pages like to quote the address that was asked.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Shorter keys (`sample`, the simulator's) are public words that may stand in a true answer: they are not taken out
/// of it. Seoul's are 30 characters long.
const REDACTED_LENGTH_MIN: usize = 16;

const HIDDEN: &str = "{key}";

#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(value: impl AsRef<str>) -> Secret {
        Secret(value.as_ref().trim().into())
    }

    /// The key itself. For a request's address only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes with the key taken out, as it is and as an address writes it.
    pub(crate) fn redact(&self, bytes: Bytes) -> Bytes {
        if self.0.len() < REDACTED_LENGTH_MIN {
            return bytes;
        }
        let mut bytes = replace(bytes, self.0.as_bytes());
        let encoded = self.encoded();
        if encoded != *self.0 {
            bytes = replace(bytes, encoded.as_bytes());
        }
        bytes
    }

    pub(crate) fn redact_text(&self, text: String) -> String {
        let redacted = self.redact(Bytes::from(text));
        String::from_utf8(redacted.to_vec()).expect("taking text out of text leaves text")
    }

    /// The key as one segment of a path.
    fn encoded(&self) -> String {
        let mut url = reqwest::Url::parse("http://h").expect("a fixed address is one");
        url.path_segments_mut().expect("http has a path").push(&self.0);
        url.path().trim_start_matches('/').to_owned()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

fn replace(bytes: Bytes, key: &[u8]) -> Bytes {
    let mut kept = Vec::new();
    let mut rest = &bytes[..];
    while let Some(at) = rest.windows(key.len()).position(|window| window == key) {
        kept.extend_from_slice(&rest[..at]);
        kept.extend_from_slice(HIDDEN.as_bytes());
        rest = &rest[at + key.len()..];
    }
    if kept.is_empty() {
        return bytes;
    }
    kept.extend_from_slice(rest);
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_out_of_an_answer_as_it_is_and_as_an_address_writes_it() {
        let key = Secret::new("4b6f7a/한강-key+with signs");
        let page = format!("<p>/{}/xml and {} and {}</p>", key.encoded(), key.expose(), key.expose());
        let shown = key.redact_text(page);
        assert_eq!(shown, "<p>/{key}/xml and {key} and {key}</p>");
        assert_eq!(format!("{key:?}"), "Secret(hidden)");
    }

    #[test]
    fn a_key_that_is_a_public_word_leaves_answers_as_they_are() {
        assert_eq!(Secret::new("sample").redact_text("a sample".into()), "a sample");
    }
}
