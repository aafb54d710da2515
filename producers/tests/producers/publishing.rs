//! Step 4 against a cluster in trouble: nothing is lost, and nothing is done before it is acknowledged.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clock::Clock;
use producers::{Producers, ProducersConfig, Resume, Secret};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio_util::sync::CancellationToken;

use crate::kafka;
use crate::upstream::{Upstream, spots};

const SPOT: &str = "traffic_spot";

fn start() -> DateTime<Utc> {
    "2022-09-30T15:00:00Z".parse().unwrap()
}

fn producers(upstream: &Upstream, cluster: &kafka::Cluster, clock: &Clock) -> Producers {
    let config = ProducersConfig {
        base_url: upstream.url.clone(),
        key: Secret::new("sample"),
        bootstrap: cluster.bootstrap_servers(),
        feeds: vec![catalog::Feed::by_name(SPOT).unwrap()],
    };
    Producers::start(config, clock.clone(), Resume::default(), CancellationToken::new()).unwrap()
}

fn stored(cluster: &kafka::Cluster) -> Vec<String> {
    let mut keys: Vec<_> = kafka::read(&cluster.bootstrap_servers(), SPOT, 1).into_iter().map(|record| record.key).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn refused_records_are_offered_again_until_they_are_taken_and_stand_there_once() {
    let (cluster, upstream) = (kafka::cluster(), Upstream::start(|_| spots(&["A-01", "A-02"])).await);
    let (clock, mut stepper) = Clock::stepped(None, start()).unwrap();
    // The first kind librdkafka retries itself; the second it hands back.
    let retried = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 3];
    cluster.request_errors(RDKafkaApiKey::Produce, &retried);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let producers = producers(&upstream, &cluster, &clock);
    while stepper.step(start() + chrono::TimeDelta::minutes(5), async || ()).await.unwrap() {}
    assert_eq!(producers.status()[0].published, 2);
    assert_eq!(producers.status()[0].alert, None);
    producers.stop().await;
    assert_eq!(stored(&cluster), ["A-01", "A-02"]);
}

#[tokio::test]
async fn a_poll_is_not_done_before_the_broker_is_back() {
    let (cluster, upstream) = (kafka::cluster(), Upstream::start(|_| spots(&["A-01"])).await);
    let (clock, mut stepper) = Clock::stepped(None, start()).unwrap();
    cluster.broker_down(1).unwrap();
    let producers = producers(&upstream, &cluster, &clock);
    let step = stepper.step(start() + chrono::TimeDelta::hours(1), async || ());
    // The clock stands while the poll is not done.
    assert!(tokio::time::timeout(Duration::from_secs(3), step).await.is_err());
    assert_eq!(clock.now(), start());
    let status = &producers.status()[0];
    assert_eq!((status.published, status.last_poll_at), (0, None));
    let alert = status.alert.as_deref().unwrap_or("none");
    assert!(alert.starts_with("no way to the broker: ") && alert.ends_with("; records are kept and offered again"), "{alert}");
    cluster.broker_up(1).unwrap();
    while stepper.step(start() + chrono::TimeDelta::minutes(5), async || ()).await.unwrap() {}
    assert_eq!((producers.status()[0].published, producers.status()[0].alert.clone()), (1, None));
    producers.stop().await;
    assert_eq!(stored(&cluster), ["A-01"]);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_broker_that_is_gone() {
    let (cluster, upstream) = (kafka::cluster(), Upstream::start(|_| spots(&["A-01"])).await);
    let (clock, _stepper) = Clock::stepped(None, start()).unwrap();
    cluster.broker_down(1).unwrap();
    let producers = producers(&upstream, &cluster, &clock);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(upstream.asked().len(), 1);
    tokio::time::timeout(Duration::from_secs(10), producers.stop()).await.expect("stopped");
}
