//! From a broker to the lake: the embedded broker, librdkafka's producer, a real folder.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Loss, Processor, ProcessorConfig, Unsettled, accept_loss, new_generation};
use broker::{Broker, BrokerConfig};
use catalog::feeds::traffic_volume::FEED;
use catalog::record;
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use futures::future::join_all;
use lake::Lake;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::tests::lakes::{self, number};

/// What a settled city takes at most here; far more than needed, so that a hang is a failure and not a wait.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

struct City {
    folder: tempfile::TempDir,
    broker: Broker,
    lake: Lake,
    clock: Clock,
    config: ProcessorConfig,
}

fn now() -> DateTime<Utc> {
    "2022-10-31T00:00:00Z".parse().unwrap()
}

async fn broker_at(folder: &Path) -> Broker {
    Broker::start(BrokerConfig::new(folder, SocketAddr::from(([127, 0, 0, 1], 0)))).await.unwrap()
}

impl City {
    async fn new() -> City {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker_at(&folder.path().join("kafka")).await;
        let lake = lakes::open(&folder.path().join("lake")).await;
        let mut config = ProcessorConfig::new(broker.addr().to_string(), "hangang");
        config.feeds = vec![&FEED];
        let clock = Clock::scaled(&folder.path().join("clock"), now(), 1.0).unwrap();
        City { folder, broker, lake, clock, config }
    }

    /// The same lake, and a broker that has forgotten everything.
    async fn wiped(self) -> City {
        self.broker.stop().await;
        std::fs::remove_dir_all(self.folder.path().join("kafka")).unwrap();
        let broker = broker_at(&self.folder.path().join("kafka")).await;
        let config = ProcessorConfig { bootstrap: broker.addr().to_string(), ..self.config };
        City { broker, config, ..self }
    }

    async fn processor(&self) -> Processor {
        Processor::start(self.lake.clone(), self.clock.clone(), self.config.clone()).await.unwrap()
    }

    /// Starts a processor, waits until everything has arrived, and stops it.
    async fn process(&self) -> Result<(), Unsettled> {
        let processor = self.processor().await;
        let settled = tokio::time::timeout(SETTLED_WITHIN, processor.settled())
            .await
            .unwrap_or_else(|_| panic!("not settled: {:?}", processor.status()));
        processor.stop().await;
        settled
    }

    fn producer(&self) -> FutureProducer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.config.bootstrap)
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .create()
            .unwrap()
    }

    /// Publishes records of a topic: partition, key, payload.
    async fn publish(&self, topic: &str, records: impl IntoIterator<Item = (i32, String, String)>) {
        let producer = self.producer();
        let records: Vec<_> = records.into_iter().collect();
        let sends = records.iter().map(|(partition, key, payload)| {
            producer.send(FutureRecord::to(topic).partition(*partition).key(key).payload(payload), Duration::from_secs(30))
        });
        for sent in join_all(sends).await {
            sent.unwrap();
        }
    }
}

/// The `n`th of an endless run of records: another lane, spot and hour each.
fn nth(n: i64, volume: i64) -> (i32, String, String) {
    let (spot, direction, lane) = (n % 139, n % 2 + 1, n % 3 + 1);
    let observed_at = "2022-09-30T15:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(n / 834 % 700);
    let received_at = observed_at + TimeDelta::minutes(90);
    let key = format!("{}-{:02}/{direction}/{lane}", ["A", "B", "C", "D"][spot as usize % 4], spot);
    let payload = format!(
        r#"{{"spot":"{}","direction":{direction},"lane":{lane},"observed_at":"{}","volume":{volume},"received_at":"{}"}}"#,
        key.split('/').next().unwrap(),
        observed_at.format("%FT%TZ"),
        received_at.format("%FT%T%.6fZ"),
    );
    ((n % i64::from(FEED.partitions)) as i32, key, payload)
}

fn good(range: std::ops::Range<i64>) -> impl Iterator<Item = (i32, String, String)> {
    range.map(|n| nth(n, n % 1000))
}

async fn observed(lake: &Lake) -> i64 {
    number(lake, "SELECT count(*) FROM observed.traffic_volume").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_stands_once_in_observed_or_quarantine() {
    let city = City::new().await;
    city.process().await.unwrap();
    city.publish(FEED.topic(), good(0..2000)).await;
    let (partition, key, payload) = nth(7, 40_000);
    city.publish(FEED.topic(), [(partition, key, payload), (1, "x".into(), "<html>".into())]).await;
    city.process().await.unwrap();
    // Another start, with nothing new and then with more, repeats nothing.
    city.process().await.unwrap();
    city.publish(FEED.topic(), good(2000..2500)).await;
    city.process().await.unwrap();

    assert_eq!(observed(&city.lake).await, 2500);
    assert_eq!(
        number(
            &city.lake,
            "SELECT count(*) FROM (SELECT DISTINCT topic, generation, \"partition\", \"offset\" FROM observed.traffic_volume)"
        )
        .await,
        2500
    );
    insta::assert_snapshot!(
        lakes::table(&city.lake, "SELECT feed, reason, detail, topic, generation, \"partition\", key, arrow_cast(payload, 'Utf8') AS payload FROM ops.quarantine ORDER BY reason").await,
        @r#"
    +----------------+--------------+------------------------------------------------------------------------------------+----------------+------------+-----------+----------+----------------------------------------------------------------------------------------------------------------------------------------+
    | feed           | reason       | detail                                                                             | topic          | generation | partition | key      | payload                                                                                                                                |
    +----------------+--------------+------------------------------------------------------------------------------------+----------------+------------+-----------+----------+----------------------------------------------------------------------------------------------------------------------------------------+
    | traffic_volume | not_json     | the record is not JSON: expected value at line 1 column 1; it begins with "<html>" | traffic_volume | 0          | 1         | x        | <html>                                                                                                                                 |
    | traffic_volume | out_of_range | volume is 40000, outside 0 to 30000                                                | traffic_volume | 0          | 3         | D-07/2/2 | {"spot":"D-07","direction":2,"lane":2,"observed_at":"2022-09-30T15:00:00Z","volume":40000,"received_at":"2022-09-30T16:30:00.000000Z"} |
    +----------------+--------------+------------------------------------------------------------------------------------+----------------+------------+-----------+----------+----------------------------------------------------------------------------------------------------------------------------------------+
    "#
    );
    lakes::rollups_equal_their_sql(&city.lake).await;
    assert!(number(&city.lake, "SELECT count(*) FROM rollup.traffic_hourly").await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processors_share_the_partitions_and_land_each_record_once() {
    let city = City::new().await;
    let first = city.processor().await;
    city.publish(FEED.topic(), good(0..3000)).await;
    let other = lakes::open(&city.folder.path().join("lake")).await;
    let second = Processor::start(other, city.clock.clone(), city.config.clone()).await.unwrap();
    for part in 1..6 {
        city.publish(FEED.topic(), good(part * 3000..(part + 1) * 3000)).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    tokio::time::timeout(SETTLED_WITHIN, first.settled()).await.unwrap().unwrap();
    second.stop().await;
    city.publish(FEED.topic(), good(18_000..20_000)).await;
    tokio::time::timeout(SETTLED_WITHIN, first.settled()).await.unwrap_or_else(|_| panic!("{:?}", first.status())).unwrap();
    assert_eq!(first.status().lag.values().sum::<i64>(), 0);
    first.stop().await;
    assert_eq!(observed(&city.lake).await, 20_000);
    assert_eq!(
        number(&city.lake, "SELECT count(*) FROM (SELECT DISTINCT \"partition\", \"offset\" FROM observed.traffic_volume)").await,
        20_000
    );
    lakes::rollups_equal_their_sql(&city.lake).await;
}

/// A member that was given nothing must answer all the same, or the group waits for it at its next decision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_processors_than_partitions_come_and_go() {
    let mut city = City::new().await;
    city.config.client.insert("heartbeat.interval.ms".to_owned(), "200".to_owned());
    let count = FEED.partitions as i64 + 2;
    let mut running = Vec::new();
    let settled = async |running: &[Processor], round: i64| {
        city.publish(FEED.topic(), good(round * 100..(round + 1) * 100)).await;
        for processor in running {
            let settled = tokio::time::timeout(SETTLED_WITHIN, processor.settled()).await;
            settled.unwrap_or_else(|_| panic!("round {round}: {:?}", processor.status())).unwrap();
        }
    };
    for round in 0..count {
        running.push(city.processor().await);
        // Long enough to be known to the group, so that its next decision is about all of them.
        tokio::time::sleep(Duration::from_millis(800)).await;
        settled(&running, round).await;
    }
    for round in count..2 * count - 1 {
        running.remove(0).stop().await;
        settled(&running, round).await;
    }
    running.remove(0).stop().await;
    assert_eq!(observed(&city.lake).await, (2 * count - 1) * 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_sent_twice_is_quarantined_once_and_one_without_a_source_each_time() {
    let city = City::new().await;
    city.process().await.unwrap();
    let producer = city.producer();
    let topic = FEED.dead_letter_topic();
    let send = async |offset: Option<&str>| {
        let mut headers = OwnedHeaders::new().insert(Header { key: record::HEADER_REASON, value: Some("out_of_range") });
        if let Some(offset) = offset {
            for (key, value) in [
                (record::HEADER_TOPIC, FEED.topic()),
                (record::HEADER_GENERATION, "0"),
                (record::HEADER_PARTITION, "2"),
                (record::HEADER_OFFSET, offset),
            ] {
                headers = headers.insert(Header { key, value: Some(value) });
            }
        }
        producer
            .send(FutureRecord::<str, str>::to(&topic).payload("{}").headers(headers), Duration::from_secs(30))
            .await
            .unwrap();
    };
    send(Some("5")).await;
    send(Some("5")).await;
    send(None).await;
    city.process().await.unwrap();
    send(Some("5")).await;
    send(None).await;
    city.process().await.unwrap();
    assert_eq!(number(&city.lake, "SELECT count(*) FROM ops.quarantine WHERE \"offset\" = 5").await, 1);
    assert_eq!(number(&city.lake, "SELECT count(*) FROM ops.quarantine WHERE \"offset\" IS NULL").await, 2);
    // The record before the mark was landed under an earlier letter: still nothing stands still.
    send(Some("5")).await;
    city.process().await.unwrap();
    city.process().await.unwrap();
}

fn stopped(settled: Result<(), Unsettled>) -> Vec<crate::Stopped> {
    match settled {
        Err(Unsettled::Stopped(mut stopped)) => {
            stopped.sort_by(|a, b| a.place.cmp(&b.place));
            stopped
        }
        other => panic!("partitions should stand still, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_broker_stops_its_partitions_until_a_new_generation_is_declared() {
    let city = City::new().await;
    city.publish_after_start(good(0..400)).await;
    city.process().await.unwrap();
    let city = city.wiped().await;
    let stopped = stopped(city.process().await);
    assert_eq!(stopped.len(), 4);
    assert_eq!(stopped[0].loss, Loss::Wiped { mark: 100, end: 0 });
    assert!(stopped[0].to_string().contains("hangang process --new-generation traffic_volume"), "{}", stopped[0]);

    city.publish(FEED.topic(), good(0..200)).await;
    let resolved = new_generation(&city.lake, &city.config, FEED.topic()).await.unwrap();
    assert_eq!(resolved.iter().map(|resolved| (resolved.place.generation, resolved.next)).collect::<Vec<_>>(), [(1, 0); 4]);
    city.process().await.unwrap();
    assert_eq!(number(&city.lake, "SELECT count(*) FROM observed.traffic_volume WHERE generation = 0").await, 400);
    assert_eq!(number(&city.lake, "SELECT count(*) FROM observed.traffic_volume WHERE generation = 1").await, 200);
    lakes::rollups_equal_their_sql(&city.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_and_filled_again_is_recognised() {
    let city = City::new().await;
    city.publish_after_start(good(0..400)).await;
    city.process().await.unwrap();
    let city = city.wiped().await;
    city.publish_after_start(good(5000..6000)).await;
    let stopped = stopped(city.process().await);
    assert_eq!(stopped.iter().map(|stopped| stopped.loss).collect::<Vec<_>>(), [Loss::Recreated { mark: 100 }; 4]);
    let running = city.processor().await;
    accept_loss(&city.lake, &city.config, FEED.topic()).await.unwrap();
    // One that runs meanwhile looks again by itself.
    let started = Instant::now();
    while running.settled().await.is_err() {
        assert!(started.elapsed() < SETTLED_WITHIN, "{:?}", running.status());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.stop().await;
    assert_eq!(observed(&city.lake).await, 1400);
    assert!(accept_loss(&city.lake, &city.config, FEED.topic()).await.unwrap_err().to_string().contains("no loss to accept"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_restarts_or_comes_late_is_waited_for() {
    let city = City::new().await;
    city.publish_after_start(good(0..100)).await;
    let addr = city.broker.addr();
    let running = city.processor().await;
    running.settled().await.unwrap();
    city.broker.stop().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let config = BrokerConfig::new(city.folder.path().join("kafka"), addr);
    let again = Broker::start(config).await.unwrap();
    let city = City { broker: again, ..city };
    city.publish(FEED.topic(), good(100..200)).await;
    tokio::time::timeout(SETTLED_WITHIN, running.settled()).await.unwrap_or_else(|_| panic!("{:?}", running.status())).unwrap();
    assert_eq!(observed(&city.lake).await, 200);
    running.stop().await;
}

impl City {
    /// Publishes once the topics exist.
    async fn publish_after_start(&self, records: impl IntoIterator<Item = (i32, String, String)>) {
        let processor = self.processor().await;
        // Stands still or is settled: both say that the topics are there.
        _ = processor.settled().await;
        processor.stop().await;
        self.publish(FEED.topic(), records).await;
    }
}
