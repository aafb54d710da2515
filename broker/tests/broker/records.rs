//! Records come out as they went in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Compression;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use crate::tests::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_in_every_compression() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        create_topic(broker.addr(), compression, 1).await;
        let producer: FutureProducer =
            client(broker.addr()).set("compression.type", compression).set("linger.ms", "20").create().unwrap();
        let sent: Vec<(String, String)> =
            (0..500).map(|number| (format!("key-{}", number % 7), format!("value {number} {}", "x".repeat(100)))).collect();
        let deliveries = sent.iter().enumerate().map(|(number, (key, value))| {
            producer.send(
                FutureRecord::to(compression).key(key).payload(value).timestamp(1_664_550_000_000 + number as i64),
                PATIENCE,
            )
        });
        for (number, delivery) in join_all(deliveries).await.into_iter().enumerate() {
            assert_eq!(delivery.unwrap().offset, number as i64);
        }
        let (addr, topic) = (broker.addr(), compression);
        let seen = tokio::task::spawn_blocking(move || read_all(addr, topic, 0)).await.unwrap();
        let expected = sent.iter().enumerate().map(|(number, (key, value))| Seen {
            offset: number as i64,
            timestamp: 1_664_550_000_000 + number as i64,
            key: Some(key.clone().into_bytes()),
            value: value.clone().into_bytes(),
        });
        assert_eq!(seen, expected.collect::<Vec<_>>(), "{compression}");
        let segment = std::fs::read(data.path().join("topics").join(topic).join("0/00000000000000000000.log")).unwrap();
        let kept = segment.len();
        let plain = sent.iter().map(|(_, value)| value.len()).sum::<usize>();
        assert_eq!(compression == "none", kept > plain, "{compression} keeps {kept} bytes of {plain}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_empty_values_and_missing_keys_are_kept_apart() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    create_topic(broker.addr(), "odd", 1).await;
    let producer: FutureProducer = client(broker.addr()).create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "reason", value: Some("late") })
        .insert(Header { key: "none", value: None::<&str> });
    producer.send(FutureRecord::<(), str>::to("odd").payload("").headers(headers), PATIENCE).await.unwrap();
    producer.send(FutureRecord::<str, str>::to("odd").key(""), PATIENCE).await.unwrap();
    let consumer: BaseConsumer = client(broker.addr()).set("group.id", "g").create().unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("odd", 0, Offset::Beginning).unwrap();
    consumer.assign(&place).unwrap();
    let (first, second) = tokio::task::spawn_blocking(move || {
        let next = || consumer.poll(PATIENCE).unwrap().unwrap().detach();
        (next(), next())
    })
    .await
    .unwrap();
    assert_eq!((first.key(), first.payload()), (None, Some(&b""[..])));
    let headers = first.headers().unwrap();
    assert_eq!((headers.get(0).key, headers.get(0).value), ("reason", Some(&b"late"[..])));
    assert_eq!((headers.get(1).key, headers.get(1).value), ("none", None));
    assert_eq!((second.key(), second.payload()), (Some(&b""[..]), None));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_consumer_gets_a_record_as_soon_as_it_is_there() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    create_topic(broker.addr(), "t", 1).await;
    let consumer: BaseConsumer = client(broker.addr()).set("group.id", "g").set("fetch.wait.max.ms", "30000").create().unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("t", 0, Offset::Beginning).unwrap();
    consumer.assign(&place).unwrap();
    let waiting = tokio::task::spawn_blocking(move || consumer.poll(PATIENCE).unwrap().unwrap().detach());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!waiting.is_finished());
    let producer: FutureProducer = client(broker.addr()).create().unwrap();
    let sent = std::time::Instant::now();
    producer.send(FutureRecord::<(), str>::to("t").payload("news"), PATIENCE).await.unwrap();
    assert_eq!(waiting.await.unwrap().payload(), Some(&b"news"[..]));
    assert!(sent.elapsed() < Duration::from_secs(10), "the consumer slept through it");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acknowledgement_records_are_written_too() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    create_topic(broker.addr(), "t", 1).await;
    let producer: FutureProducer = client(broker.addr()).set("acks", "0").create().unwrap();
    producer.send(FutureRecord::<(), str>::to("t").payload("gone"), PATIENCE).await.unwrap();
    let addr = broker.addr();
    tokio::task::spawn_blocking(move || wait_until("the record is there", || read_all(addr, "t", 0).len() == 1)).await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_many_segments_are_read_on_and_from_anywhere() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    let addr = broker.addr();
    try_create_topic(addr, "t", 1, &[("segment.bytes", "20000")]).await.unwrap();
    let producer: FutureProducer = client(addr).set("batch.num.messages", "10").set("linger.ms", "1").create().unwrap();
    let payload = "p".repeat(200);
    for delivery in join_all((0..2000).map(|_| producer.send(FutureRecord::<(), str>::to("t").payload(&payload), PATIENCE))).await
    {
        delivery.unwrap();
    }
    let segments = std::fs::read_dir(data.path().join("topics/t/0")).unwrap();
    let segments =
        segments.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "log")).count();
    assert!(segments > 10, "{segments} segments");
    let offsets = move || read_all(addr, "t", 0).into_iter().map(|seen| seen.offset).collect::<Vec<_>>();
    assert_eq!(tokio::task::spawn_blocking(offsets).await.unwrap(), (0..2000).collect::<Vec<_>>());
    broker.stop().await;
}

/// Fetches from the beginning of `t/0` with these bounds: records' bytes, error code, and how long it took.
fn fetch(addr: SocketAddr, session: i32, (min_bytes, max_bytes, max_wait_ms): (i32, i32, i32)) -> (usize, i16, Duration) {
    let partition = FetchPartition::default().with_partition_max_bytes(max_bytes);
    let topic = FetchTopic::default().with_topic(TopicName(StrBytes::from_static_str("t"))).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_min_bytes(min_bytes)
        .with_max_bytes(max_bytes)
        .with_max_wait_ms(max_wait_ms)
        .with_session_id(session)
        .with_topics(vec![topic]);
    let began = Instant::now();
    let answer = ask(addr, 12, &request);
    let bytes = answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| partition.records.as_ref().unwrap().len())
        .sum();
    (bytes, answer.error_code, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_keeps_to_its_bounds() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    let one = batch(&[1; 100], (-1, -1, -1), Compression::None);
    for _ in 0..10 {
        assert_eq!(produce(process.addr, one.clone()).0, 0);
    }
    let length = one.len();
    let wait = Duration::from_millis(700);
    let (bytes, _, took) = fetch(process.addr, 0, (1, 1 << 20, 700));
    assert!(bytes == 10 * length && took < wait, "what is there comes at once: {bytes} in {took:?}");
    let (bytes, _, took) = fetch(process.addr, 0, (1 << 20, 1 << 20, 700));
    assert!(bytes == 10 * length && took >= wait, "less than enough comes when patience ends: {bytes} in {took:?}");
    let most = (3 * length + length / 2) as i32;
    assert_eq!(fetch(process.addr, 0, (1, most, 700)).0, 3 * length, "whole batches, no more than asked for");
    assert_eq!(fetch(process.addr, 0, (1, 1, 700)).0, length, "but at least one");
    assert_eq!(fetch(process.addr, 5, (1, 1, 700)).1, ResponseError::FetchSessionIdNotFound.code());
}
