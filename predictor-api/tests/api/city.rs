//! A city in a lake: spots, counts, forecasts, a champion, and how they met. Everything follows from its formulas, so that
//! what a route must answer can be worked out by hand.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use catalog::{Feed, Rollup, Table};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use lake::Lake;
use serde_json::{Value, json};

/// 2022-10-07 12:00 in Seoul: a Friday.
pub fn noon() -> DateTime<Utc> {
    "2022-10-07T03:00:00Z".parse().unwrap()
}

pub struct Spot {
    pub id: String,
    pub name: String,
    pub latitude: f64,
    pub longitude: f64,
    /// Vehicles an hour at the busiest hour, into town.
    pub size: f64,
}

/// Two spots: enough to be told apart.
pub fn spots() -> Vec<Spot> {
    let spot = |id: &str, name: &str, latitude, longitude, size| Spot {
        id: id.to_owned(),
        name: name.to_owned(),
        latitude,
        longitude,
        size,
    };
    vec![spot("A-01", "성산로(금화터널)", 37.56859, 126.94844, 2000.0), spot("C-05", "양화대교", 37.54291, 126.90377, 3000.0)]
}

/// What passes in the hour that begins at `at`: a tide that peaks at 18 h, with an own size for each direction.
pub fn volume(spot: &Spot, direction: i16, at: DateTime<Utc>) -> f64 {
    let hour = (at.timestamp() / 3600 + 9).rem_euclid(24) as f64;
    let tide = 0.55 + 0.45 * ((hour - 18.0) / 24.0 * std::f64::consts::TAU).cos();
    (spot.size * tide * if direction == 1 { 1.0 } else { 0.8 }).round()
}

pub async fn add_places(lake: &Lake, spots: &[Spot], at: DateTime<Utc>) {
    let rows = spots.iter().enumerate().map(|(number, spot)| {
        json!({
            "spot": spot.id, "observed_at": stamp(at), "name": spot.name, "x": 195_000.0, "y": 450_000.0, "latitude": spot.latitude,
            "longitude": spot.longitude, "received_at": stamp(at), "topic": "traffic_spot", "generation": 0, "partition": 0, "offset": number,
        })
    });
    add(lake, &Feed::by_name("traffic_spot").unwrap().observed(), rows).await;
}

/// One landed row, so that the feed has a freshness.
pub async fn add_arrival(lake: &Lake, at: DateTime<Utc>, received_at: DateTime<Utc>) {
    let row = json!({
        "spot": "A-01", "direction": 1, "lane": 1, "observed_at": stamp(at), "volume": 300, "received_at": stamp(received_at),
        "topic": "traffic_volume", "generation": 0, "partition": 0, "offset": at.timestamp(),
    });
    add(lake, &Feed::by_name("traffic_volume").unwrap().observed(), [row]).await;
}

/// The hours of `[from, until)`, four lanes each; `lanes` may say otherwise of an hour.
pub async fn add_hours(
    lake: &Lake,
    spots: &[Spot],
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    lanes: impl Fn(&Spot, i16, DateTime<Utc>) -> i64,
) {
    let mut rows = Vec::new();
    for at in hours(from, until) {
        for spot in spots {
            rows.extend([1, 2].map(|direction| hour_row(spot, direction, at, lanes(spot, direction, at))));
        }
    }
    add(lake, &Rollup::by_name("traffic_hourly").unwrap().table(), rows).await;
}

/// One hour of one series.
pub async fn add_hour(lake: &Lake, spot: &Spot, direction: i16, at: DateTime<Utc>) {
    add(lake, &Rollup::by_name("traffic_hourly").unwrap().table(), [hour_row(spot, direction, at, 4)]).await;
}

fn hour_row(spot: &Spot, direction: i16, at: DateTime<Utc>, lanes: i64) -> Value {
    json!({
        "spot": spot.id, "direction": direction, "observed_at": stamp(at), "volume": volume(spot, direction, at) as i64, "lanes": lanes,
        "received_at": stamp(at + TimeDelta::minutes(90)),
    })
}

/// A forecast of 24 hours from `origin`: the median is a tenth too high, the band a fifth wide to each side.
pub async fn add_forecast(lake: &Lake, spots: &[Spot], origin: DateTime<Utc>, bundle: &str) {
    let mut rows = Vec::new();
    for spot in spots {
        for direction in [1, 2] {
            for horizon in 1..=24 {
                rows.push(forecast_row(spot, direction, origin, horizon, bundle));
            }
        }
    }
    add(lake, &catalog::tables::forecasts(), rows).await;
}

pub fn forecast_row(spot: &Spot, direction: i16, origin: DateTime<Utc>, horizon: i64, bundle: &str) -> Value {
    let valid_at = origin + TimeDelta::hours(horizon - 1);
    let came = volume(spot, direction, valid_at);
    json!({
        "target": "traffic_volume", "series": format!("{}/{direction}", spot.id), "issued_at": stamp(origin), "valid_at": stamp(valid_at),
        "horizon": horizon, "p10": came * 0.9, "p50": came * 1.1, "p90": came * 1.3, "naive_last": came * 1.5, "naive_day": came * 1.25,
        "naive_week": came * 1.2, "naive_week_mean": came * 1.15, "rule": "model", "bundle": bundle, "computed_at": stamp(origin + TimeDelta::minutes(31)),
    })
}

pub async fn add_champion(lake: &Lake, bundle: &str, kind: &str, decided_at: DateTime<Utc>) {
    let row = json!({
        "target": "traffic_volume", "bundle": bundle, "kind": kind, "standing": "champion", "reason": "the best on rolling origins",
        "decided_at": stamp(decided_at), "known_at": stamp(decided_at - TimeDelta::hours(1)), "fingerprint": "ab12", "scores": "{}", "path": null,
    });
    add(lake, &catalog::tables::models(), [row]).await;
}

/// Forecasts from `origins` that met what came.
pub async fn add_met(lake: &Lake, rows: impl IntoIterator<Item = Value>) {
    add(lake, &catalog::tables::accuracy(), rows).await;
}

pub async fn add(lake: &Lake, table: &Table, rows: impl IntoIterator<Item = Value>) {
    let rows: Vec<Value> = rows.into_iter().collect();
    let batch = batch(table, &rows);
    lake.table(&table.name).await.unwrap().append(&[batch], &[]).await.unwrap();
}

fn batch(table: &Table, rows: &[Value]) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(Arc::clone(&table.schema())).with_batch_size(rows.len().max(1)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(table.schema()))
}

pub fn hours(from: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    std::iter::successors(Some(from), |at| Some(*at + TimeDelta::hours(1))).take_while(move |at| *at < until)
}

pub fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What most tests look at: 30 days of counts until 11:00, forecasts of today noon and of yesterday noon, a champion. At
/// 09:00 today spot A-01 has lost a lane into town.
pub async fn usual(lake: &Lake) {
    let spots = spots();
    let lost = noon() - TimeDelta::hours(3);
    add_places(lake, &spots, noon() - TimeDelta::hours(12)).await;
    add_arrival(lake, noon() - TimeDelta::hours(2), noon() - TimeDelta::minutes(29)).await;
    let lanes =
        |spot: &Spot, direction: i16, at: DateTime<Utc>| if spot.id == "A-01" && direction == 1 && at == lost { 3 } else { 4 };
    add_hours(lake, &spots, noon() - TimeDelta::days(30), noon() - TimeDelta::hours(1), lanes).await;
    add_champion(lake, "week_mean-1", "week_mean", noon() - TimeDelta::days(3)).await;
    add_champion(lake, "lightgbm-7", "lightgbm", noon() - TimeDelta::days(1)).await;
    for days in [1, 0] {
        add_forecast(lake, &spots, noon() - TimeDelta::days(days), "lightgbm-7").await;
    }
}
