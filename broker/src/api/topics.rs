//! Making and removing topics, and the beginnings of their partitions.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::{code, text};
use crate::node::{NODE_ID, Node};
use crate::storage::store::{CreateError, PARTITIONS_MAX, TOPICS_MAX};
use crate::storage::topic::{SettingKind, check_name, check_setting, setting};

/// DeleteRecords' word for "all there is now".
const TO_THE_END: i64 = -1;

/// An error for the client, with the sentence that explains it.
type Explained = (ResponseError, String);

pub(super) fn create(node: &Node, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let name = topic.name.clone();
        match create_one(node, topic, request.validate_only) {
            Ok(result) => result,
            Err((error, message)) => CreatableTopicResult::default()
                .with_name(name)
                .with_error_code(error.code())
                .with_error_message(Some(text(message)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_one(node: &Node, topic: CreatableTopic, validate_only: bool) -> Result<CreatableTopicResult, Explained> {
    check_name(&topic.name).map_err(|message| (ResponseError::InvalidTopicException, message))?;
    let partitions = partition_count(&topic)?;
    let mut settings = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            return Err((ResponseError::InvalidConfig, format!("\"{}\" has no value", config.name)));
        };
        check_setting(&config.name, value).map_err(|message| (ResponseError::InvalidConfig, message))?;
        let setting = setting(&config.name).expect("it was just checked");
        if matches!(setting.kind, SettingKind::Kept(..)) && value.as_str() != setting.default {
            tracing::warn!(topic = %topic.name.0, setting = setting.name, %value, "kept, but not acted upon: {}", setting.documentation);
        }
        settings.insert(config.name.to_string(), value.to_string());
    }
    let made = node.store.create(&topic.name, partitions, settings.clone(), validate_only).map_err(|error| match error {
        CreateError::Exists => (ResponseError::TopicAlreadyExists, format!("topic \"{}\" exists", topic.name.0)),
        CreateError::TooMany => {
            let message = format!("the broker holds {TOPICS_MAX} topics and {PARTITIONS_MAX} partitions at most");
            (ResponseError::PolicyViolation, message)
        }
        CreateError::Storage(error) => {
            tracing::error!(topic = %topic.name.0, %error, "could not make a topic");
            (ResponseError::KafkaStorageError, error.to_string())
        }
    })?;
    let configs = settings.into_iter().map(|(name, value)| {
        CreatableTopicConfigs::default().with_name(text(name)).with_value(Some(text(value))).with_config_source(1)
    });
    Ok(CreatableTopicResult::default()
        .with_name(topic.name)
        .with_topic_id(made.map_or(Uuid::nil(), |topic| topic.id))
        .with_num_partitions(partitions as i32)
        .with_replication_factor(1)
        .with_configs(Some(configs.collect())))
}

fn partition_count(topic: &CreatableTopic) -> Result<u32, Explained> {
    if !topic.assignments.is_empty() {
        let is_sound = (0..)
            .zip(&topic.assignments)
            .all(|(index, assignment)| assignment.partition_index == index && assignment.broker_ids == [NODE_ID]);
        let message = || format!("partitions are numbered from 0 and lie on node {}, the only one", NODE_ID.0);
        return if is_sound {
            Ok(topic.assignments.len() as u32)
        } else {
            Err((ResponseError::InvalidReplicaAssignment, message()))
        };
    }
    if topic.replication_factor != 1 && topic.replication_factor != -1 {
        let message = format!("replication factor {} needs more nodes than the one there is", topic.replication_factor);
        return Err((ResponseError::InvalidReplicationFactor, message));
    }
    match topic.num_partitions {
        -1 => Ok(1),
        count if count >= 1 => Ok(count as u32),
        count => Err((ResponseError::InvalidPartitions, format!("a topic has at least one partition, not {count}"))),
    }
}

pub(super) fn delete(node: &Node, request: DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    let asked: Vec<(Option<TopicName>, Uuid)> = match version {
        6.. => request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)).collect(),
        _ => request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil())).collect(),
    };
    let results = asked.into_iter().map(|(name, id)| {
        let known = match &name {
            Some(name) => node.store.topic(name).ok_or(ResponseError::UnknownTopicOrPartition),
            None => node.store.topic_by_id(id).ok_or(ResponseError::UnknownTopicId),
        };
        let deleted = known.as_ref().map_err(|error| *error).and_then(|topic| delete_one(node, &topic.name));
        DeletableTopicResult::default()
            .with_name(name.or_else(|| known.as_ref().ok().map(|topic| TopicName(text(&topic.name)))))
            .with_topic_id(known.map_or(id, |topic| topic.id))
            .with_error_code(code(deleted))
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

fn delete_one(node: &Node, name: &str) -> Result<(), ResponseError> {
    let deleted = node.store.delete(name).and_then(|was_there| {
        node.offsets.forget_topic(name)?;
        Ok(was_there)
    });
    match deleted {
        Ok(true) => Ok(()),
        Ok(false) => Err(ResponseError::UnknownTopicOrPartition),
        Err(error) => {
            tracing::error!(topic = name, %error, "could not remove a topic whole");
            Err(ResponseError::KafkaStorageError)
        }
    }
}

pub(super) fn delete_records(node: &Node, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partition = |partition: &DeleteRecordsPartition| {
            let deleted = delete_records_of(node, &topic.name, partition);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(deleted.unwrap_or(-1))
                .with_error_code(code(deleted.map(|_| ())))
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete_records_of(node: &Node, topic: &str, asked: &DeleteRecordsPartition) -> Result<i64, ResponseError> {
    let topic = node.store.topic(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.partition(asked.partition_index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let end = partition.extent().end;
    let offset = if asked.offset == TO_THE_END { end } else { asked.offset };
    if !(0..=end).contains(&offset) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    partition.delete_before(offset).map_err(|error| {
        tracing::error!(topic = topic.name, partition = asked.partition_index, %error, "could not delete records");
        ResponseError::KafkaStorageError
    })
}
