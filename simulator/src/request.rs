//! The path of a request, checked in the order in which the upstream complains.
//!
//! `/{KEY}/{TYPE}/{SERVICE}/{START}/{END}[/{argument}…][/]`. The key is looked at first (a bad one is refused whatever
//! else is asked: recorded); the order of the other checks is ASSUMED.

use std::collections::HashSet;

use crate::envelope::Refusal;
use crate::services::{SERVICES, Service};

/// Most rows of one answer.
const ROWS_MAX: i64 = 1000;
/// The key that everyone may use, and the last row that it may ask for.
pub(crate) const SAMPLE_KEY: &str = "sample";
const SAMPLE_ROWS_MAX: i64 = 5;

pub(crate) struct Request {
    pub(crate) service: &'static Service,
    /// First and last row asked for, from 1, both included.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// As many as the service needs, none blank; more may follow.
    pub(crate) arguments: Vec<String>,
}

/// Understands a path, or says what the upstream would complain of.
pub(crate) fn parse(path: &str, keys: &HashSet<String>) -> Result<Request, Refusal> {
    let mut segments: Vec<String> = path.strip_prefix('/').unwrap_or(path).split('/').map(percent_decoded).collect();
    if segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    let mut segments = segments.into_iter();
    let key = segments.next().unwrap_or_default();
    if key != SAMPLE_KEY && !keys.contains(&key) {
        return Err(Refusal::Key);
    }
    let json = match segments.next().as_deref() {
        Some("xml" | "xmlf") => false,
        Some("json") => true,
        // The upstream has spreadsheets (xls) too; these services' are not simulated.
        _ => return Err(Refusal::Type),
    };
    let name = segments.next().unwrap_or_default();
    let service = SERVICES.iter().find(|service| service.name == name).ok_or(Refusal::Service)?;
    if json {
        return Err(Refusal::TypeOfService);
    }
    let start = number(segments.next(), Refusal::Start)?;
    let end = number(segments.next(), Refusal::End)?;
    if start > end {
        return Err(Refusal::StartBehindEnd);
    }
    if key == SAMPLE_KEY && end > SAMPLE_ROWS_MAX {
        return Err(Refusal::Sample);
    }
    if end - start + 1 > ROWS_MAX {
        return Err(Refusal::TooMany);
    }
    // A blank stands for an argument that is left out.
    let arguments: Vec<String> = segments.map(|argument| argument.trim().to_owned()).collect();
    let given = arguments.iter().take(service.arguments.len()).filter(|argument| !argument.is_empty()).count();
    if given < service.arguments.len() {
        return Err(Refusal::Argument);
    }
    Ok(Request { service, start: start as usize, end: end as usize, arguments })
}

/// A row number from 1.
fn number(segment: Option<String>, refusal: Refusal) -> Result<i64, Refusal> {
    let text = segment.filter(|text| !text.is_empty()).ok_or(refusal)?;
    let number: i64 = text.parse().map_err(|_| Refusal::NotInteger)?;
    if number < 1 { Err(refusal) } else { Ok(number) }
}

/// `%E2%82%AC` as text; what isn't such a triple stays, and what isn't UTF-8 matches nothing.
fn percent_decoded(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let triple = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = triple.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str) -> Result<(usize, usize, Vec<String>), &'static str> {
        let keys = HashSet::from(["a key/+".to_owned()]);
        parse(path, &keys).map(|request| (request.start, request.end, request.arguments)).map_err(Refusal::code)
    }

    #[test]
    fn a_whole_request_is_understood_with_and_without_its_last_slash() {
        let arguments = vec!["A-01".to_owned(), "20220930".to_owned(), "08".to_owned()];
        let asked = Ok((1, 1000, arguments));
        assert_eq!(check("/a%20key%2F%2b/xml/VolInfo/1/1000/A-01/20220930/08/"), asked);
        assert_eq!(check("/a%20key%2F%2b/xmlf/VolInfo/1/1000/A-01/20220930/08"), asked);
        assert_eq!(check("/a%20key%2F%2b/xml/SpotInfo/1001/2000/"), Ok((1001, 2000, vec![])));
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (path, code) in [
            ("/", "INFO-100"),
            ("/wrong/json/Nothing/x/y", "INFO-100"),
            ("/sample", "ERROR-301"),
            ("/sample/xls/SpotInfo/1/5", "ERROR-301"),
            ("/sample/json/SpotInfo/1/5", "ERROR-301"),
            ("/sample/xml", "ERROR-310"),
            ("/sample/xml/volinfo/1/5/A-01/20220930/08", "ERROR-310"),
            ("/sample/json/Nothing/1/5", "ERROR-310"),
            ("/sample/xml/SpotInfo", "ERROR-331"),
            ("/sample/xml/SpotInfo/0/5", "ERROR-331"),
            ("/sample/xml/SpotInfo/1", "ERROR-332"),
            ("/sample/xml/SpotInfo/1/-5", "ERROR-332"),
            ("/sample/xml/SpotInfo/one/5", "ERROR-333"),
            ("/sample/xml/SpotInfo/1/5.0", "ERROR-333"),
            ("/sample/xml/SpotInfo/5/1", "ERROR-334"),
            ("/sample/xml/SpotInfo/1/6", "ERROR-335"),
            ("/sample/xml/SpotInfo/2/6", "ERROR-335"),
            ("/a%20key%2F%2b/xml/SpotInfo/1/1001", "ERROR-336"),
            ("/sample/xml/VolInfo/1/5/", "ERROR-300"),
            ("/sample/xml/VolInfo/1/5/A-01/20220930", "ERROR-300"),
            ("/sample/xml/VolInfo/1/5/A-01/%20/08", "ERROR-300"),
        ] {
            assert_eq!(check(path), Err(code), "{path}");
        }
    }

    #[test]
    fn a_percent_that_encodes_nothing_stays_itself() {
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%4"), "%zz%4");
        assert_eq!(percent_decoded("%EC%A4%91%EA%B5%AC"), "중구");
    }
}
