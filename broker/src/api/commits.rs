//! Committing offsets, and asking for what was committed.

use std::time::Instant;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::coordinator::check_group_id;
use super::text;
use crate::groups::offsets::{CommitError, Committed, METADATA_BYTES_MAX, Place};
use crate::node::Node;

pub(super) fn commit(node: &Node, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let allowed = check(node, &request);
    let group = request.group_id.as_str();
    let mut commits: Vec<(Place, Committed)> = Vec::new();
    let topics = request.topics.iter().map(|topic| {
        let known = node.store.topic(&topic.name);
        let partitions = topic.partitions.iter().map(|partition| {
            let is_known = known.as_ref().is_some_and(|topic| topic.partition(partition.partition_index).is_some());
            let metadata = partition.committed_metadata.as_ref().map_or("", |metadata| metadata.as_str());
            let error = match allowed {
                Err(error) => error.code(),
                Ok(()) if !is_known => ResponseError::UnknownTopicOrPartition.code(),
                Ok(()) if metadata.len() > METADATA_BYTES_MAX => ResponseError::OffsetMetadataTooLarge.code(),
                Ok(()) if partition.committed_offset < 0 => ResponseError::InvalidCommitOffsetSize.code(),
                Ok(()) => {
                    let place = (group.to_owned(), topic.name.to_string(), partition.partition_index);
                    let (offset, leader_epoch) = (partition.committed_offset, partition.committed_leader_epoch);
                    commits.push((place, Committed { offset, leader_epoch, metadata: metadata.to_owned() }));
                    0
                }
            };
            OffsetCommitResponsePartition::default().with_partition_index(partition.partition_index).with_error_code(error)
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let mut topics: Vec<OffsetCommitResponseTopic> = topics.collect();
    if let Err(error) = node.offsets.commit(commits) {
        let code = match error {
            CommitError::TooMany => ResponseError::PolicyViolation.code(),
            CommitError::Storage(error) => {
                tracing::error!(group, %error, "could not keep what a group has committed; it is told to try again");
                ResponseError::CoordinatorNotAvailable.code()
            }
        };
        let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.filter(|partition| partition.error_code == 0).for_each(|partition| partition.error_code = code);
    }
    OffsetCommitResponse::default().with_topics(topics)
}

fn check(node: &Node, request: &OffsetCommitRequest) -> Result<(), ResponseError> {
    check_group_id(&request.group_id)?;
    let generation = request.generation_id_or_member_epoch;
    let checked = node.groups.with(&request.group_id, |group| {
        group.check_commit(&request.member_id, request.group_instance_id.as_ref(), generation, Instant::now())
    });
    match checked {
        Some(checked) => checked,
        // Anyone may commit for a group that no one is in.
        None if generation < 0 => Ok(()),
        None => Err(ResponseError::UnknownMemberId),
    }
}

pub(super) fn fetch(node: &Node, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    if version < 8 {
        let asked = request.topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
        let topics = committed(node, &request.group_id, asked).into_iter().map(|(name, partitions)| {
            let partition = |(index, committed): (i32, Committed)| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(committed.offset)
                    .with_committed_leader_epoch(committed.leader_epoch)
                    .with_metadata(Some(text(committed.metadata)))
            };
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.into_iter().map(partition).collect())
        });
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let groups = request.groups.into_iter().map(|group| {
        let asked = group.topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
        let topics = committed(node, &group.group_id, asked).into_iter().map(|(name, partitions)| {
            let partition = |(index, committed): (i32, Committed)| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(committed.offset)
                    .with_committed_leader_epoch(committed.leader_epoch)
                    .with_metadata(Some(text(committed.metadata)))
            };
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.into_iter().map(partition).collect())
        });
        OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone()).with_topics(topics.collect())
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

type OfTopic = (TopicName, Vec<(i32, Committed)>);

/// What a group has committed: of the places asked for (offset −1 where nothing was), or of all.
fn committed(node: &Node, group: &str, asked: Option<Vec<(TopicName, Vec<i32>)>>) -> Vec<OfTopic> {
    let Some(asked) = asked else {
        let mut topics: Vec<OfTopic> = Vec::new();
        for ((_, topic, partition), committed) in node.offsets.of_group(group) {
            match topics.last_mut() {
                Some((name, partitions)) if name.as_str() == topic => partitions.push((partition, committed)),
                _ => topics.push((TopicName(text(topic)), vec![(partition, committed)])),
            }
        }
        return topics;
    };
    let none = Committed { offset: -1, leader_epoch: -1, metadata: String::new() };
    let of =
        |topic: &TopicName, partition| (partition, node.offsets.get(group, topic, partition).unwrap_or_else(|| none.clone()));
    asked
        .into_iter()
        .map(|(topic, indexes)| (topic.clone(), indexes.into_iter().map(|index| of(&topic, index)).collect()))
        .collect()
}
