//! Step 4: records → Kafka, kept and offered again until they are acknowledged.
//!
//! The producer is idempotent, so that a repeat after a lost acknowledgement leaves one record. Only an orderly stop
//! gives records up before that, and then says so: they come again, since their asks are made again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::Bytes;
use catalog::{Feed, record as catalog_record};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders, ToBytes};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use tokio_util::sync::CancellationToken;

use crate::record::{Record, rfc3339};

/// Records handed to librdkafka and not acknowledged: some pages of 1000 rows. Whoever brings more waits.
const UNACKNOWLEDGED_MAX: &str = "20000";
const UNACKNOWLEDGED_KIB_MAX: &str = "32768";
/// Kafka's own greatest record, `max.message.bytes`: an answer kept whole (1 MB at most) and its headers.
const RECORD_BYTES_MAX: &str = "1048588";
/// How long a record waits for others to share its batch.
const LINGER_MS: &str = "5";
/// Longest pause before a lost broker is tried again; it takes some seconds to come back.
const RECONNECT_MS_MAX: &str = "1000";
/// How long a topic may be unknown before that is an error; one that was just made is known everywhere by then.
const TOPIC_UNKNOWN_MS_MAX: &str = "10000";
/// Pause before records that were refused are offered again.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// How long an orderly stop waits for acknowledgements.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// An orderly stop came before the acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{records} records were not acknowledged before the stop; they are asked for again at the next start")]
pub struct Unacknowledged {
    pub records: usize,
}

/// Publishes records and dead letters to one Kafka cluster.
pub struct Publisher {
    config: ClientConfig,
    /// Replaced when an idempotent producer has failed for good.
    producer: RwLock<FutureProducer<Context>>,
    trouble: Trouble,
    /// How many wait for acknowledgements.
    waiting: AtomicUsize,
    cancel: CancellationToken,
}

/// An answer that could not be read, whole.
pub(crate) struct DeadLetter {
    pub(crate) bytes: Bytes,
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    pub(crate) refused_at: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
}

impl Publisher {
    /// A producer for the cluster at `bootstrap` (`host:port`, several separated by commas). Connects on its own.
    pub fn new(bootstrap: &str, cancel: CancellationToken) -> KafkaResult<Publisher> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("client.id", "hangang-producers")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            // Java's default, so that a series has its partition whichever client writes it.
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", RECORD_BYTES_MAX)
            .set("linger.ms", LINGER_MS)
            .set("queue.buffering.max.messages", UNACKNOWLEDGED_MAX)
            .set("queue.buffering.max.kbytes", UNACKNOWLEDGED_KIB_MAX)
            // Never given up: a poll isn't done until its records are acknowledged.
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.max.ms", RECONNECT_MS_MAX)
            .set("topic.metadata.propagation.max.ms", TOPIC_UNKNOWN_MS_MAX)
            .set_log_level(RDKafkaLogLevel::Debug);
        let trouble = Trouble::default();
        let producer = config.create_with_context(Context { trouble: trouble.clone() })?;
        Ok(Publisher { config, producer: RwLock::new(producer), trouble, waiting: AtomicUsize::new(0), cancel })
    }

    /// Publishes records to a feed's topic and returns when all are acknowledged.
    pub async fn publish(&self, feed: &Feed, records: &[Record]) -> Result<(), Unacknowledged> {
        let topic = feed.topic();
        let message = |record| message(topic, record);
        self.acknowledged(topic, records.iter().collect(), message).await?;
        metrics::counter!("hangang_publish_records_total", "feed" => feed.name).increment(records.len() as u64);
        Ok(())
    }

    /// Keeps an answer in the feed's dead letters, with the reason in its headers; it has no source offset.
    pub(crate) async fn dead_letter(&self, feed: &Feed, letter: &DeadLetter) -> Result<(), Unacknowledged> {
        let topic = feed.dead_letter_topic();
        let (refused_at, received_at) = (rfc3339(letter.refused_at), rfc3339(letter.received_at));
        let headers = [
            (catalog_record::HEADER_REASON, letter.reason),
            (catalog_record::HEADER_DETAIL, letter.detail.as_str()),
            (catalog_record::HEADER_REFUSED_AT, refused_at.as_str()),
            (catalog_record::HEADER_RECEIVED_AT, received_at.as_str()),
        ];
        let headers =
            headers.iter().fold(OwnedHeaders::new(), |headers, &(key, value)| headers.insert(Header { key, value: Some(value) }));
        let timestamp_ms = letter.received_at.timestamp_millis();
        let message = FutureRecord::<(), [u8]>::to(&topic).payload(&letter.bytes[..]).timestamp(timestamp_ms).headers(headers);
        self.acknowledged(&topic, vec![&message], clone).await?;
        metrics::counter!("hangang_publish_dead_letters_total", "feed" => feed.name, "reason" => letter.reason).increment(1);
        Ok(())
    }

    /// What keeps records from being acknowledged, in words; none while all is well, or nothing waits.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.trouble.lock().clone()
    }

    async fn acknowledged<'a, T, K, P>(
        &self,
        topic: &str,
        records: Vec<&'a T>,
        message: impl Fn(&'a T) -> FutureRecord<'a, K, P>,
    ) -> Result<(), Unacknowledged>
    where
        K: ToBytes + ?Sized + 'a,
        P: ToBytes + ?Sized + 'a,
    {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let acknowledged = self.offer(topic, records, message).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        acknowledged
    }

    /// Offers records until all are taken.
    async fn offer<'a, T, K, P>(
        &self,
        topic: &str,
        mut left: Vec<&'a T>,
        message: impl Fn(&'a T) -> FutureRecord<'a, K, P>,
    ) -> Result<(), Unacknowledged>
    where
        K: ToBytes + ?Sized + 'a,
        P: ToBytes + ?Sized + 'a,
    {
        loop {
            let producer = self.producer.read().expect("no holder of the producer panics").clone();
            fail::fail_point!("publish.before-acknowledgement");
            let sent = join_all(left.iter().map(|&item| producer.send(message(item), Timeout::Never)));
            let answers = tokio::select! {
                answers = sent => answers,
                () = self.stop_waiting() => return Err(Unacknowledged { records: left.len() }),
            };
            // A kill here leaves records that are there and that nobody has noted.
            fail::fail_point!("publish.after-acknowledgement");
            let refusal = answers.iter().find_map(|answer| answer.as_ref().err().map(|(error, _)| error.clone()));
            let Some(refusal) = refusal else {
                self.trouble.clear();
                return Ok(());
            };
            left = left.into_iter().zip(&answers).filter(|(_, answer)| answer.is_err()).map(|(item, _)| item).collect();
            metrics::counter!("hangang_publish_refused_total", "topic" => topic.to_owned()).increment(left.len() as u64);
            self.trouble.note(format!(
                "the broker does not take records for the topic \"{topic}\": {refusal}; they are kept and offered again"
            ));
            self.revive(&producer);
            tokio::select! {
                () = tokio::time::sleep(REFUSED_PAUSE) => {}
                () = self.cancel.cancelled() => return Err(Unacknowledged { records: left.len() }),
            }
        }
    }

    async fn stop_waiting(&self) {
        self.cancel.cancelled().await;
        tokio::time::sleep(STOP_WAIT).await;
    }

    /// An idempotent producer that lost its place in the sequence never sends again: begin a new session. What was not
    /// acknowledged may then be there twice, harmlessly.
    fn revive(&self, failed: &FutureProducer<Context>) {
        let Some((code, reason)) = failed.client().fatal_error() else { return };
        let mut producer = self.producer.write().expect("no holder of the producer panics");
        if producer.client().fatal_error().is_none() {
            return;
        }
        tracing::warn!(%code, reason, "the producer's session has ended; a new one begins");
        match self.config.create_with_context(Context { trouble: self.trouble.clone() }) {
            Ok(new) => *producer = new,
            Err(error) => tracing::error!(%error, "no new producer can be made; trying again"),
        }
    }
}

fn message<'a>(topic: &'a str, record: &'a Record) -> FutureRecord<'a, String, String> {
    FutureRecord::to(topic).key(&record.key).payload(&record.payload).timestamp(record.timestamp_ms)
}

fn clone<'a>(message: &'a FutureRecord<'a, (), [u8]>) -> FutureRecord<'a, (), [u8]> {
    FutureRecord {
        topic: message.topic,
        partition: None,
        payload: message.payload,
        key: None,
        timestamp: message.timestamp,
        headers: message.headers.clone(),
    }
}

/// What is wrong with the way to the broker, said once until it is over.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.lock().expect("no holder of a message panics")
    }

    fn note(&self, message: String) {
        let mut trouble = self.lock();
        if trouble.is_none() {
            tracing::warn!("{message}");
        }
        *trouble = Some(message);
    }

    fn clear(&self) {
        if self.lock().take().is_some() {
            tracing::info!("the broker takes records again");
        }
    }
}

/// librdkafka repeats itself at each attempt: its errors become one trouble, its log lines are for debugging.
struct Context {
    trouble: Trouble,
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            // One connection less: it is made again, and if it cannot be, the other code follows.
            return tracing::debug!(target: "librdkafka", %error, reason);
        }
        self.trouble.note(format!("no way to the broker: {reason}; records are kept and offered again"));
    }
}
