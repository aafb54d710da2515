//! `/v1/series`: the series of a target, with the places where they are counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::body::Body;
use crate::edition::Part;
use crate::observations;
use crate::places::{self, Place};
use crate::problem::Problem;
use crate::routes::target;
use crate::times::kst;

#[derive(Serialize, ToSchema)]
pub struct SeriesList {
    target: &'static str,
    /// Ascending by id: all that were observed in the last four weeks, and all that the newest forecast speaks of.
    series: Vec<SeriesSummary>,
}

#[derive(Serialize, ToSchema)]
pub struct SeriesSummary {
    /// Its id.
    #[schema(example = "A-01/1")]
    series: String,
    /// The id's parts by column.
    #[schema(example = json!({"spot": "A-01", "direction": "1"}))]
    parts: BTreeMap<&'static str, String>,
    /// Where it is counted; null where the target has no places or the spot's isn't known yet.
    place: Option<Place>,
    /// Start of the newest interval that was observed (KST); null where none was in the last four weeks.
    newest_at: Option<DateTime<FixedOffset>>,
    /// What the newest forecast of it rests on: `model`, or the naive rule that stands in; null where there is none.
    rule: Option<String>,
}

/// Every series of a target.
#[utoipa::path(
    get, path = "/v1/series", tag = "forecasts",
    params(("target" = String, Query, description = "Name of the target", example = "traffic_volume")),
    responses(
        (status = 200, body = SeriesList),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Unknown target"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The lake can't be read")
    )
)]
pub async fn get(State(app): State<Arc<App>>, request: Request) -> Response {
    app.answer(request, &[Part::Observations, Part::Forecasts, Part::Places], |mut asked| async move {
        let name = asked.params.required("target", "the name of a target, as traffic_volume");
        asked.params.finish()?;
        let target = target(&name)?;
        let lake = &asked.app.lake;
        let places = if places::has_places(target) { places::read(lake).await? } else { HashMap::new() };
        let mut newest_at: BTreeMap<String, Option<DateTime<FixedOffset>>> = observations::seen_lately(lake, target)
            .await?
            .into_iter()
            .map(|seen| (seen.series, Some(kst(seen.newest_at))))
            .collect();
        let forecast = asked.edition.headline(target).forecast.clone();
        for entry in forecast.iter().flat_map(|forecast| &forecast.series) {
            newest_at.entry(entry.series.clone()).or_default();
        }
        let series = newest_at.into_iter().map(|(series, newest_at)| SeriesSummary {
            parts: target.series.iter().copied().zip(series.split('/').map(str::to_owned)).collect(),
            place: places.get(places::spot_of(&series)).cloned(),
            newest_at,
            rule: forecast.as_ref().and_then(|forecast| forecast.get(&series)).map(|entry| entry.rule.clone()),
            series,
        });
        Ok(Body::json(&SeriesList { target: target.name, series: series.collect() }))
    })
    .await
}
