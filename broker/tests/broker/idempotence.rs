//! What an idempotent producer sends twice is kept once.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::records::Compression;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::tests::support::*;

/// A new producer's id.
fn session(addr: SocketAddr) -> i64 {
    let answer = ask(addr, 4, &InitProducerIdRequest::default().with_transactional_id(None));
    assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
    answer.producer_id.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_repeated_after_a_restart_is_kept_once() {
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    let id = session(process.addr);
    let one = batch(&[1, 2, 3], (id, 0, 0), Compression::Lz4);
    let two = batch(&[4, 5], (id, 0, 3), Compression::Lz4);
    for _ in 0..3 {
        assert_eq!(produce(process.addr, one.clone()), (0, 0));
        assert_eq!(produce(process.addr, two.clone()), (0, 3));
        let addr = process.kill();
        process = Process::start_at(data.path(), addr, None);
    }
    let ahead = batch(&[9], (id, 0, 7), Compression::None);
    assert_eq!(produce(process.addr, ahead).0, ResponseError::OutOfOrderSequenceNumber.code());
    assert_eq!(read_all(process.addr, "t", 0).len(), 5);
    let other = session(process.addr);
    assert_ne!(other, id, "each session is another producer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_producer_writes_each_record_once_and_in_order_while_the_broker_is_killed() {
    const RECORDS: usize = 20_000;
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    let producer: FutureProducer = client(process.addr)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "50")
        .set("linger.ms", "1")
        .set("retry.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .set("queue.buffering.max.messages", "1000")
        .create()
        .unwrap();
    let sending = tokio::spawn(async move {
        for block in 0..RECORDS / 500 {
            let texts: Vec<String> = (0..500).map(|number| (block * 500 + number).to_string()).collect();
            let sent = texts.iter().map(|text| producer.send(FutureRecord::<(), str>::to("t").payload(text), PATIENCE));
            for delivery in join_all(sent).await {
                delivery.unwrap();
            }
        }
    });
    let mut kills = 0;
    while !sending.is_finished() {
        tokio::time::sleep(Duration::from_millis(150 + 37 * (kills % 5))).await;
        let addr = process.kill();
        process = Process::start_at(data.path(), addr, None);
        kills += 1;
    }
    sending.await.unwrap();
    let seen = read_all(process.addr, "t", 0);
    let numbers: Vec<usize> = seen.iter().map(|seen| seen.text().parse().unwrap()).collect();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
    assert!(kills >= 1);
    eprintln!("{kills} kills");
}
