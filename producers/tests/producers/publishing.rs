//! Step 4 against a cluster in trouble: nothing is lost, and nothing is done before it is acknowledged.

use std::time::Duration;

use crate::{Producers, ProducersConfig, Resume, Secret};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio_util::sync::CancellationToken;

use crate::tests::kafka::{self, Kafka};
use crate::tests::upstream::{Upstream, spots};

const SPOT: &str = "traffic_spot";

fn start() -> DateTime<Utc> {
    "2022-09-30T15:00:00Z".parse().unwrap()
}

fn producers(upstream: &Upstream, bootstrap: String, clock: &Clock) -> Producers {
    let feeds = vec![catalog::Feed::by_name(SPOT).unwrap()];
    let config = ProducersConfig { base_url: upstream.url.clone(), key: Secret::new("sample"), bootstrap, feeds, progress: None };
    Producers::start(config, clock.clone(), Resume::default(), CancellationToken::new()).unwrap()
}

fn keys(stored: Vec<kafka::Stored>) -> Vec<String> {
    let mut keys: Vec<_> = stored.into_iter().map(|record| record.key).collect();
    keys.sort();
    keys
}

/// librdkafka's cluster in memory, since a sound broker does not refuse when it is told to.
#[tokio::test]
async fn refused_records_are_offered_again_until_they_are_taken_and_stand_there_once() {
    let (cluster, upstream) = (MockCluster::new(1).unwrap(), Upstream::start(|_| spots(&["A-01", "A-02"])).await);
    cluster.create_topic(SPOT, 1, 1).unwrap();
    let (clock, mut stepper) = Clock::stepped(None, start()).unwrap();
    // The first kind librdkafka retries itself; the second it hands back.
    let retried = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 3];
    cluster.request_errors(RDKafkaApiKey::Produce, &retried);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let producers = producers(&upstream, cluster.bootstrap_servers(), &clock);
    while stepper.step(start() + TimeDelta::minutes(5), async || ()).await.unwrap() {}
    assert_eq!(producers.status()[0].published, 2);
    assert_eq!(producers.status()[0].alert, None);
    producers.stop().await;
    assert_eq!(keys(kafka::read(&cluster.bootstrap_servers(), SPOT, 1)), ["A-01", "A-02"]);
}

#[tokio::test]
async fn a_poll_is_not_done_before_the_broker_is_back() {
    let (mut kafka, upstream) = (Kafka::start().await, Upstream::start(|_| spots(&["A-01"])).await);
    let (clock, mut stepper) = Clock::stepped(None, start()).unwrap();
    kafka.stop().await;
    let producers = producers(&upstream, kafka.bootstrap(), &clock);
    let step = stepper.step(start() + TimeDelta::hours(1), async || ());
    // The clock stands while the poll is not done.
    assert!(tokio::time::timeout(Duration::from_secs(3), step).await.is_err());
    assert_eq!(clock.now(), start());
    let status = &producers.status()[0];
    assert_eq!((status.published, status.last_poll_at), (0, None));
    let alert = status.alert.as_deref().unwrap_or("none");
    assert!(alert.starts_with("no way to the broker: ") && alert.ends_with("; records are kept and offered again"), "{alert}");
    kafka.start_again().await;
    while stepper.step(start() + TimeDelta::minutes(5), async || ()).await.unwrap() {}
    assert_eq!((producers.status()[0].published, producers.status()[0].alert.clone()), (1, None));
    producers.stop().await;
    assert_eq!(keys(kafka.read(SPOT).await), ["A-01"]);
}

#[tokio::test]
async fn records_survive_a_broker_that_restarts_between_polls_and_stand_there_once() {
    let (mut kafka, upstream) = (Kafka::start().await, Upstream::start(|_| spots(&["A-01", "A-02"])).await);
    let (clock, mut stepper) = Clock::stepped(None, start()).unwrap();
    let producers = producers(&upstream, kafka.bootstrap(), &clock);
    for day in 0..3 {
        while stepper.step(start() + TimeDelta::days(day) + TimeDelta::hours(1), async || ()).await.unwrap() {}
        kafka.stop().await;
        kafka.start_again().await;
    }
    producers.stop().await;
    assert_eq!(keys(kafka.read(SPOT).await), ["A-01", "A-01", "A-01", "A-02", "A-02", "A-02"], "each day once");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_broker_that_is_gone() {
    let (mut kafka, upstream) = (Kafka::start().await, Upstream::start(|_| spots(&["A-01"])).await);
    let (clock, _stepper) = Clock::stepped(None, start()).unwrap();
    kafka.stop().await;
    let producers = producers(&upstream, kafka.bootstrap(), &clock);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(upstream.asked().len(), 1);
    tokio::time::timeout(Duration::from_secs(10), producers.stop()).await.expect("stopped");
}
