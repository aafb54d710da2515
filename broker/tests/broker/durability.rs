//! What was acknowledged is there, whatever happened to the process or its disk.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::process::Command;
use std::time::Duration;

use crate::{Broker, BrokerConfig, BrokerError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kafka_protocol::error::ResponseError;
use kafka_protocol::records::Compression;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::tests::support::*;

const SEGMENT: &str = "topics/t/0/00000000000000000000.log";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_no_acknowledged_record() {
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    let mut acknowledged: BTreeMap<i64, String> = BTreeMap::new();
    for round in 0..5u64 {
        let producer: FutureProducer = client(process.addr)
            .set("batch.num.messages", "20")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "2000")
            .set("retries", "0")
            .create()
            .unwrap();
        let sending = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            let mut in_flight = FuturesUnordered::new();
            for number in 0.. {
                let producer = producer.clone();
                let text = format!("{round}-{number}");
                in_flight.push(async move {
                    let sent = producer.send(FutureRecord::<(), str>::to("t").payload(&text), PATIENCE).await;
                    sent.map(|delivery| (delivery.offset, text)).map_err(|(error, _)| error)
                });
                if in_flight.len() == 300 {
                    match in_flight.next().await.unwrap() {
                        Ok(delivered) => acknowledged.push(delivered),
                        Err(_killed) => break,
                    }
                }
            }
            while let Some(delivered) = in_flight.next().await {
                acknowledged.extend(delivered);
            }
            acknowledged
        });
        tokio::time::sleep(Duration::from_millis(200 + 113 * round)).await;
        let addr = process.kill();
        let delivered = sending.await.unwrap();
        assert!(delivered.len() > 100, "{} acknowledged in round {round}", delivered.len());
        acknowledged.extend(delivered);
        process = Process::start_at(data.path(), addr, None);
    }
    let kept: BTreeMap<i64, String> =
        read_all(process.addr, "t", 0).into_iter().map(|seen| (seen.offset, seen.text().to_owned())).collect();
    for (offset, text) in &acknowledged {
        assert_eq!(kept.get(offset), Some(text), "offset {offset} of {} acknowledged", acknowledged.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_said() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    for _ in 0..3 {
        assert_eq!(produce(process.addr, batch(&[1, 2], (-1, -1, -1), Compression::None)).0, 0);
    }
    process.kill();
    let path = data.path().join(SEGMENT);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    let process = Process::start(data.path());
    let cut = bytes.len() / 3 - 10;
    wait_until("the cut is said", || process.said().contains("cut a torn tail"));
    assert!(process.said().contains(&format!("bytes_cut={cut}")), "{}", process.said());
    assert_eq!(read_all(process.addr, "t", 0).len(), 4);
    assert_eq!(produce(process.addr, batch(&[1], (-1, -1, -1), Compression::None)), (0, 4));
    assert_eq!(read_all(process.addr, "t", 0).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_middle_is_an_error_that_says_where() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    create_topic(broker.addr(), "t", 1).await;
    for _ in 0..3 {
        assert_eq!(produce(broker.addr(), batch(&[1, 2], (-1, -1, -1), Compression::None)).0, 0);
    }
    broker.stop().await;
    let path = data.path().join(SEGMENT);
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.len() / 3;
    bytes[second + 70] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = Broker::start(BrokerConfig::new(data.path(), any_port())).await.err().unwrap();
    let expected = format!("truncate -s {second}");
    assert!(matches!(error, BrokerError::Damaged { .. }) && error.to_string().contains(&expected), "{error}");
    // What the message says to do helps.
    OpenOptions::new().write(true).open(&path).unwrap().set_len(second as u64).unwrap();
    let broker = start(data.path()).await;
    let addr = broker.addr();
    assert_eq!(tokio::task::spawn_blocking(move || read_all(addr, "t", 0).len()).await.unwrap(), 2);
    broker.stop().await;
}

/// Raises a running process' limit on the size of its files, as freeing room does.
fn free_room(process: &Process) {
    let status = Command::new("prlimit").args(["--pid", &process.id().to_string(), "--fsize=unlimited:unlimited"]).status();
    assert!(status.expect("prlimit belongs to util-linux").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_to_producers_and_they_go_on_when_there_is_room() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start_at(data.path(), any_port(), Some(64 << 10));
    create_topic(process.addr, "t", 1).await;
    let one = || batch(&[0; 1000], (-1, -1, -1), Compression::None);
    let mut kept = 0;
    let error = loop {
        match produce(process.addr, one()) {
            (0, offset) => {
                assert_eq!(offset, kept);
                kept += 1000;
            }
            (error, _) => break error,
        }
        assert!(kept < 100_000, "64 KiB hold no {kept} records");
    };
    assert_eq!(error, ResponseError::KafkaStorageError.code());
    wait_until("it is said", || process.said().contains("the disk takes no records"));
    assert!(std::fs::metadata(data.path().join(SEGMENT)).unwrap().len() < 64 << 10, "the half that was written is cut");
    assert_eq!(read_all(process.addr, "t", 0).len() as i64, kept, "reading goes on");
    // A producer that keeps trying gets through once there is room, each record once and in order.
    let producer: FutureProducer = client(process.addr)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "10")
        .set("retry.backoff.ms", "50")
        .create()
        .unwrap();
    let sending = tokio::spawn(async move {
        let payload = "p".repeat(100);
        let texts: Vec<String> = (0..1000).map(|number| format!("{number} {payload}")).collect();
        let sent = texts.iter().map(|text| producer.send(FutureRecord::<(), str>::to("t").payload(text), PATIENCE));
        for delivery in futures::future::join_all(sent).await {
            delivery.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert!(!sending.is_finished());
    free_room(&process);
    sending.await.unwrap();
    wait_until("it is said", || process.said().contains("the disk takes records again"));
    let seen = read_all(process.addr, "t", 0);
    let numbers = seen[kept as usize..].iter().map(|seen| seen.text().split(' ').next().unwrap().parse().unwrap());
    assert_eq!(numbers.collect::<Vec<usize>>(), (0..1000).collect::<Vec<_>>());
    let addr = process.kill();
    let process = Process::start_at(data.path(), addr, None);
    assert_eq!(read_all(process.addr, "t", 0), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_and_a_folder_in_use_are_told_apart() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let broker = start(data.path()).await;
    let error = Broker::start(BrokerConfig::new(other.path(), broker.addr())).await.err().unwrap();
    assert!(matches!(error, BrokerError::PortInUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("port {} is in use", broker.addr().port())), "{error}");
    let error = Broker::start(BrokerConfig::new(data.path(), any_port())).await.err().unwrap();
    assert!(matches!(error, BrokerError::Locked { .. }), "{error}");
    let addr = broker.addr();
    broker.stop().await;
    let again = Broker::start(BrokerConfig::new(data.path(), addr)).await.unwrap();
    again.stop().await;
}
