//! Consumers in groups share partitions, and take over from each other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use crate::tests::support::*;

const PARTITIONS: i32 = 4;

fn member(addr: SocketAddr) -> BaseConsumer {
    let consumer: BaseConsumer = client(addr)
        .set("group.id", "g")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "200")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&["t"]).unwrap();
    consumer
}

/// A consumer that is polled in a thread of its own.
struct Polled {
    consumer: Arc<BaseConsumer>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Polled {
    fn start(addr: SocketAddr) -> Polled {
        let (consumer, stop) = (Arc::new(member(addr)), Arc::new(AtomicBool::new(false)));
        let (polled, stopped) = (consumer.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match polled.poll(Duration::from_millis(50)) {
                    Some(Ok(record)) => seen.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap()),
                    // Said while the broker is down; librdkafka goes on by itself.
                    Some(Err(KafkaError::MessageConsumption(
                        RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
                    ))) => {}
                    Some(Err(error)) => panic!("{error}"),
                    None => {}
                }
            }
            seen
        });
        Polled { consumer, stop, thread: Some(thread) }
    }

    fn partitions(&self) -> BTreeSet<i32> {
        self.consumer.assignment().unwrap().elements().iter().map(|element| element.partition()).collect()
    }

    /// Leaves the group; what it has read.
    fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_share_a_topic_and_one_takes_over_when_the_other_leaves() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    let addr = broker.addr();
    create_topic(addr, "t", PARTITIONS).await;
    let all: BTreeSet<i32> = (0..PARTITIONS).collect();

    let one = Polled::start(addr);
    let everything = all.clone();
    let (one, two) = tokio::task::spawn_blocking(move || {
        wait_until("the first has all partitions", || one.partitions() == everything);
        let two = Polled::start(addr);
        wait_until("both have two partitions", || one.partitions().len() == 2 && two.partitions().len() == 2);
        assert!(one.partitions().is_disjoint(&two.partitions()));
        (one, two)
    })
    .await
    .unwrap();

    let producer: FutureProducer = client(addr).create().unwrap();
    let texts: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let sent = texts.iter().enumerate().map(|(number, text)| {
        producer.send(FutureRecord::<(), str>::to("t").payload(text).partition(number as i32 % PARTITIONS), PATIENCE)
    });
    for delivery in join_all(sent).await {
        delivery.unwrap();
    }
    let seen = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_secs(2));
        let mut seen = one.stop();
        wait_until("the second has all partitions", || two.partitions() == all);
        std::thread::sleep(Duration::from_secs(1));
        seen.extend(two.stop());
        seen
    })
    .await
    .unwrap();
    assert_eq!(seen.len(), 200, "each record once: the one that left had committed");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), texts.into_iter().collect());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_after_the_broker_was_killed() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    create_topic(process.addr, "t", PARTITIONS).await;
    let addr = process.addr;
    let polled = Polled::start(addr);
    let polled = tokio::task::spawn_blocking(move || {
        wait_until("it has all partitions", || polled.partitions().len() == PARTITIONS as usize);
        polled
    })
    .await
    .unwrap();
    process.kill();
    let process = Process::start_at(data.path(), addr, None);
    let producer: FutureProducer = client(process.addr).create().unwrap();
    producer.send(FutureRecord::<(), str>::to("t").payload("after"), PATIENCE).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = tokio::task::spawn_blocking(move || polled.stop()).await.unwrap();
    // Twice where it had read it, but not committed, when it learnt that it has to join again.
    assert!(!seen.is_empty() && seen.iter().all(|text| text == "after"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_with_their_members() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    create_topic(broker.addr(), "t", 1).await;
    let addr = broker.addr();
    let listed = tokio::task::spawn_blocking(move || {
        let polled = Polled::start(addr);
        wait_until("it has the partition", || polled.partitions().len() == 1);
        let asking: BaseConsumer = client(addr).create().unwrap();
        let list = |asking: &BaseConsumer| {
            let groups = asking.fetch_group_list(None, PATIENCE).unwrap();
            let of = |group: &rdkafka::groups::GroupInfo| format!("{} {} {}", group.name(), group.state(), group.members().len());
            groups.groups().iter().map(of).collect::<Vec<_>>()
        };
        let listed = list(&asking);
        polled.stop();
        // It had nothing to commit, so nothing is left of it.
        wait_until("it has left", || list(&asking).is_empty());
        listed
    })
    .await
    .unwrap();
    assert_eq!(listed, ["g Stable 1"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_stops_at_once_though_clients_wait() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    let addr = broker.addr();
    create_topic(addr, "t", 1).await;
    let waiting: BaseConsumer = client(addr).set("group.id", "w").set("fetch.wait.max.ms", "30000").create().unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("t", 0, Offset::Beginning).unwrap();
    waiting.assign(&place).unwrap();
    let polled = Polled::start(addr);
    let polled = tokio::task::spawn_blocking(move || {
        wait_until("it has the partition", || polled.partitions().len() == 1);
        assert!(waiting.poll(Duration::from_millis(500)).is_none());
        polled
    })
    .await
    .unwrap();
    let began = std::time::Instant::now();
    broker.stop().await;
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    let again = start(data.path()).await;
    again.stop().await;
    tokio::task::spawn_blocking(move || polled.stop()).await.unwrap();
}
