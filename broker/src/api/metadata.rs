//! Metadata: which topics there are, and that the one node leads them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};

use super::text;
use crate::node::{Caller, NODE_ID, Node};
use crate::storage::store::CreateError;
use crate::storage::topic::{Topic, check_name};

pub(super) fn metadata(node: &Node, caller: &Caller, request: MetadataRequest, version: i16) -> MetadataResponse {
    let topics = match request.topics {
        None => node.store.topics().iter().map(|topic| describe(topic)).collect(),
        // Version 0 has no other way to ask for all.
        Some(asked) if asked.is_empty() && version == 0 => node.store.topics().iter().map(|topic| describe(topic)).collect(),
        Some(asked) => {
            let may_create = version < 4 || request.allow_auto_topic_creation;
            let answer = |name: Option<TopicName>, id| match name {
                Some(name) => by_name(node, name, may_create),
                None => match node.store.topic_by_id(id) {
                    Some(topic) => describe(&topic),
                    None => MetadataResponseTopic::default()
                        // A name cannot be left out before version 12.
                        .with_name((version < 12).then(TopicName::default))
                        .with_topic_id(id)
                        .with_error_code(ResponseError::UnknownTopicId.code()),
                },
            };
            asked.into_iter().map(|topic| answer(topic.name, topic.topic_id)).collect()
        }
    };
    let itself = MetadataResponseBroker::default().with_node_id(NODE_ID).with_host(caller.host.clone()).with_port(caller.port);
    MetadataResponse::default()
        .with_brokers(vec![itself])
        .with_cluster_id(Some(text(&node.store.cluster_id)))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
}

fn by_name(node: &Node, name: TopicName, may_create: bool) -> MetadataResponseTopic {
    let found = match (node.store.topic(&name), node.auto_create_partitions) {
        (Some(topic), _) => Ok(topic),
        (None, _) if check_name(&name).is_err() => Err(ResponseError::InvalidTopicException),
        (None, Some(partitions)) if may_create => create(node, &name, partitions),
        (None, _) => Err(ResponseError::UnknownTopicOrPartition),
    };
    match found {
        Ok(topic) => describe(&topic),
        Err(error) => MetadataResponseTopic::default().with_name(Some(name)).with_error_code(error.code()),
    }
}

fn create(node: &Node, name: &str, partitions: u32) -> Result<Arc<Topic>, ResponseError> {
    match node.store.create(name, partitions, BTreeMap::new(), false) {
        Ok(made) => made.ok_or(ResponseError::UnknownTopicOrPartition),
        Err(CreateError::Exists) => node.store.topic(name).ok_or(ResponseError::UnknownTopicOrPartition),
        Err(CreateError::TooMany) => Err(ResponseError::PolicyViolation),
        Err(CreateError::Storage(error)) => {
            tracing::error!(topic = name, %error, "could not make a topic");
            Err(ResponseError::KafkaStorageError)
        }
    }
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(crate::LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(vec![NODE_ID])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partitions.len()).map(partition).collect())
}
