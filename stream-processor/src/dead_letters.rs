//! Refused records → `<topic>.dlq`, with their source, reason and bytes.
//!
//! All of a batch are acknowledged before the commit that passes their offsets; so a crash can repeat a dead letter, and
//! can't lose one. Where a letter stands once in `ops.quarantine` is [`crate::quarantine`]'s care.

use std::time::Duration;

use catalog::{Feed, record};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::try_join_all;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::check::Refused;
use crate::config::ProcessorConfig;

/// A letter that isn't acknowledged within this is sent again by whoever called.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);
/// Letters on their way at once at most.
const IN_FLIGHT_MAX: usize = 10_000;
/// What stays of a payload that, with its reason beside it, is larger than the broker takes.
const CUT_BYTES: usize = 256 * 1024;

/// Sends dead letters.
pub(crate) struct DeadLetters {
    producer: FutureProducer,
}

impl DeadLetters {
    pub(crate) fn new(config: &ProcessorConfig) -> KafkaResult<DeadLetters> {
        let mut client = config.client();
        client.set("enable.idempotence", "true").set("compression.type", "lz4");
        client.set("message.timeout.ms", ACKNOWLEDGED_WITHIN.as_millis().to_string());
        Ok(DeadLetters { producer: client.create()? })
    }

    /// Sends a letter for each refused record and waits until all are acknowledged. `now`: city time.
    pub(crate) async fn send(&self, feed: &Feed, refused: &[Refused], now: DateTime<Utc>) -> KafkaResult<()> {
        let topic = feed.dead_letter_topic();
        for part in refused.chunks(IN_FLIGHT_MAX) {
            try_join_all(part.iter().map(|refused| self.send_one(&topic, feed, refused, now))).await?;
        }
        for refused in refused {
            let reason = refused.refusal.reason.code();
            metrics::counter!("hangang_check_refused_total", "feed" => feed.name, "reason" => reason).increment(1);
        }
        Ok(())
    }

    async fn send_one(&self, topic: &str, feed: &Feed, refused: &Refused, now: DateTime<Utc>) -> KafkaResult<()> {
        let payload = refused.payload.as_deref().unwrap_or_default();
        match self.attempt(topic, feed, refused, payload, &refused.refusal.detail, now).await {
            Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)) => {
                let cut = &payload[..payload.len().min(CUT_BYTES)];
                let detail =
                    format!("{} (of its {} bytes the first {} are kept)", refused.refusal.detail, payload.len(), cut.len());
                self.attempt(topic, feed, refused, cut, &detail, now).await
            }
            done => done,
        }
    }

    async fn attempt(
        &self,
        topic: &str,
        feed: &Feed,
        refused: &Refused,
        payload: &[u8],
        detail: &str,
        now: DateTime<Utc>,
    ) -> KafkaResult<()> {
        let mut letter = FutureRecord::to(topic)
            .payload(payload)
            .timestamp(now.timestamp_millis())
            .headers(headers(feed, refused, detail, now));
        if let Some(key) = &refused.key {
            letter = letter.key(key.as_slice());
        }
        self.producer.send(letter, Timeout::After(ACKNOWLEDGED_WITHIN)).await.map(|_| ()).map_err(|(error, _)| error)
    }
}

fn headers(feed: &Feed, refused: &Refused, detail: &str, now: DateTime<Utc>) -> OwnedHeaders {
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let mut headers = vec![
        (record::HEADER_REASON, refused.refusal.reason.code().to_owned()),
        (record::HEADER_DETAIL, detail.to_owned()),
        (record::HEADER_REFUSED_AT, instant(now)),
        (record::HEADER_TOPIC, feed.topic().to_owned()),
        (record::HEADER_GENERATION, refused.generation.to_string()),
        (record::HEADER_PARTITION, refused.partition.to_string()),
        (record::HEADER_OFFSET, refused.offset.to_string()),
    ];
    headers.extend(refused.received_at.map(|at| (record::HEADER_RECEIVED_AT, instant(at))));
    let all = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(all, |all, (name, value)| all.insert(Header { key: name, value: Some(value) }))
}
