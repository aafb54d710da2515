//! The embedded broker with every feed's topics, and a fresh reader of all that a topic holds.

use std::net::SocketAddr;
use std::time::Duration;

use broker::{Broker, BrokerConfig};
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

/// A broker in a folder of its own, which goes when this goes.
pub struct Kafka {
    broker: Option<Broker>,
    addr: SocketAddr,
    data: TempDir,
}

impl Kafka {
    /// With the topics of every feed and their dead letters.
    pub async fn start() -> Kafka {
        let data = tempfile::tempdir().unwrap();
        let broker = Broker::start(BrokerConfig::new(data.path(), "127.0.0.1:0".parse().unwrap())).await.unwrap();
        let kafka = Kafka { addr: broker.addr(), broker: Some(broker), data };
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
        for feed in catalog::FEEDS {
            for (topic, partitions) in [(feed.topic().to_owned(), feed.partitions), (feed.dead_letter_topic(), 1)] {
                let topic = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1))
                    .set("message.timestamp.after.max.ms", "9223372036854775807");
                admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
            }
        }
        kafka
    }

    pub fn bootstrap(&self) -> String {
        self.addr.to_string()
    }

    pub async fn stop(&mut self) {
        self.broker.take().expect("it runs").stop().await;
    }

    /// Where it was, with what it had.
    pub async fn start_again(&mut self) {
        self.broker = Some(Broker::start(BrokerConfig::new(self.data.path(), self.addr)).await.unwrap());
    }

    /// Everything below the high watermarks of a topic, partition by partition in the order of offsets.
    pub async fn read(&self, topic: &str) -> Vec<Stored> {
        let (bootstrap, topic) = (self.bootstrap(), topic.to_owned());
        let partitions = catalog::Feed::by_name(&topic).map_or(1, |feed| feed.partitions);
        tokio::task::spawn_blocking(move || read(&bootstrap, &topic, partitions)).await.unwrap()
    }
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
