//! The whole synthetic city, with late, partial and revised values, and with an upstream that misbehaves.

use std::collections::BTreeMap;

use crate::{Producers, ProducersConfig, Resume, Secret};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use simulator::{Faults, Simulator, SimulatorConfig, Source};
use tokio_util::sync::CancellationToken;

use crate::tests::kafka::Kafka;

const KEY: &str = "0123456789abcdef0123456789abcd";

/// Volume by series and RFC 3339 hour.
type Volumes = BTreeMap<(String, DateTime<Utc>), i64>;

async fn truth(url: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Volumes {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let url = format!("{url}/truth/volume?from={}&to={}", time(from), time(to));
    let csv = reqwest::get(url).await.unwrap().error_for_status().unwrap().text().await.unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        ((cells[1..4].join("/"), cells[0].parse().unwrap()), cells[4].parse().unwrap())
    };
    csv.lines().skip(1).map(row).collect()
}

/// The last value published for each lane and hour.
async fn published(kafka: &Kafka, from: DateTime<Utc>, to: DateTime<Utc>) -> Volumes {
    let records = kafka.read("traffic_volume").await.into_iter().map(|record| {
        let json = record.json();
        ((record.key, json["observed_at"].as_str().unwrap().parse().unwrap()), json["volume"].as_i64().unwrap())
    });
    records.filter(|((_, hour), _)| (from..to).contains(hour)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_re_reads_what_was_published_last_is_the_citys_truth_though_the_upstream_misbehaved() {
    let start: DateTime<Utc> = "2022-10-01T00:00:00+09:00".parse().unwrap();
    let (clock, mut stepper) = Clock::stepped(None, start).unwrap();
    let config = SimulatorConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        source: Source::Synthetic { seed: 7 },
        keys: vec![KEY.to_owned()],
        faults: Faults {
            seed: 1,
            http_500: 0.01,
            maintenance: 0.01,
            truncated: 0.01,
            error_500: 0.01,
            error_600: 0.01,
            ..Faults::default()
        },
    };
    let simulator = Simulator::start(config, clock.clone(), CancellationToken::new()).await.unwrap();
    let kafka = Kafka::start().await;
    let config = ProducersConfig {
        base_url: simulator.url(),
        key: Secret::new(KEY),
        bootstrap: kafka.bootstrap(),
        feeds: catalog::FEEDS.to_vec(),
        progress: None,
    };
    let producers = Producers::start(config, clock.clone(), Resume::default(), CancellationToken::new()).unwrap();

    while stepper.step(start + TimeDelta::hours(2), async || ()).await.unwrap() {}
    simulator.set_faults(Faults::default()).unwrap();
    // The hours from 00 to 03 have had their last re-read half an hour after the next day's 03:00.
    while stepper.step(start + TimeDelta::hours(27) + TimeDelta::minutes(40), async || ()).await.unwrap() {}
    let status = producers.status();
    producers.stop().await;

    let (from, to) = (start, start + TimeDelta::hours(3));
    let (published, truth) = (published(&kafka, from, to).await, truth(&simulator.url(), from, to).await);
    assert!(truth.len() > 3 * 139 * 2, "{} lane-hours are a city", truth.len());
    let differing: Vec<_> = truth.iter().filter(|(lane, volume)| published.get(*lane) != Some(*volume)).take(5).collect();
    assert!(differing.is_empty(), "the truth has {differing:?}");
    assert_eq!(published.len(), truth.len());
    assert!(status.iter().all(|feed| feed.waiting == 0 && feed.alert.is_none()), "{status:?}");
    assert!(kafka.read("traffic_volume.dlq").await.len() < 20, "what a second attempt brings is no dead letter");
    simulator.stop().await;
}
