//! Topics are made, described, removed and made again.

use std::time::Duration;

use crate::{Broker, BrokerConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Compression;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::tests::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_cannot_be_made_twice() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    create_topic(broker.addr(), "t", 3).await;
    let again = try_create_topic(broker.addr(), "t", 3, &[]).await;
    assert_eq!(again, Err(RDKafkaErrorCode::TopicAlreadyExists));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_kept_and_wrong_ones_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let set = [("retention.ms", "-1"), ("message.timestamp.after.max.ms", "9223372036854775807")];
    try_create_topic(process.addr, "t", 1, &set).await.unwrap();
    for (name, value) in [("retention.ms", "soon"), ("no.such.setting", "1"), ("cleanup.policy", "compact")] {
        let refused = try_create_topic(process.addr, "other", 1, &[(name, value)]).await;
        assert_eq!(refused, Err(RDKafkaErrorCode::InvalidConfig), "{name}={value}");
    }
    assert_eq!(try_create_topic(process.addr, "a/b", 1, &[]).await, Err(RDKafkaErrorCode::InvalidTopic));
    assert_eq!(try_create_topic(process.addr, "none", 0, &[]).await, Err(RDKafkaErrorCode::InvalidPartitions));
    let addr = process.kill();
    let process = Process::start_at(data.path(), addr, None);
    let admin: AdminClient<_> = client(process.addr).create().unwrap();
    let described = admin.describe_configs([&ResourceSpecifier::Topic("t")], &AdminOptions::new()).await.unwrap();
    let described = described.into_iter().next().unwrap().unwrap();
    for (name, value) in set {
        let entry = described.get(name).unwrap();
        assert_eq!((entry.value.as_deref(), entry.is_default), (Some(value), false), "{name}");
    }
    assert!(described.get("segment.bytes").unwrap().is_default);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_is_an_error_and_is_not_made() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    let producer: FutureProducer =
        client(broker.addr()).set("message.timeout.ms", "3000").set("topic.metadata.propagation.max.ms", "500").create().unwrap();
    let (error, _) = producer.send(FutureRecord::<(), str>::to("unknown").payload("x"), PATIENCE).await.unwrap_err();
    // The first where librdkafka has asked for it before, the second where the broker's answer came in between.
    let expected = [RDKafkaErrorCode::UnknownTopic, RDKafkaErrorCode::UnknownTopicOrPartition];
    assert!(expected.map(KafkaError::MessageProduction).contains(&error), "{error}");
    let consumer: BaseConsumer =
        client(broker.addr()).set("group.id", "g").set("allow.auto.create.topics", "true").create().unwrap();
    consumer.subscribe(&["unknown"]).unwrap();
    let polled = tokio::task::spawn_blocking(move || consumer.poll(Duration::from_secs(10)).map(|record| record.map(|_| ())))
        .await
        .unwrap();
    assert_eq!(polled, Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition))));
    let metadata = ask(broker.addr(), 12, &MetadataRequest::default().with_topics(None));
    assert!(metadata.topics.is_empty());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_begins_anew_for_everyone() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let addr = process.addr;
    create_topic(addr, "t", 1).await;
    let id = |addr| {
        let asked = MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("t"))));
        ask(addr, 12, &MetadataRequest::default().with_topics(Some(vec![asked]))).topics[0].topic_id
    };
    let first_id = id(addr);
    assert_eq!(produce(addr, batch(&[1, 2, 3], (-1, -1, -1), Compression::None)), (0, 0));
    let consumer: BaseConsumer = client(addr).set("group.id", "g").set("enable.auto.commit", "false").create().unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("t", 0, Offset::Offset(3)).unwrap();
    consumer.commit(&place, rdkafka::consumer::CommitMode::Sync).unwrap();
    let admin: AdminClient<_> = client(addr).create().unwrap();
    let removed = admin.delete_topics(&["t"], &AdminOptions::new()).await.unwrap();
    assert_eq!(removed, [Ok("t".to_owned())]);
    let again = admin.delete_topics(&["t"], &AdminOptions::new()).await.unwrap();
    assert_eq!(again, [Err(("t".to_owned(), RDKafkaErrorCode::UnknownTopicOrPartition))]);
    create_topic(addr, "t", 1).await;
    assert_ne!(id(addr), first_id);
    assert_eq!(produce(addr, batch(&[9], (-1, -1, -1), Compression::None)), (0, 0));
    assert_eq!(read_all(addr, "t", 0).iter().map(|seen| seen.timestamp).collect::<Vec<_>>(), [9]);
    let committed = consumer.committed_offsets(place, PATIENCE).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Invalid, "what was read of the old one says nothing of the new one");
    process.kill();
    let process = Process::start_at(data.path(), addr, None);
    assert_eq!(read_all(process.addr, "t", 0).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_goes_on_when_its_topic_was_made_again() {
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path()).await;
    let addr = broker.addr();
    create_topic(addr, "t", 1).await;
    let producer: FutureProducer = client(addr).set("enable.idempotence", "true").create().unwrap();
    for _ in 0..3 {
        producer.send(FutureRecord::<(), str>::to("t").payload("old"), PATIENCE).await.unwrap();
    }
    let admin: AdminClient<_> = client(addr).create().unwrap();
    admin.delete_topics(&["t"], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    create_topic(addr, "t", 1).await;
    let delivery = producer.send(FutureRecord::<(), str>::to("t").payload("new"), PATIENCE).await.unwrap();
    assert_eq!(delivery.offset, 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_by_asking_only_where_that_is_wanted_and_clients_are_told_the_advertised_address() {
    let data = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(data.path(), any_port());
    config.auto_create_partitions = Some(3);
    config.advertised = Some(("broker.seoul".into(), 9999));
    let broker = Broker::start(config).await.unwrap();
    let asked = MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("wished"))));
    let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
    assert_eq!(ask(broker.addr(), 12, &request).topics[0].partitions.len(), 0);
    let answer = ask(broker.addr(), 12, &request.with_allow_auto_topic_creation(true));
    assert_eq!((answer.topics[0].error_code, answer.topics[0].partitions.len()), (0, 3));
    assert_eq!((answer.brokers[0].host.as_str(), answer.brokers[0].port), ("broker.seoul", 9999));
    broker.stop().await;
}
