//! The list of services that are spoken. One file each, all of the same shape.

mod spot_info;
mod vol_info;

use chrono::{DateTime, Utc};

use crate::city::City;
use crate::envelope::{Refusal, Row, success};
use crate::request::Request;

/// One upstream service: its name, what it must be told, and all rows that match.
pub(crate) struct Service {
    /// As in the path; case matters.
    pub(crate) name: &'static str,
    /// Arguments that it can't do without, in their order.
    pub(crate) arguments: &'static [&'static str],
    /// All rows that match at a city time, in the upstream's order.
    pub(crate) rows: fn(city: &dyn City, arguments: &[String], now: DateTime<Utc>) -> Vec<Row>,
}

/// Every service there is.
pub(crate) const SERVICES: &[&Service] = &[&spot_info::SERVICE, &vol_info::SERVICE];

/// The page of rows that was asked for; a page without rows is no data (ASSUMED for one behind the last row).
pub(crate) fn answer(city: &dyn City, request: &Request, now: DateTime<Utc>) -> Result<String, Refusal> {
    let rows = (request.service.rows)(city, &request.arguments, now);
    let page = rows.get(request.start - 1..request.end.min(rows.len())).filter(|page| !page.is_empty());
    let page = page.ok_or(Refusal::NoRows)?;
    Ok(success(request.service.name, rows.len(), page.iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feed_of_seoul_has_its_service() {
        for feed in catalog::FEEDS {
            let catalog::Upstream::Seoul { service: name } = feed.upstream;
            assert!(SERVICES.iter().any(|service| service.name == name), "no service \"{name}\" for feed \"{}\"", feed.name);
        }
        assert_eq!(SERVICES.len(), catalog::FEEDS.len());
    }
}
