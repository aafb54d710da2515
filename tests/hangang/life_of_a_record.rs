//! Walks one answer of Seoul's API, written by hand from the described format, through every stage, and shows each.
//!
//! One lane of it is late: the rollup's sum is first the sum of three lanes and then of four. Nothing of our own
//! simulator takes part; the upstream here is a socket that gives the recordings.

use std::time::{Duration, Instant};

use catalog::{FEEDS, Rollup};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use lake::Lake;
use producers::{Ask, Producers, ProducersConfig, Resume, Secret, Source, parse, record, request};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use stream_processor::check::Checker;
use stream_processor::{Processor, ProcessorConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SPOTS: &str = include_str!("../recordings/spotinfo_one_spot.xml");
const LATE: &str = include_str!("../recordings/volinfo_a_lane_is_late.xml");
const WHOLE: &str = include_str!("../recordings/volinfo_the_lane_has_come.xml");
const NONE: &str = include_str!("../recordings/info_200.xml");

/// A machine that is busy takes some seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Half past nine in Seoul: when the hour from eight is first asked for.
fn first_ask() -> DateTime<Utc> {
    at("2022-10-03T00:30:00Z")
}

#[test]
fn every_stage_makes_of_an_answer_what_the_next_one_takes() {
    let source = Source::by_name("traffic_volume").unwrap();

    // 1 ask
    let ask = Ask::now(source, Some("A-01"), first_ask());
    let asked = request(&ask, 1);
    insta::assert_snapshot!(asked, @"/{key}/xml/VolInfo/1/1000/A-01/20221003/08/");

    // 2 fetch → 3 parse
    let received_at = first_ask() + TimeDelta::milliseconds(1250);
    let answer = parse(source, &asked, LATE.as_bytes(), received_at).unwrap();
    assert_eq!((answer.observations.len(), answer.total), (3, 3));

    // 4 publish
    let records: Vec<_> = answer.observations.iter().map(|observation| record(observation, received_at)).collect();
    let shown: Vec<String> = records.iter().map(|r| format!("{} @{} {}", r.key, r.timestamp_ms, r.payload)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    A-01/1/1 @1664751600000 {"spot":"A-01","direction":1,"lane":1,"observed_at":"2022-10-02T23:00:00Z","volume":251,"received_at":"2022-10-03T00:30:01.250Z"}
    A-01/1/2 @1664751600000 {"spot":"A-01","direction":1,"lane":2,"observed_at":"2022-10-02T23:00:00Z","volume":388,"received_at":"2022-10-03T00:30:01.250Z"}
    A-01/2/1 @1664751600000 {"spot":"A-01","direction":2,"lane":1,"observed_at":"2022-10-02T23:00:00Z","volume":305,"received_at":"2022-10-03T00:30:01.250Z"}
    "#);

    // 5 consume → 6 check
    let consumed: Vec<_> = records
        .iter()
        .zip(40i64..)
        .map(|(record, offset)| stream_processor::check::Record {
            generation: 0,
            partition: 2,
            offset,
            key: Some(record.key.as_bytes()),
            payload: Some(record.payload.as_bytes()),
        })
        .collect();
    let checked = Checker::new(source.feed).check(received_at, consumed.into_iter());
    assert!(checked.refused.is_empty());
    insta::assert_snapshot!(arrow::util::pretty::pretty_format_batches(&[checked.rows]).unwrap(), @r#"
    +------+-----------+------+----------------------+--------+--------------------------+----------------+------------+-----------+--------+
    | spot | direction | lane | observed_at          | volume | received_at              | topic          | generation | partition | offset |
    +------+-----------+------+----------------------+--------+--------------------------+----------------+------------+-----------+--------+
    | A-01 | 1         | 1    | 2022-10-02T23:00:00Z | 251    | 2022-10-03T00:30:01.250Z | traffic_volume | 0          | 2         | 40     |
    | A-01 | 1         | 2    | 2022-10-02T23:00:00Z | 388    | 2022-10-03T00:30:01.250Z | traffic_volume | 0          | 2         | 41     |
    | A-01 | 2         | 1    | 2022-10-02T23:00:00Z | 305    | 2022-10-03T00:30:01.250Z | traffic_volume | 0          | 2         | 42     |
    +------+-----------+------+----------------------+--------+--------------------------+----------------+------------+-----------+--------+
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_lane_joins_its_sum() {
    tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::WARN).init();
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let (clock, mut stepper) = Clock::stepped(None, first_ask() - TimeDelta::minutes(30)).unwrap();
    let upstream = upstream(clock.clone()).await;
    let log = broker::BrokerConfig::new(folder.path().join("broker"), ([127, 0, 0, 1], 0).into());
    let broker = broker::Broker::start(log).await.unwrap();
    let bootstrap = broker.addr().to_string();
    let lake = Lake::open(&url::Url::from_directory_path(folder.path().join("lake")).unwrap()).await.unwrap();
    let processor = Processor::start(lake.clone(), clock.clone(), ProcessorConfig::new(&bootstrap, "life")).await.unwrap();
    processor.settled().await.unwrap();
    let polling = ProducersConfig {
        base_url: upstream,
        key: Secret::new("a-key"),
        bootstrap: bootstrap.clone(),
        feeds: FEEDS.to_vec(),
        progress: None,
    };
    let producers = Producers::start(polling, clock.clone(), Resume::default(), cancel.clone()).unwrap();

    let mut until = async |instant| {
        let stepping = async { while stepper.step(instant, async || processor.settled().await.unwrap()).await.unwrap() {} };
        let within = tokio::time::timeout(SETTLED_WITHIN, stepping).await;
        within.unwrap_or_else(|_| panic!("not settled within {SETTLED_WITHIN:?}: {:?}", processor.status()));
    };
    let sums = async || {
        let batches = lake
            .query("SELECT direction, observed_at, volume, lanes, received_at FROM rollup.traffic_hourly ORDER BY direction")
            .await
            .unwrap();
        arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
    };
    until(first_ask() + TimeDelta::minutes(1)).await;
    insta::assert_snapshot!(sums().await, @r#"
    +-----------+----------------------+--------+-------+----------------------+
    | direction | observed_at          | volume | lanes | received_at          |
    +-----------+----------------------+--------+-------+----------------------+
    | 1         | 2022-10-02T23:00:00Z | 639    | 2     | 2022-10-03T00:30:00Z |
    | 2         | 2022-10-02T23:00:00Z | 305    | 1     | 2022-10-03T00:30:00Z |
    +-----------+----------------------+--------+-------+----------------------+
    "#);
    until(first_ask() + TimeDelta::hours(3)).await;
    insta::assert_snapshot!(sums().await, @r#"
    +-----------+----------------------+--------+-------+----------------------+
    | direction | observed_at          | volume | lanes | received_at          |
    +-----------+----------------------+--------+-------+----------------------+
    | 1         | 2022-10-02T23:00:00Z | 639    | 2     | 2022-10-03T00:30:00Z |
    | 2         | 2022-10-02T23:00:00Z | 602    | 2     | 2022-10-03T02:30:00Z |
    +-----------+----------------------+--------+-------+----------------------+
    "#);

    // 7 land: every revision is kept, and where it came from. Only what is new or changed was published again.
    let landed = lake
        .query("SELECT direction, lane, volume, received_at FROM observed.traffic_volume ORDER BY received_at, direction, lane")
        .await
        .unwrap();
    insta::assert_snapshot!(arrow::util::pretty::pretty_format_batches(&landed).unwrap(), @r#"
    +-----------+------+--------+----------------------+
    | direction | lane | volume | received_at          |
    +-----------+------+--------+----------------------+
    | 1         | 1    | 251    | 2022-10-03T00:30:00Z |
    | 1         | 2    | 388    | 2022-10-03T00:30:00Z |
    | 2         | 1    | 305    | 2022-10-03T00:30:00Z |
    | 2         | 2    | 297    | 2022-10-03T02:30:00Z |
    +-----------+------+--------+----------------------+
    "#);
    assert_eq!(topic_length(&bootstrap), 4);

    // 8 roll up: the same as the SQL over the whole of observed.
    let sql = Rollup::by_name("traffic_hourly").unwrap().sql("observed.traffic_volume");
    let difference = lake.query(&format!("SELECT * FROM rollup.traffic_hourly EXCEPT ({sql})")).await.unwrap();
    assert_eq!(difference.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);

    producers.stop().await;
    processor.stop().await;
    broker.stop().await;
}

/// Records in all partitions of the traffic topic, as a fresh consumer sees them.
fn topic_length(bootstrap: &str) -> usize {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "fresh")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let ends: i64 = (0..catalog::feeds::traffic_volume::FEED.partitions)
        .map(|partition| consumer.fetch_watermarks("traffic_volume", partition, Duration::from_secs(5)).unwrap().1)
        .sum();
    consumer.subscribe(&["traffic_volume"]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut read = 0;
    while read < ends as usize {
        assert!(Instant::now() < deadline, "{read} of {ends} records within thirty seconds");
        // Nothing comes, too, while the group takes up the new member.
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        assert!(message.unwrap().payload().is_some());
        read += 1;
    }
    read
}

/// Answers as Seoul would: the spot list, the hour from eight (whole from the second ask on), and else nothing.
async fn upstream(clock: Clock) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let clock = clock.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let body = match head.split_whitespace().nth(1).unwrap() {
                    path if path.contains("/SpotInfo/") => SPOTS,
                    path if !path.ends_with("/A-01/20221003/08/") => NONE,
                    _ if clock.now() < first_ask() + TimeDelta::hours(1) => LATE,
                    _ => WHOLE,
                };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/xml;charset=UTF-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            });
        }
    });
    format!("http://{address}")
}
