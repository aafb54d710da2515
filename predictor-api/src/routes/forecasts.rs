//! `/v1/forecasts/{target}` and `/v1/forecasts/{target}/{series}`: a forecast as issued, of all series or of one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use catalog::Target;
use chrono::{DateTime, FixedOffset, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, Asked, Fault};
use crate::body::Body;
use crate::edition::{Champion, Part};
use crate::forecast::{self, Forecast, Point, SeriesForecast};
use crate::params::{Names, Params};
use crate::problem::Problem;
use crate::routes::target;
use crate::times::{kst, kst_text, tenth};

/// Series a page holds if the client doesn't say: every target of the city fits on one.
const LIMIT_DEFAULT: u32 = 500;
/// And at most: some 2 MB of JSON.
const LIMIT_MAX: u32 = 1_000;
/// Known ids that a refusal names at most.
const NEAR_MAX: usize = 6;

/// A forecast as it was issued.
#[derive(Serialize, ToSchema)]
pub struct Forecasts<'a> {
    #[schema(example = "traffic_volume")]
    target: &'static str,
    /// Unit of p10, p50 and p90.
    #[schema(example = "vehicles/h")]
    unit: &'static str,
    /// Length of a step, in seconds.
    step_seconds: i64,
    /// The origin (KST): what was received by then is what the forecast knew.
    issued_at: DateTime<FixedOffset>,
    /// Whether it no longer speaks of now: city time is more than two steps past the newest origin, or this isn't the newest.
    stale: bool,
    /// The bundle in use now; null where none is registered.
    champion: Option<&'a Champion>,
    /// Series in the whole forecast that were asked for; this page may hold fewer.
    count: usize,
    /// Where the next page is; null on the last.
    next: Option<String>,
    /// Ascending by id.
    series: Vec<OneSeries<'a>>,
}

#[derive(Serialize, ToSchema)]
pub struct OneSeries<'a> {
    #[schema(example = "A-01/1")]
    series: &'a str,
    /// `model`, or the naive rule that stands in for it because the series is dead, stuck or new.
    rule: &'a str,
    /// Id of the bundle that it was made with.
    bundle: &'a str,
    /// Ascending by horizon.
    points: Vec<OnePoint>,
}

/// One interval ahead.
#[derive(Serialize, ToSchema)]
pub struct OnePoint {
    /// Steps ahead, from 1.
    horizon: i64,
    /// Start of the interval (KST).
    valid_at: DateTime<FixedOffset>,
    /// Tenth percentile: one time in ten less comes.
    p10: f64,
    /// Median.
    p50: f64,
    /// Ninetieth percentile: one time in ten more comes.
    p90: f64,
}

impl From<&Point> for OnePoint {
    fn from(point: &Point) -> OnePoint {
        OnePoint {
            horizon: point.horizon,
            valid_at: kst(point.valid_at),
            p10: tenth(point.p10),
            p50: tenth(point.p50),
            p90: tenth(point.p90),
        }
    }
}

/// The newest forecast of every series, or that of another origin.
#[utoipa::path(
    get, path = "/v1/forecasts/{target}", tag = "forecasts",
    params(
        ("target" = String, Path, description = "Name of the target", example = "traffic_volume"),
        ("series" = Option<String>, Query, description = "Only these series: ids with commas between", example = "A-01/1,A-01/2"),
        ("horizon" = Option<u32>, Query, description = "Only this many steps ahead", minimum = 1),
        ("issued_at" = Option<String>, Query, description = "The origin, RFC 3339; the newest if left out", example = "2022-10-01T09:00:00+09:00"),
        ("limit" = Option<u32>, Query, description = "Series on a page, 500 if left out", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "Only series after this id: `next` of the page before has it")
    ),
    responses(
        (status = 200, body = Forecasts<'static>),
        (status = 304, description = "What the client holds is still so"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Unknown target, series or origin"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "No forecast yet; Retry-After says when to ask again")
    )
)]
pub async fn get(State(app): State<Arc<App>>, Names(name): Names<String>, request: Request) -> Response {
    app.answer(request, &[Part::Forecasts], |mut asked| async move {
        let target = target(&name)?;
        let wanted = asked.params.text("series").map(|ids| ids.split(',').map(|id| id.trim().to_owned()).collect::<Vec<_>>());
        let limit = asked.params.integer("limit", 1, LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
        let after = asked.params.text("after");
        let choice = Choice::of(&mut asked.params, target);
        let edition = asked.edition.clone();
        let found = choice.find(asked, target).await?;
        let series = match &wanted {
            None => found.forecast.series.iter().collect(),
            Some(ids) => found.pick(target, ids)?,
        };
        let count = series.len();
        let mut rest = series.into_iter().filter(|entry| after.as_ref().is_none_or(|after| entry.series > *after));
        let page: Vec<&SeriesForecast> = rest.by_ref().take(limit as usize).collect();
        let last = page.last().map(|last| last.series.clone());
        let next = rest.next().and(last).map(|last| choice.next(target, wanted.as_deref(), limit, &last));
        Ok(found.body(target, edition.headline(target).champion.as_ref(), count, next, page, &choice))
    })
    .await
}

/// The newest forecast of one series, or that of another origin.
#[utoipa::path(
    get, path = "/v1/forecasts/{target}/{series}", tag = "forecasts",
    params(
        ("target" = String, Path, description = "Name of the target", example = "traffic_volume"),
        ("series" = String, Path, description = "Id of the series; its slash may be written as it is or as %2F", example = "A-01/1"),
        ("horizon" = Option<u32>, Query, description = "Only this many steps ahead", minimum = 1),
        ("issued_at" = Option<String>, Query, description = "The origin, RFC 3339; the newest if left out", example = "2022-10-01T09:00:00+09:00")
    ),
    responses(
        (status = 200, body = Forecasts<'static>),
        (status = 304, description = "What the client holds is still so"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Unknown target, series or origin"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "No forecast yet; Retry-After says when to ask again")
    )
)]
pub async fn get_series(
    State(app): State<Arc<App>>,
    Names((name, series)): Names<(String, String)>,
    request: Request,
) -> Response {
    app.answer(request, &[Part::Forecasts], |mut asked| async move {
        let target = target(&name)?;
        let choice = Choice::of(&mut asked.params, target);
        let edition = asked.edition.clone();
        let found = choice.find(asked, target).await?;
        let one = found.pick(target, std::slice::from_ref(&series))?;
        Ok(found.body(target, edition.headline(target).champion.as_ref(), 1, None, one, &choice))
    })
    .await
}

/// Which part of which forecast is asked for.
struct Choice {
    horizon: Option<u32>,
    issued_at: Option<DateTime<Utc>>,
}

impl Choice {
    fn of(params: &mut Params, target: &Target) -> Choice {
        Choice { horizon: params.integer("horizon", 1, target.horizon), issued_at: params.instant("issued_at") }
    }

    async fn find(&self, asked: Asked, target: &'static Target) -> Result<Found, Fault> {
        let Asked { app, edition, params } = asked;
        params.finish()?;
        let headline = edition.headline(target);
        let newest = headline
            .forecast
            .clone()
            .ok_or_else(|| Problem::no_forecast_yet(target.name, &why_none(&app, headline.champion.is_some())))?;
        match self.issued_at.filter(|&issued_at| issued_at != newest.issued_at) {
            None => Ok(Found { forecast: newest, stale: headline.stale }),
            Some(issued_at) => {
                let found = forecast::read(&app.lake, target, issued_at).await?;
                let unknown = || Problem::unknown_origin(target.name, &kst_text(issued_at), Some(kst_text(newest.issued_at)));
                Ok(Found { forecast: found.ok_or_else(unknown)?, stale: true })
            }
        }
    }

    fn next(&self, target: &Target, wanted: Option<&[String]>, limit: u32, last: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string()).append_pair("after", last);
        if let Some(ids) = wanted {
            query.append_pair("series", &ids.join(","));
        }
        if let Some(horizon) = self.horizon {
            query.append_pair("horizon", &horizon.to_string());
        }
        if let Some(issued_at) = self.issued_at {
            query.append_pair("issued_at", &kst_text(issued_at));
        }
        format!("/v1/forecasts/{}?{}", target.name, query.finish())
    }
}

/// The forecast that is answered from.
struct Found {
    forecast: Arc<Forecast>,
    stale: bool,
}

impl Found {
    /// These series, ascending and each once.
    fn pick(&self, target: &Target, ids: &[String]) -> Result<Vec<&SeriesForecast>, Problem> {
        let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = |id: &str| self.forecast.get(id).ok_or_else(|| Problem::unknown_series(target.name, id, self.near(id)));
        ids.into_iter().map(found).collect()
    }

    /// Known ids that begin as this one does, as far as any does.
    fn near(&self, id: &str) -> Vec<String> {
        near(id, self.forecast.series.iter().map(|entry| entry.series.as_str()))
    }

    fn body(
        &self,
        target: &'static Target,
        champion: Option<&Champion>,
        count: usize,
        next: Option<String>,
        series: Vec<&SeriesForecast>,
        choice: &Choice,
    ) -> Body {
        let chosen = |point: &&Point| choice.horizon.is_none_or(|horizon| point.horizon == i64::from(horizon));
        let series = series.into_iter().map(|entry| OneSeries {
            series: &entry.series,
            rule: &entry.rule,
            bundle: &entry.bundle,
            points: entry.points.iter().filter(chosen).map(OnePoint::from).collect(),
        });
        Body::json(&Forecasts {
            target: target.name,
            unit: target.unit,
            step_seconds: target.step_seconds,
            issued_at: kst(self.forecast.issued_at),
            stale: self.stale,
            champion,
            count,
            next,
            series: series.collect(),
        })
    }
}

/// Why there is no forecast: what has to happen first.
pub fn why_none(app: &App, champion: bool) -> String {
    match (app.trouble(), champion) {
        (Some(_), _) => "the lake can't be read; /readyz says why".to_owned(),
        (None, false) => "no champion is registered; the first follows the first landed hours".to_owned(),
        (None, true) => "the first origin's rows have not all landed".to_owned(),
    }
}

/// Of the known ids those that share the longest beginning with `id`, a few of them.
pub fn near<'a>(id: &str, known: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let shared = |other: &str| id.bytes().zip(other.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let longest = known.clone().map(shared).max().unwrap_or_default();
    known.filter(|other| shared(other) == longest).take(NEAR_MAX).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn the_nearest_ids_share_the_longest_beginning() {
        let known = ["A-01/1", "A-01/2", "A-02/1", "B-01/1"];
        assert_eq!(near("A-01/3", known.into_iter()), ["A-01/1", "A-01/2"]);
        assert_eq!(near("b-01", known.into_iter()), ["B-01/1"]);
        assert_eq!(near("x", [].into_iter()), [] as [String; 0]);
    }
}
