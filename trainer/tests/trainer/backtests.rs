//! Backtests and training end to end: no leak, equal bytes, and on the real archive the bars.

use std::sync::Arc;

use crate::{Panel, Recipe, Registry, TrainOptions, TrainReport, backtest, ensure_champion, fit, train_once};
use catalog::kst::midnight_kst;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clock::Clock;
use forecaster::Forecast;

use super::city::{CITY, City, Random, Row, day, rows};
use super::{archive, city};

/// Small enough for a test, large enough to learn.
fn small() -> Recipe {
    Recipe { rows: 6000, trees: [10, 30, 10], leaves: [7, 15, 7], leaf_rows_min: 50, holdout_origins: 20, ..Recipe::default() }
}

fn silent() -> Arc<dyn Fn(u64, u64) + Send + Sync> {
    Arc::new(|_, _| ())
}

async fn forecasts_at(city: &City, known_at: DateTime<Utc>, origin: DateTime<Utc>) -> (Vec<u8>, Vec<Forecast>) {
    let panel = Panel::load(&city.lake, CITY, day(0), origin + TimeDelta::days(1)).await.unwrap();
    let bundle = fit(panel.history(), CITY, known_at, &small(), &|_, _| ()).unwrap().bundle;
    let forecasts = bundle.forecast(panel.history(), &[origin], origin).unwrap();
    (bundle.to_bytes(), forecasts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forecasts_stay_identical_when_what_came_after_their_origin_is_deleted_or_scrambled() {
    const DAYS: i64 = 100;
    let known_at = day(90);
    let all = rows(11, 4, DAYS);
    let whole = City::of(&all).await;
    for origin in [day(90), day(93), day(96)] {
        let as_it_was = forecasts_at(&whole, known_at, origin).await;
        assert_eq!(as_it_was.1.len(), 4 * 24);
        assert!(as_it_was.1.iter().any(|forecast| forecast.source.name() == "model"), "the model speaks");

        let received: Vec<Row> = all.iter().filter(|row| row.received_at <= origin).cloned().collect();
        assert!(received.len() < all.len(), "there is something to delete");
        assert!(as_it_was == forecasts_at(&City::of(&received).await, known_at, origin).await, "deleted: origin {origin}");

        let mut random = Random(5);
        let scrambled: Vec<Row> = all
            .iter()
            .cloned()
            .map(|row| if row.received_at > origin { Row { volume: random.below(30_000) as i32, ..row } } else { row })
            .collect();
        assert!(as_it_was == forecasts_at(&City::of(&scrambled).await, known_at, origin).await, "scrambled: origin {origin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_known_is_the_rollups_query_over_what_had_been_received() {
    let all = rows(23, 3, 5);
    let city = City::of(&all).await;
    let panel = Panel::load(&city.lake, CITY, day(0), day(6)).await.unwrap();
    let mut random = Random(99);
    let mut revised = 0;
    for _ in 0..40 {
        let origin = day(0) + TimeDelta::hours(3 + random.below(140) as i64);
        let received: Vec<Row> = all.iter().filter(|row| row.received_at <= origin).cloned().collect();
        let rolled = lake::run_rollup(CITY.rollup, vec![city::batch(&received, 0)]).await.unwrap();
        let known = forecaster::Known::at(panel.history(), origin).unwrap();
        let mut values = 0;
        for batch in &rolled {
            use arrow::array::AsArray;
            use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
            let spot = arrow::compute::cast(batch.column_by_name("spot").unwrap(), &arrow::datatypes::DataType::Utf8).unwrap();
            let at = batch.column_by_name("observed_at").unwrap().as_primitive::<TimestampMicrosecondType>();
            let volume = batch.column_by_name("volume").unwrap().as_primitive::<Int64Type>();
            let lanes = batch.column_by_name("lanes").unwrap().as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let series = panel.history().index_of(&format!("{}/1", spot.as_string::<i32>().value(row))).unwrap();
                let step = panel.history().step_of(DateTime::from_timestamp_micros(at.value(row)).unwrap()).unwrap();
                // One of the usual two lanes: null by decision 4.
                let expected = (lanes.value(row) >= 2).then(|| volume.value(row) as f64);
                assert_eq!(known.value(series, step), expected, "origin {origin}, step {step}");
                revised += usize::from(expected.is_none());
                values += usize::from(expected.is_some());
            }
        }
        let seen = (0..3).flat_map(|series| (0..24 * 6).map(move |step| (series, step)));
        assert_eq!(seen.filter(|&(series, step)| known.value(series, step).is_some()).count(), values, "nothing else is known");
    }
    assert!(revised > 0, "some hour was seen with one lane only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_follows_the_table_is_one_that_is_read_anew() {
    let mut all = rows(31, 3, 12);
    all.sort_by_key(|row| row.received_at);
    let (first, rest) = all.split_at(all.len() / 2);
    let mut city = City::of(first).await;
    let mut panel = Panel::load(&city.lake, CITY, day(0), day(8)).await.unwrap();
    for part in rest.chunks(rest.len() / 6 + 1) {
        city.land(part).await;
        panel.refresh(day(12), 12).await.unwrap();
        let anew = Panel::load(&city.lake, CITY, panel.history().start(), day(12)).await.unwrap();
        for origin in [day(5), day(7), day(9), day(13)] {
            assert_eq!(panel.history().fingerprint(origin), anew.history().fingerprint(origin), "as known at {origin}");
        }
    }
    let mut stranger = rows(31, 4, 12);
    stranger.retain(|row| row.spot == 3);
    city.land(&stranger).await;
    panel.refresh(day(12), 12).await.unwrap();
    assert_eq!(panel.history().series().len(), 4, "a spot that was never seen before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_makes_a_champion_that_is_better_than_the_rules_and_then_waits_to_be_better_than_itself() {
    let city = City::of(&rows(3, 6, 100)).await;
    let options = TrainOptions { recipe: small() };
    // A training takes its time: it is decided later than what it is fitted on.
    let (clock, _stepper) = Clock::stepped(None, day(101)).unwrap();
    let too_early = train_once(&city.lake, CITY, day(60), &clock, &options, silent()).await.unwrap();
    assert!(matches!(too_early, TrainReport::TooEarly { days: 60, .. }), "{too_early:?}");

    let history = Panel::load(&city.lake, CITY, day(0), day(100)).await.unwrap().shared_history();
    let rule = ensure_champion(&city.lake, CITY, &history, day(99), day(99), None).await.unwrap().unwrap();
    let report = train_once(&city.lake, CITY, day(100), &clock, &options, silent()).await.unwrap();
    let TrainReport::Judged { bundle, verdict } = report else { panic!("{report:?}") };
    assert!(verdict.passed, "{}", verdict.reason);
    let registry = Registry::read(&city.lake, CITY).await.unwrap();
    assert_eq!(registry.champion().unwrap().bundle, bundle);
    assert_eq!(registry.champion().unwrap().kind, "lightgbm");
    assert_eq!((registry.champion().unwrap().known_at, registry.champion().unwrap().decided_at), (day(100), day(101)));
    assert_eq!(registry.state(rule.id()).unwrap().standing, "retired");

    // The same again is the same bundle, and stays what it is.
    let again = train_once(&city.lake, CITY, day(100), &clock, &options, silent()).await.unwrap();
    let TrainReport::Before { bundle: same, standing } = again else { panic!("{again:?}") };
    assert_eq!((same, standing.as_str()), (bundle.clone(), "champion"), "equal data, equal bundle");

    // Of what was known an hour before another is made: nothing has come since by which to tell the two apart.
    let later = train_once(&city.lake, CITY, day(100) - TimeDelta::hours(1), &clock, &options, silent()).await.unwrap();
    let TrainReport::Judged { bundle: other, verdict } = later else { panic!("{later:?}") };
    assert!(!verdict.passed && verdict.reason.contains("too young"), "{}", verdict.reason);
    let registry = Registry::read(&city.lake, CITY).await.unwrap();
    assert_eq!(registry.state(&other).unwrap().standing, "refused");
    assert_eq!(registry.champion().unwrap().bundle, bundle, "refused, it changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backtest_writes_every_series_origin_and_horizon() {
    let city = City::of(&rows(3, 3, 125)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backtest.parquet");
    let date = |text: &str| text.parse::<NaiveDate>().unwrap();
    let seen = Arc::new(std::sync::Mutex::new((0, 0)));
    let progress = seen.clone();
    let report = backtest(
        &city.lake,
        CITY,
        date("2022-09-29"),
        date("2022-10-02"),
        Some(&file),
        &small(),
        Arc::new(move |done, total| *progress.lock().unwrap() = (done, total)),
    )
    .await
    .unwrap();
    assert_eq!((report.origins, report.series, report.rows, report.bundles.len()), (4, 3, 4 * 3 * 24, 2));
    assert_eq!(report.by_horizon.len(), 24);
    let (done, total) = *seen.lock().unwrap();
    assert_eq!(done, total, "progress ends at its end");

    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file).unwrap()).unwrap();
    let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(
        names.join(" "),
        "target series issued_at valid_at horizon p10 p50 p90 naive_last naive_day naive_week naive_week_mean rule bundle actual"
    );
    assert_eq!(reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 4 * 3 * 24);

    let early = backtest(&city.lake, CITY, date("2022-07-01"), date("2022-07-01"), None, &small(), silent()).await.unwrap_err();
    assert!(early.to_string().contains("at its month's beginning on"), "{early}");
}

/// `HANGANG_BACKTEST=2022-09-01,2022-10-31,file.parquet cargo test -p trainer -- --ignored --nocapture the_archive`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two months of the archive take minutes; prints a table"]
async fn the_archive_backtested() {
    let Some(file) = archive::traffic_file() else { return };
    let asked = std::env::var("HANGANG_BACKTEST").unwrap_or_else(|_| "2022-09-01,2022-10-31,/dev/null".to_owned());
    let [from, to, output] = asked.split(',').collect::<Vec<_>>()[..] else { panic!("HANGANG_BACKTEST=FROM,TO,FILE") };
    let (from, to): (NaiveDate, NaiveDate) = (from.parse().unwrap(), to.parse().unwrap());
    let city = City::empty().await;
    archive::land(&city.lake, &file, midnight_kst(to) + TimeDelta::days(1)).await;
    let started = std::time::Instant::now();
    let report = backtest(&city.lake, CITY, from, to, Some(output.as_ref()), &Recipe::default(), silent()).await.unwrap();
    let show = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    println!("horizon rows MAE WAPE coverage | MAE / that of last day week week_mean");
    for (name, score) in report
        .by_horizon
        .iter()
        .enumerate()
        .map(|(index, s)| ((index + 1).to_string(), s))
        .chain([("all".into(), &report.overall)])
    {
        let ratios: Vec<String> = score.rules.iter().map(|rule| show(rule.skill.map(|skill| 1.0 - skill))).collect();
        println!(
            "{name} {} {} {} {} | {}",
            score.rows,
            show(score.mae),
            show(score.wape),
            show(score.coverage),
            ratios.join(" ")
        );
    }
    println!("{} origins, {} series, {:.0} s", report.origins, report.series, started.elapsed().as_secs_f64());
    let week = report.overall.rules[2].skill.unwrap();
    assert!(1.0 - week <= 0.62, "MAE against last week's");
    assert!((0.77..=0.83).contains(&report.overall.coverage.unwrap()), "coverage");
}
