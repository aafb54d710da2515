//! Forecasts as issued, each origin once, and scored when what they spoke of comes or is revised.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{ForecastConfig, HISTORY_DAYS_MIN, Issued, Panel, Train, TrainingConfig, issue, run_forecasts, run_training, score};
use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, TimeDelta, Utc};
use clock::{Clock, Stepper};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::city::{CITY, City, Row, day, rows};

async fn count(city: &City, sql: &str) -> i64 {
    let batches = city.lake.query(sql).await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

async fn panel(city: &City, until: DateTime<Utc>) -> Panel {
    Panel::load(&city.lake, CITY, day(0), until).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_is_forecast_once() {
    let city = City::of(&rows(1, 3, 40)).await;
    let panel = panel(&city, day(41)).await;
    let first = issue(&city.lake, CITY, &panel, &mut None, day(40), day(40)).await.unwrap();
    assert!(matches!(first, Issued::Now { rows: 72, .. }), "{first:?}");
    assert_eq!(issue(&city.lake, CITY, &panel, &mut None, day(40), day(40)).await.unwrap(), Issued::Before);
    assert_eq!(
        issue(&city.lake, CITY, &panel, &mut None, day(39), day(40)).await.unwrap(),
        Issued::Before,
        "an older origin comes too late"
    );
    assert_eq!(count(&city, "SELECT count(*) FROM forecast.forecasts").await, 72);
    let wrong = "SELECT count(*) FROM forecast.forecasts WHERE NOT (0 <= p10 AND p10 <= p50 AND p50 <= p90) OR \
                 extract(epoch FROM valid_at) - extract(epoch FROM issued_at) <> (horizon - 1) * 3600";
    assert_eq!(count(&city, wrong).await, 0);
}

#[tokio::test]
async fn where_nothing_has_come_nothing_is_forecast() {
    let city = City::empty().await;
    let panel = panel(&city, day(1)).await;
    assert_eq!(issue(&city.lake, CITY, &panel, &mut None, day(0), day(0)).await.unwrap(), Issued::NothingKnown);
    assert_eq!(count(&city, "SELECT count(*) FROM forecast.forecasts").await, 0);
}

/// `forecast.accuracy`: (series, origin, time) → actual.
async fn accuracy(city: &City) -> BTreeMap<(String, i64, i64), f64> {
    let sql = "SELECT CAST(series AS VARCHAR) AS series, issued_at, valid_at, actual FROM forecast.accuracy";
    let mut rows = BTreeMap::new();
    for batch in city.lake.query(sql).await.unwrap() {
        let series = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
        let at = |index: usize| batch.column(index).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let key = (series.as_string::<i32>().value(row).to_owned(), at(1).value(row), at(2).value(row));
            let twice = rows.insert(key, batch.column(3).as_primitive::<Float64Type>().value(row));
            assert_eq!(twice, None, "each forecast is scored once");
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forecasts_meet_what_came_and_are_scored_anew_when_it_is_revised() {
    let all = rows(1, 2, 42);
    let origin = day(40);
    let known = |until: DateTime<Utc>, from: DateTime<Utc>| -> Vec<Row> {
        all.iter().filter(|row| row.received_at <= until && row.received_at > from).cloned().collect()
    };
    let mut city = City::of(&known(origin, day(-1))).await;
    let mut panel = panel(&city, day(42)).await;
    issue(&city.lake, CITY, &panel, &mut None, origin, origin).await.unwrap();
    score(&city.lake, CITY, &panel).await.unwrap();
    assert!(accuracy(&city).await.is_empty(), "nothing has come yet");

    let mut seen = origin;
    for hours in [3, 8, 30] {
        let now = origin + TimeDelta::hours(hours);
        city.land(&known(now, seen)).await;
        seen = now;
        panel.refresh(day(42), 42).await.unwrap();
        score(&city.lake, CITY, &panel).await.unwrap();
        // What the rollup's own query says of all that has been received by now.
        let mut expected = BTreeMap::new();
        let mut volumes: BTreeMap<(usize, i64), BTreeMap<i16, (DateTime<Utc>, i32)>> = BTreeMap::new();
        for row in all.iter().filter(|row| row.received_at <= now) {
            let lanes = volumes.entry((row.spot, row.observed_at.timestamp_micros())).or_default();
            let newest = lanes.entry(row.lane).or_insert((row.received_at, row.volume));
            if newest.0 <= row.received_at {
                *newest = (row.received_at, row.volume);
            }
        }
        for ((spot, at), lanes) in volumes {
            let valid = DateTime::from_timestamp_micros(at).unwrap();
            if valid >= origin && valid < origin + TimeDelta::hours(24) && lanes.len() == 2 {
                let sum: i32 = lanes.values().map(|(_, volume)| volume).sum();
                expected.insert((format!("A-{spot:02}/1"), origin.timestamp_micros(), at), f64::from(sum));
            }
        }
        assert_eq!(accuracy(&city).await, expected, "{hours} h after the origin");
    }
    let version = city.lake.table(&catalog::tables::accuracy().name).await.unwrap().version();
    score(&city.lake, CITY, &panel).await.unwrap();
    assert_eq!(
        city.lake.table(&catalog::tables::accuracy().name).await.unwrap().version(),
        version,
        "scored twice is scored once"
    );
}

/// More than any test here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Moves a city until `until`, saying what it waits for.
async fn step(stepper: &mut Stepper, until: DateTime<Utc>) {
    while in_time("a step of the city", stepper.step(until, async || ())).await.unwrap() {}
    // The last jump woke those who had waited for it: until they sleep again.
    in_time("the work due at the end", stepper.step(until, async || ())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_stepped_clock_every_hour_is_forecast_from_what_was_known_then() {
    let all = rows(1, 2, 41);
    let begin = day(40) - TimeDelta::hours(1);
    let before: Vec<Row> = all.iter().filter(|row| row.received_at <= begin).cloned().collect();
    let city = Arc::new(tokio::sync::Mutex::new(City::of(&before).await));
    let lake = city.lock().await.lake.clone();
    let (clock, mut stepper) = Clock::stepped(None, begin).unwrap();

    // Whoever waits for what was received by an instant lands it: as the processor would have.
    let landed = {
        let (city, all, through) = (city.clone(), Arc::new(all), Arc::new(tokio::sync::Mutex::new(begin)));
        Arc::new(move |at: DateTime<Utc>| {
            let (city, all, through) = (city.clone(), all.clone(), through.clone());
            Box::pin(async move {
                let mut through = through.lock().await;
                let rows: Vec<Row> =
                    all.iter().filter(|row| row.received_at > *through && row.received_at <= at).cloned().collect();
                if !rows.is_empty() {
                    city.lock().await.land(&rows).await;
                }
                *through = at.max(*through);
            }) as BoxFuture<'static, ()>
        })
    };
    let cancel = CancellationToken::new();
    let forecasts = run_forecasts(lake.clone(), clock.clone(), ForecastConfig { target: CITY }, landed, cancel.clone());
    waits(&mut stepper, begin + TimeDelta::hours(6)).await;
    let running = tokio::spawn(forecasts);
    step(&mut stepper, begin + TimeDelta::hours(6)).await;
    cancel.cancel();
    in_time("the end of the forecasts", running).await.unwrap().unwrap();

    let city = city.lock().await;
    assert_eq!(count(&city, "SELECT count(DISTINCT issued_at) FROM forecast.forecasts").await, 7);
    assert_eq!(count(&city, "SELECT count(*) FROM forecast.forecasts").await, 7 * 2 * 24);
    assert!(!accuracy(&city).await.is_empty(), "the first hours have come");
    // An hour whose value was received after the origin was not known: `last` is two hours old.
    assert_eq!(count(&city, "SELECT count(*) FROM forecast.forecasts WHERE computed_at < issued_at").await, 0);
}

/// Sees a stepped clock stand, for whoever has been called but never polled.
async fn waits(stepper: &mut Stepper, until: DateTime<Utc>) {
    const MOMENT: Duration = Duration::from_millis(100);
    let left = tokio::time::timeout(MOMENT, stepper.step(until, async || ())).await;
    assert!(left.is_err(), "the clock left before the work that is due had begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stepped_clock_stands_while_a_training_runs_and_each_day_sees_one() {
    let city = City::of(&rows(1, 2, 41)).await;
    // The 77th day of history, the first on which trees can be grown, ends five hours after the beginning.
    let begin = day(HISTORY_DAYS_MIN) - TimeDelta::hours(5);
    let (clock, mut stepper) = Clock::stepped(None, begin).unwrap();
    let trained = Arc::new(Mutex::new(Vec::new()));
    let train: Train = {
        let (clock, trained) = (clock.clone(), trained.clone());
        Arc::new(move |known_at| {
            let (clock, trained) = (clock.clone(), trained.clone());
            Box::pin(async move {
                let begun = clock.now();
                tokio::time::sleep(Duration::from_millis(50)).await;
                trained.lock().unwrap().push((known_at, clock.now() - begun));
                anyhow::bail!("a training that fails is over, too")
            }) as BoxFuture<'static, anyhow::Result<()>>
        })
    };
    let cancel = CancellationToken::new();
    let training = run_training(city.lake.clone(), clock, TrainingConfig::daily(CITY), train, cancel.clone());
    waits(&mut stepper, begin + TimeDelta::days(3)).await;
    let running = tokio::spawn(training);
    step(&mut stepper, begin + TimeDelta::days(3)).await;
    cancel.cancel();
    in_time("the end of the training", running).await.unwrap().unwrap();

    // As soon as there is history enough, at midnight; then daily at 03:40, on what was known at 03:00.
    let three = TimeDelta::hours(3);
    let expected = [0, 0, 1, 2].map(|days| day(HISTORY_DAYS_MIN + days));
    let expected = [expected[0], expected[1] + three, expected[2] + three, expected[3] + three];
    assert_eq!(*trained.lock().unwrap(), expected.map(|known_at| (known_at, TimeDelta::zero())));
}
