//! A response body made once and sent many times: its bytes, the same compressed, and its ETag.

use std::hash::Hasher;
use std::io::Write;

use axum::body::Body as HttpBody;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

/// Below this a compressed body saves no packet, so it isn't made.
const COMPRESSED_FROM_BYTES: usize = 1_024;

/// One representation, ready to go. Cheap to clone.
#[derive(Clone)]
pub struct Body {
    content_type: &'static str,
    identity: Bytes,
    gzip: Option<Bytes>,
    /// Weak, since both encodings go by it; a hash of the bytes, so that it survives a restart and tells whether anything changed.
    etag: HeaderValue,
}

impl Body {
    pub fn json(value: &impl serde::Serialize) -> Body {
        Body::new("application/json", serde_json::to_vec(value).expect("our answers have text keys and finite numbers"))
    }

    pub fn new(content_type: &'static str, identity: impl Into<Bytes>) -> Body {
        let identity = identity.into();
        // Its keys are fixed, so equal bytes hash alike in every process.
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(&identity);
        let etag = HeaderValue::try_from(format!("W/\"{:016x}\"", hasher.finish())).expect("hexadecimal is a header's text");
        let gzip = (identity.len() >= COMPRESSED_FROM_BYTES).then(|| compress(&identity));
        Body { content_type, identity, gzip, etag }
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.identity.len() + self.gzip.as_ref().map_or(0, |gzip| gzip.len())
    }

    /// Answers a request with these headers: 304 when it holds this representation already, else the body in an encoding that it takes.
    pub fn respond(&self, request: &HeaderMap) -> Response {
        let unchanged = request.get_all(header::IF_NONE_MATCH).into_iter().any(|held| self.is_held(held));
        let gzip = self.gzip.as_ref().filter(|_| takes_gzip(request));
        let body = match (unchanged, gzip) {
            (true, _) => HttpBody::empty(),
            (false, Some(gzip)) => HttpBody::from(gzip.clone()),
            (false, None) => HttpBody::from(self.identity.clone()),
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        // Kept by whoever likes, but never used without asking: the city may run 600 times faster than the client.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if gzip.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn is_held(&self, held: &HeaderValue) -> bool {
        let mine = opaque(self.etag.to_str().expect("it was made of hexadecimal"));
        held.to_str().is_ok_and(|held| held.split(',').map(str::trim).any(|tag| tag == "*" || opaque(tag) == mine))
    }
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte").into()
}

/// An ETag without the mark of weakness: by weak comparison, which If-None-Match asks for, it says nothing.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether the client takes gzip: what it says of gzip by name counts, else what it says of all that it doesn't name.
fn takes_gzip(request: &HeaderMap) -> bool {
    let (mut named, mut any) = (None, None);
    for value in request.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok()) {
        for offer in value.split(',') {
            let (coding, parameters) = offer.split_once(';').unwrap_or((offer, ""));
            let coding = coding.trim();
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                named = Some(wanted(parameters));
            } else if coding == "*" {
                any = Some(wanted(parameters));
            }
        }
    }
    named.or(any).unwrap_or(false)
}

/// Whether an offer's parameters leave it a weight above nought.
fn wanted(parameters: &str) -> bool {
    let weight = parameters.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.trim_start().strip_prefix('='));
    weight.and_then(|weight| weight.trim().parse::<f32>().ok()) != Some(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &Body, headers: &[(header::HeaderName, &str)]) -> (StatusCode, bool) {
        let mut request = HeaderMap::new();
        for (name, value) in headers {
            request.append(name.clone(), value.parse().unwrap());
        }
        let response = body.respond(&request);
        (response.status(), response.headers().contains_key(header::CONTENT_ENCODING))
    }

    #[test]
    fn a_client_gets_gzip_only_when_it_takes_it() {
        let long = Body::new("text/plain", vec![b'a'; 5000]);
        let short = Body::new("text/plain", vec![b'a'; 50]);
        let accept = header::ACCEPT_ENCODING;
        assert_eq!(answer(&long, &[(accept.clone(), "br, gzip")]), (StatusCode::OK, true));
        for taken in ["GZIP", "x-gzip", "*", "gzip;q=0.001", "*;q=0, gzip", "gzip; q=1.0, *; q=0", "identity;q=0, *"] {
            assert_eq!(answer(&long, &[(accept.clone(), taken)]), (StatusCode::OK, true), "{taken}");
        }
        for refused in
            ["gzip;q=0, identity", "gzip;q=0.000", "gzip ; Q=0", "gzip;q=0, *", "*, gzip;q=0", "*;q=0", "br", "", "gzipped"]
        {
            assert_eq!(answer(&long, &[(accept.clone(), refused)]), (StatusCode::OK, false), "{refused}");
        }
        assert_eq!(answer(&long, &[(accept.clone(), "br"), (accept.clone(), "gzip")]), (StatusCode::OK, true));
        assert_eq!(answer(&long, &[]), (StatusCode::OK, false));
        assert_eq!(answer(&short, &[(accept, "gzip")]), (StatusCode::OK, false));
    }

    #[test]
    fn a_held_representation_is_not_sent_again() {
        let body = Body::new("text/plain", "one");
        let held = body.etag.to_str().unwrap().to_owned();
        let none_match = header::IF_NONE_MATCH;
        assert_eq!(answer(&body, &[(none_match.clone(), &held)]).0, StatusCode::NOT_MODIFIED);
        assert_eq!(answer(&body, &[(none_match.clone(), &format!("\"x\", {}", &held[2..]))]).0, StatusCode::NOT_MODIFIED);
        assert_eq!(answer(&body, &[(none_match.clone(), "\"x\""), (none_match.clone(), &held)]).0, StatusCode::NOT_MODIFIED);
        assert_eq!(answer(&body, &[(none_match.clone(), "*")]).0, StatusCode::NOT_MODIFIED);
        assert_eq!(answer(&body, &[(none_match.clone(), &held[3..held.len() - 1])]).0, StatusCode::OK, "a tag has its quotes");
        assert_eq!(answer(&Body::new("text/plain", "two"), &[(none_match, &held)]).0, StatusCode::OK);
    }
}
