//! `hangang walk FEED SERIES`: asks the upstream now, and prints what every stage makes of the answer. It only looks:
//! nothing is published, nothing is landed.

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use catalog::{FEEDS, Feed, ROLLUPS, TARGETS};
use clap::Args;
use lake::Lake;
use producers::{Ask, Fetcher, Observation, Source, parse, record, request};
use stream_processor::check::{Checker, Record};

use crate::city::City;
use crate::config::Config;
use crate::topics::example_key;
use crate::{screen, stages};

#[derive(Args)]
pub struct WalkArgs {
    /// A feed, as traffic_volume
    feed: String,
    /// A series of it, or its first parts: A-01, A-01/1, A-01/1/2
    series: String,
}

/// Rows of one stage that are printed.
const ROWS_MAX: usize = 12;
/// Bytes of the answer that are printed.
const ANSWER_BYTES_MAX: usize = 600;

pub async fn run(config: Config, args: WalkArgs) -> anyhow::Result<()> {
    let Some(feed) = Feed::by_name(&args.feed) else {
        let known: Vec<&str> = FEEDS.iter().map(|feed| feed.name).collect();
        bail!("there is no feed \"{}\"; there are {}", args.feed, known.join(", "));
    };
    let source = Source::by_name(feed.name).with_context(|| format!("\"{}\" is not polled", feed.name))?;
    let city = City::join(&config).await?;
    let lake = stages::open_lake(&config).await?;
    let observations = upstream(&city, source, &args.series).await?;
    checked(&city, feed, &observations)?;
    let known = landed(&lake, feed, &args.series).await?;
    if observations.is_empty() && known == 0 {
        bail!(
            "neither the answer nor the lake knows a series \"{}\" of {}; its series are named by {}, as {}",
            args.series,
            feed.name,
            feed.series.join("/"),
            example_key(feed)
        );
    }
    Ok(())
}

/// Steps 1 to 4: ask, fetch, parse, and the record that would be published.
async fn upstream(city: &City, source: &'static Source, series: &str) -> anyhow::Result<Vec<(Observation, String)>> {
    let place = series.split(catalog::record::SERIES_SEPARATOR).next();
    let ask = Ask::now(source, place.filter(|_| source.by.is_some()), city.clock.now());
    step(1, "ask", &format!("{} for the interval from {}", source.feed.name, screen::kst(ask.interval)));
    let asked = request(&ask, 1);
    let fetcher = Fetcher::new(&city.seoul_url, city.key.clone(), city.clock.clone()).map_err(anyhow::Error::msg)?;
    let response = fetcher.fetch(&asked).await.with_context(|| format!("GET {asked}"))?;
    step(2, "fetch", &format!("GET {asked}: {} bytes, complete at {}", response.bytes.len(), screen::kst(response.received_at)));
    let text = String::from_utf8_lossy(&response.bytes);
    let shown: String = text.chars().take(ANSWER_BYTES_MAX).collect();
    lines([format!("{shown}{}", if shown.len() < text.len() { " …" } else { "" })]);

    let answer = parse(source, &asked, &response.bytes, response.received_at)?;
    let of_series: Vec<Observation> = answer.observations.into_iter().filter(|row| begins(&row.series(), series)).collect();
    step(3, "parse", &format!("{} observations of {series}, {} rows in all", of_series.len(), answer.total));
    step(4, "publish", "the records, keyed by series, stamped with observed_at (a walk publishes nothing)");
    let rows: Vec<(Observation, String)> = of_series
        .into_iter()
        .map(|observation| {
            let payload = record(&observation, response.received_at).payload;
            (observation, payload)
        })
        .collect();
    lines(rows.iter().map(|(observation, payload)| format!("{}  {payload}", observation.series())));
    Ok(rows)
}

/// Steps 5 and 6: what the processor would make of the records.
fn checked(city: &City, feed: &'static Feed, rows: &[(Observation, String)]) -> anyhow::Result<()> {
    let keys: Vec<String> = rows.iter().map(|(observation, _)| observation.series()).collect();
    let records = rows.iter().zip(&keys).zip(0i64..).map(|(((_, payload), key), offset)| Record {
        generation: 0,
        partition: 0,
        offset,
        key: Some(key.as_bytes()),
        payload: Some(payload.as_bytes()),
    });
    let checked = Checker::new(feed).check(city.clock.now(), records.collect::<Vec<_>>().into_iter());
    step(6, "check", &format!("{} keep the contract, {} are refused", checked.rows.num_rows(), checked.refused.len()));
    lines(checked.refused.iter().map(|refused| format!("{:?}", refused.refusal)));
    Ok(())
}

/// Steps 7 to 11: what stands in the lake of the series. Gives how many of its observations are shown.
async fn landed(lake: &Lake, feed: &'static Feed, series: &str) -> anyhow::Result<usize> {
    let known = table(lake, 7, "land", &format!("observed.{}", feed.name), feed.series, series, "received_at").await?;
    for rollup in ROLLUPS.iter().filter(|rollup| rollup.feed.name == feed.name) {
        table(lake, 8, "roll up", &format!("rollup.{}", rollup.name), rollup.keys, series, "observed_at").await?;
        for target in TARGETS.iter().filter(|target| target.rollup.name == rollup.name) {
            let id: Vec<&str> = series.split(catalog::record::SERIES_SEPARATOR).take(target.series.len()).collect();
            let id = id.join(catalog::record::SERIES_SEPARATOR).replace('\'', "''");
            let query = format!(
                "SELECT series, issued_at, valid_at, horizon, p10, p50, p90, rule, bundle FROM forecast.forecasts \
                 WHERE target = '{}' AND (series = '{id}' OR series LIKE '{id}/%') \
                 ORDER BY issued_at DESC, valid_at, series LIMIT {ROWS_MAX}",
                target.name
            );
            rows(lake, 11, "forecast", "forecast.forecasts, the newest", &query).await?;
        }
    }
    Ok(known)
}

async fn table(
    lake: &Lake,
    number: u32,
    verb: &str,
    name: &str,
    keys: &[&str],
    series: &str,
    newest: &str,
) -> anyhow::Result<usize> {
    let parts = series.split(catalog::record::SERIES_SEPARATOR);
    let condition: Vec<String> = keys
        .iter()
        .zip(parts)
        .filter(|(key, _)| **key != "observed_at")
        .map(|(key, value)| format!("CAST({key} AS VARCHAR) = '{}'", value.replace('\'', "''")))
        .collect();
    let query = format!("SELECT * FROM {name} WHERE {} ORDER BY {newest} DESC LIMIT {ROWS_MAX}", condition.join(" AND "));
    rows(lake, number, verb, &format!("{name}, the newest"), &query).await
}

async fn rows(lake: &Lake, number: u32, verb: &str, what: &str, query: &str) -> anyhow::Result<usize> {
    let batches = lake.query(query).await?;
    let found = batches.iter().map(RecordBatch::num_rows).sum();
    step(number, verb, what);
    match found {
        0 => lines(["nothing yet".to_owned()]),
        _ => lines(arrow::util::pretty::pretty_format_batches(&batches)?.to_string().lines().map(str::to_owned)),
    }
    Ok(found)
}

fn begins(series: &str, prefix: &str) -> bool {
    series.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(catalog::record::SERIES_SEPARATOR))
}

fn step(number: u32, verb: &str, what: &str) {
    println!("\n{number:>2} {verb:<9} {what}");
}

fn lines(texts: impl IntoIterator<Item = String>) {
    for text in texts {
        println!("             {text}");
    }
}
