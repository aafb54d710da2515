//! librdkafka's own cluster in memory, and a fresh reader of all that a topic holds.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

pub type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A cluster with the topics of every feed and their dead letters.
pub fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    for feed in catalog::FEEDS {
        cluster.create_topic(feed.topic(), feed.partitions, 1).unwrap();
        cluster.create_topic(&feed.dead_letter_topic(), 1, 1).unwrap();
    }
    cluster
}

#[derive(Clone, Debug)]
pub struct Stored {
    pub key: String,
    pub payload: Vec<u8>,
    pub timestamp_ms: i64,
    pub partition: i32,
    pub headers: Vec<(String, String)>,
}

impl Stored {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(key, _)| key == name);
        header.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no header {name} among {:?}", self.headers))
    }
}

/// Everything below the high watermarks of a topic, partition by partition in the order of offsets.
pub fn read(bootstrap: &str, topic: &str, partitions: i32) -> Vec<Stored> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap();
    let watermarks = |partition| consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut expected = 0;
    for partition in 0..partitions {
        let (low, high) = watermarks(partition);
        expected += usize::try_from(high - low).unwrap();
        assignment.add_partition_offset(topic, partition, Offset::Offset(low)).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut stored = Vec::new();
    while stored.len() < expected {
        let message = consumer.poll(Duration::from_secs(10)).expect("a record below the high watermark").unwrap();
        let headers = message.headers().map(|headers| {
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap()).into_owned();
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
        });
        stored.push(Stored {
            key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default(),
            payload: message.payload().unwrap_or_default().to_vec(),
            timestamp_ms: message.timestamp().to_millis().unwrap(),
            partition: message.partition(),
            headers: headers.unwrap_or_default(),
        });
    }
    // Within a partition records come in the order of offsets, and a stable sort keeps it.
    stored.sort_by_key(|record| record.partition);
    stored
}
