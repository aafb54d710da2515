//! Offsets by time, and where a partition begins and ends.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use crate::node::Node;

// Kafka's words for what is no time.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// No offset, no timestamp.
const NONE: i64 = -1;

pub(super) fn list(node: &Node, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partition = |asked: &ListOffsetsPartition| {
            let response = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            match find(node, &topic.name, asked) {
                Ok((offset, timestamp)) => {
                    let leader_epoch = if version >= 4 { crate::LEADER_EPOCH } else { NONE as i32 };
                    response.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(leader_epoch)
                }
                Err(error) => response.with_error_code(error.code()).with_offset(NONE).with_timestamp(NONE),
            }
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// Offset and timestamp.
fn find(node: &Node, topic: &str, asked: &ListOffsetsPartition) -> Result<(i64, i64), ResponseError> {
    let topic = node.store.topic(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.partition(asked.partition_index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let found = match asked.timestamp {
        LATEST => return Ok((partition.extent().end, NONE)),
        EARLIEST => return Ok((partition.extent().start, NONE)),
        MAX_TIMESTAMP => partition.latest(),
        timestamp if timestamp >= 0 => partition.first_at_or_after(timestamp),
        _ => return Err(ResponseError::UnsupportedVersion),
    };
    let found = found.map_err(|error| {
        tracing::error!(topic = topic.name, partition = asked.partition_index, %error, "could not look for a time");
        match error.kind() {
            std::io::ErrorKind::InvalidData => ResponseError::CorruptMessage,
            _ => ResponseError::KafkaStorageError,
        }
    })?;
    Ok(found.unwrap_or((NONE, NONE)))
}

/// Where each leader epoch ends. There is one, which ends with the log: a consumer that is beyond it learns that records
/// it has read are gone.
pub(super) fn epoch_ends(node: &Node, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let topic = node.store.topic(&asked.topic);
        let partitions = asked.partitions.iter().map(|asked| {
            let response = EpochEndOffset::default().with_partition(asked.partition);
            match topic.as_ref().and_then(|topic| topic.partition(asked.partition)) {
                None => response
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                    .with_leader_epoch(-1)
                    .with_end_offset(NONE),
                Some(_) if asked.leader_epoch > crate::LEADER_EPOCH => response.with_leader_epoch(-1).with_end_offset(NONE),
                Some(partition) => response.with_leader_epoch(crate::LEADER_EPOCH).with_end_offset(partition.extent().end),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(asked.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
