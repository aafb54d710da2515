//! Taking records: each partition's batch is verified, placed and written as it came.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, ProducerId};

use super::text;
use crate::node::Node;
use crate::storage::batch::{BatchHeader, Fault};
use crate::storage::log::{AppendError, Appended};
use crate::storage::producers::Verdict;
use crate::storage::topic::Topic;

/// The response, and the first error in it.
pub(super) fn produce(node: &Node, request: ProduceRequest) -> (ProduceResponse, Option<ResponseError>) {
    let mut first_error = None;
    let acks = request.acks;
    let responses = request.topic_data.into_iter().map(|data| {
        let topic = node.store.topic(&data.name);
        let partitions = data.partition_data.into_iter().map(|data| {
            let appended = match &topic {
                _ if !(-1..=1).contains(&acks) => {
                    Err((ResponseError::InvalidRequiredAcks, format!("acks is -1, 0 or 1, not {acks}")))
                }
                None => Err((ResponseError::UnknownTopicOrPartition, "there is no such topic".into())),
                Some(topic) => append(topic, &data),
            };
            let response = PartitionProduceResponse::default().with_index(data.index).with_log_append_time_ms(-1);
            match appended {
                Ok(appended) => response.with_base_offset(appended.base_offset).with_log_start_offset(appended.start_offset),
                Err((error, message)) => {
                    first_error.get_or_insert(error);
                    response
                        .with_base_offset(-1)
                        .with_log_start_offset(-1)
                        .with_error_code(error.code())
                        .with_error_message(Some(text(message)))
                }
            }
        });
        let partitions = partitions.collect();
        TopicProduceResponse::default().with_name(data.name).with_partition_responses(partitions)
    });
    let responses = responses.collect();
    (ProduceResponse::default().with_responses(responses), first_error)
}

fn append(topic: &Topic, data: &PartitionProduceData) -> Result<Appended, (ResponseError, String)> {
    let partition = topic.partition(data.index).ok_or_else(|| {
        let message = format!("topic \"{}\" has no partition {}", topic.name, data.index);
        (ResponseError::UnknownTopicOrPartition, message)
    })?;
    let batch = data.records.as_deref().unwrap_or_default();
    let header = check(topic, batch)?;
    let appended = partition.append(batch, &header).map_err(|error| match error {
        AppendError::Deleted => (ResponseError::UnknownTopicOrPartition, "the topic was removed".to_owned()),
        AppendError::Storage(error) => (ResponseError::KafkaStorageError, format!("the disk does not take the records: {error}")),
        AppendError::Refused(verdict) => {
            let (error, message) = match verdict {
                Verdict::OldDuplicate => (ResponseError::DuplicateSequenceNumber, "the batch was written before"),
                Verdict::Fenced => (ResponseError::InvalidProducerEpoch, "a newer session of the producer has written"),
                _ => (ResponseError::OutOfOrderSequenceNumber, "a batch before it is missing"),
            };
            let producer = format!("producer {}, sequence {}", header.producer_id, header.base_sequence);
            (error, format!("{message} ({producer})"))
        }
    })?;
    if !appended.is_duplicate {
        metrics::counter!("hangang_broker_appended_records_total", "topic" => topic.name.clone())
            .increment(header.count() as u64);
        metrics::counter!("hangang_broker_appended_bytes_total", "topic" => topic.name.clone()).increment(batch.len() as u64);
    }
    Ok(appended)
}

/// Verifies what a client has sent for one partition.
fn check(topic: &Topic, batch: &[u8]) -> Result<BatchHeader, (ResponseError, String)> {
    if batch.len() as i64 > topic.number("max.message.bytes") {
        let message = format!("a batch has {} bytes at most, this one {}", topic.number("max.message.bytes"), batch.len());
        return Err((ResponseError::MessageTooLarge, message));
    }
    let header = BatchHeader::verify(batch).map_err(|fault| match fault {
        Fault::Magic(_) => (ResponseError::UnsupportedForMessageFormat, fault.to_string()),
        Fault::Short | Fault::Checksum => (ResponseError::CorruptMessage, fault.to_string()),
        Fault::Header(_) => (ResponseError::InvalidRecord, fault.to_string()),
    })?;
    let invalid = |message: &str| Err((ResponseError::InvalidRecord, message.to_owned()));
    if header.total_bytes() != batch.len() {
        return invalid("a partition takes exactly one batch in a request");
    }
    if header.is_transactional() {
        return invalid("the broker has no transactions");
    }
    if header.has_log_append_time() {
        return invalid("timestamps are the producer's, so a batch cannot come with the broker's");
    }
    if header.is_idempotent() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return invalid("a producer with an id counts its batches");
    }
    Ok(header)
}

/// Gives a producer's session its id. There are no transactions, so each session is a new producer.
pub(super) fn init_producer_id(node: &Node, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let refused = |error: ResponseError| {
        InitProducerIdResponse::default().with_error_code(error.code()).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
    };
    if request.transactional_id.is_some() {
        return refused(ResponseError::InvalidRequest);
    }
    match node.store.next_producer_id() {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0),
        Err(error) => {
            tracing::error!(%error, "could not give out a producer's id; the producer is told to try again");
            refused(ResponseError::CoordinatorNotAvailable)
        }
    }
}
