//! The topics: made explicitly, and what the broker says of them: where they begin and end, and single records.
//!
//! Beside the way of the records: nothing here is consumed for the lake. All but [`ensure`] blocks on the network.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};

use crate::config::ProcessorConfig;

/// A broker that doesn't answer within this is taken to be down, and asked again.
const TIMEOUT: Duration = Duration::from_secs(10);
/// One partition suffices for what should be rare, and keeps a source's repeats together.
const DEAD_LETTER_PARTITIONS: i32 = 1;
/// Keep for ever: city time may be years ago.
const RETENTION: (&str, &str) = ("retention.ms", "-1");
/// City time may be ahead of the broker's.
const AHEAD: (&str, &str) = ("message.timestamp.after.max.ms", "9223372036854775807");

/// Why the topics are not there.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    #[error("no Kafka answers at \"{bootstrap}\" ({source}); start one, or correct its address with --kafka HOST:PORT")]
    Unanswered { bootstrap: String, source: KafkaError },
    #[error("the Kafka at \"{bootstrap}\" did not make topic \"{topic}\" ({code}); its own log says why")]
    Refused { bootstrap: String, topic: String, code: RDKafkaErrorCode },
}

/// Makes the topics of the feeds, and of their dead letters, that are not there yet. The one place where topics are made.
pub async fn ensure(config: &ProcessorConfig) -> Result<(), TopicsError> {
    let unanswered = |source| TopicsError::Unanswered { bootstrap: config.bootstrap.clone(), source };
    let admin: AdminClient<_> = config.client().set_log_level(RDKafkaLogLevel::Critical).create().map_err(unanswered)?;
    let names = config
        .feeds
        .iter()
        .flat_map(|feed| [(feed.topic().to_owned(), feed.partitions), (feed.dead_letter_topic(), DEAD_LETTER_PARTITIONS)]);
    let names: Vec<(String, i32)> = names.collect();
    let topics = names.iter().map(|(name, partitions)| {
        // −1: as many copies as the broker makes by default.
        NewTopic::new(name, *partitions, TopicReplication::Fixed(-1)).set(RETENTION.0, RETENTION.1).set(AHEAD.0, AHEAD.1)
    });
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    for created in admin.create_topics(&topics.collect::<Vec<_>>(), &options).await.map_err(unanswered)? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(TopicsError::Refused { bootstrap: config.bootstrap.clone(), topic, code }),
        }
    }
    Ok(())
}

/// A client that only looks.
pub(crate) struct Topics {
    consumer: BaseConsumer,
}

/// A record read on its own.
pub(crate) struct Found {
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Topics {
    pub(crate) fn new(config: &ProcessorConfig) -> KafkaResult<Topics> {
        let mut client = config.client();
        // A group is asked for by librdkafka wherever partitions are assigned; it is never joined nor committed to.
        client
            .set("group.id", format!("{}-look", config.group))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        client.set("auto.offset.reset", "error");
        Ok(Topics { consumer: client.create()? })
    }

    /// Number of partitions; none if the topic doesn't exist.
    pub(crate) fn partitions(&self, topic: &str) -> KafkaResult<Option<i32>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let count = metadata.topics().iter().find(|found| found.name() == topic).map_or(0, |found| found.partitions().len());
        Ok(i32::try_from(count).ok().filter(|&count| count > 0))
    }

    /// The topic's first offset and the one after its last.
    pub(crate) fn ends(&self, topic: &str, partition: i32) -> KafkaResult<(i64, i64)> {
        self.consumer.fetch_watermarks(topic, partition, TIMEOUT)
    }

    /// The record at an offset; none if there is none.
    pub(crate) fn record(&self, topic: &str, partition: i32, offset: i64) -> KafkaResult<Option<Found>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        self.consumer.assign(&list)?;
        let record = self.next(offset);
        self.consumer.unassign()?;
        record
    }

    fn next(&self, offset: i64) -> KafkaResult<Option<Found>> {
        let deadline = Instant::now() + TIMEOUT;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.consumer.poll(left) {
                None => {}
                Some(Ok(message)) => return Ok((message.offset() == offset).then(|| found(message.detach()))),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) => return Err(error),
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }
}

fn found(message: OwnedMessage) -> Found {
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect());
    Found {
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
