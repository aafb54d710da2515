//! How fast it is with librdkafka at the other end: 200-byte records, lz4. A measurement, run by hand:
//!
//! `cargo test -p broker --test broker throughput -- --ignored --nocapture`

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::tests::support::*;

const RECORDS: usize = 2_000_000;

/// Seconds of processor time that a process has used.
fn cpu_seconds(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Peak resident memory of a process, MiB.
fn peak_mib(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of a minute"]
async fn throughput() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    let id = process.id();
    for idempotent in ["false", "true"] {
        let producer: ThreadedProducer<DefaultProducerContext> = client(process.addr)
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("enable.idempotence", idempotent)
            .set("queue.buffering.max.messages", "500000")
            .create()
            .unwrap();
        let (began, cpu) = (Instant::now(), cpu_seconds(id));
        for number in 0..RECORDS {
            // Like a feed's records: much alike, never the same.
            let mut payload = format!(
                r#"{{"spot":"A-{:02}","direction":1,"lane":{},"observed_at":"2022-10-01T00:00:00Z","volume":{},"#,
                number % 139,
                number % 5,
                number * 7919 % 2000
            );
            payload.push_str(&format!(r#""received_at":"2022-10-01T00:30:{:02}.{:06}Z"}}"#, number % 60, number % 1_000_000));
            payload.extend(std::iter::repeat_n(' ', 200 - payload.len()));
            loop {
                match producer.send(BaseRecord::<(), str>::to("t").payload(&payload)) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                        std::thread::sleep(Duration::from_millis(1))
                    }
                    Err((error, _)) => panic!("{error}"),
                }
            }
        }
        producer.flush(PATIENCE).unwrap();
        report(&format!("produce, idempotent {idempotent}"), began.elapsed(), cpu_seconds(id) - cpu, RECORDS);
    }
    let consumer: BaseConsumer = client(process.addr)
        .set("group.id", "g")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "100")
        .create()
        .unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("t", 0, Offset::Beginning).unwrap();
    consumer.assign(&place).unwrap();
    let (began, cpu) = (Instant::now(), cpu_seconds(id));
    let mut consumed = 0;
    while consumed < 2 * RECORDS {
        consumer.poll(PATIENCE).unwrap().unwrap();
        consumed += 1;
    }
    report("consume", began.elapsed(), cpu_seconds(id) - cpu, consumed);
    eprintln!("broker's peak memory {:.0} MiB", peak_mib(id));
}

fn report(what: &str, took: Duration, broker_cpu: f64, records: usize) {
    let rate = records as f64 / took.as_secs_f64() / 1000.0;
    eprintln!("{what}: {rate:.0} k records/s in {:.1} s; the broker used {broker_cpu:.2} s of processor", took.as_secs_f64());
}
