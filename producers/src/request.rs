//! Step 1's product: one request, without the key. [`Request::url`] puts it in, for the fetching step alone.

use std::fmt;

use catalog::Upstream;
use reqwest::Url;

use crate::ask::Ask;
use crate::secret::Secret;

/// Rows a page. Seoul answers no more than 1000 at once (ERROR-336); fewer lose lanes.
pub(crate) const PAGE_ROWS: usize = 1000;
/// Pages of one answer: 50 times as many rows as any of these services has.
pub(crate) const PAGES_MAX: usize = 50;

/// One page of an answer, asked for. `Display` shows its path, the key hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path's segments after the key.
    segments: Vec<String>,
    /// The page, from 1.
    pub page: usize,
}

/// The request for a page (from 1) of what an ask is about.
pub fn request(ask: &Ask, page: usize) -> Request {
    assert!(page >= 1, "pages are counted from 1");
    let Upstream::Seoul { service } = ask.source.feed.upstream;
    let (start, end) = ((page - 1) * PAGE_ROWS + 1, page * PAGE_ROWS);
    let mut segments = vec!["xml".to_owned(), service.to_owned(), start.to_string(), end.to_string()];
    segments.extend((ask.source.arguments)(ask));
    Request { segments, page }
}

impl Request {
    /// The first row asked for, counted from 0.
    pub(crate) fn first_row(&self) -> usize {
        (self.page - 1) * PAGE_ROWS
    }

    pub(crate) fn url(&self, base: &Url, key: &Secret) -> Url {
        let mut url = base.clone();
        {
            let mut path = url.path_segments_mut().expect("an http address has a path");
            path.pop_if_empty().push(key.expose()).extend(&self.segments).push("");
        }
        url
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{{key}}/{}/", self.segments.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::{traffic_spot, traffic_volume};

    fn path(ask: &Ask, page: usize) -> String {
        request(ask, page).to_string()
    }

    #[test]
    fn an_hour_of_a_spot_is_asked_for_by_date_and_two_digit_hour_of_seoul() {
        // 09:40 in Seoul: 08–09 ended 40 minutes ago and can be had.
        let ask = Ask::now(&traffic_volume::SOURCE, Some("A-01"), "2024-01-01T00:40:00Z".parse().unwrap());
        assert_eq!(path(&ask, 1), "/{key}/xml/VolInfo/1/1000/A-01/20240101/08/");
        assert_eq!(path(&ask, 2), "/{key}/xml/VolInfo/1001/2000/A-01/20240101/08/");
        // Ten minutes earlier it cannot: the delay is half an hour.
        let ask = Ask::now(&traffic_volume::SOURCE, Some("A-01"), "2024-01-01T00:29:00Z".parse().unwrap());
        assert_eq!(path(&ask, 1), "/{key}/xml/VolInfo/1/1000/A-01/20240101/07/");
    }

    #[test]
    fn spots_are_asked_for_whole() {
        let ask = Ask::now(&traffic_spot::SOURCE, None, "2024-01-01T00:40:00Z".parse().unwrap());
        assert_eq!(path(&ask, 1), "/{key}/xml/SpotInfo/1/1000/");
    }

    #[test]
    fn a_key_and_an_argument_stay_one_segment_each_whatever_they_hold() {
        let ask = Ask::now(&traffic_volume::SOURCE, Some("A/01 ?"), "2024-01-01T00:40:00Z".parse().unwrap());
        let base = Url::parse("http://localhost:8088").unwrap();
        let url = request(&ask, 1).url(&base, &Secret::new("a/b?c#d%"));
        assert_eq!(url.as_str(), "http://localhost:8088/a%2Fb%3Fc%23d%25/xml/VolInfo/1/1000/A%2F01%20%3F/20240101/08/");
        let below = Url::parse("http://localhost:8088/seoul/").unwrap();
        assert!(request(&ask, 1).url(&below, &Secret::new("k")).as_str().starts_with("http://localhost:8088/seoul/k/xml/"));
    }
}
