//! Giving records: waits until there are enough, then reads whole batches as they lie on the disk.
//!
//! There are no fetch sessions: a client that asks for one is given none and names its partitions each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Refused, blocking};
use crate::node::Node;
use crate::storage::log::{Extent, ReadError};
use crate::storage::partition::Partition;

/// The longest wait for records; clients ask for half a second.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes of records in one answer, whatever the client would take.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A topic as it was asked for.
struct Wanted {
    name: TopicName,
    id: Uuid,
    partitions: Vec<WantedPartition>,
}

struct WantedPartition {
    index: i32,
    offset: i64,
    bytes_max: usize,
    found: Result<Arc<Partition>, ResponseError>,
}

/// The response, and the memory set aside for its records.
pub(super) async fn fetch(
    node: &Arc<Node>,
    request: FetchRequest,
    version: i16,
) -> Result<(FetchResponse, Option<OwnedSemaphorePermit>), Refused> {
    if request.session_id != 0 {
        let error = ResponseError::FetchSessionIdNotFound;
        return Ok((FetchResponse::default().with_error_code(error.code()), None));
    }
    let wanted: Arc<[Wanted]> = request.topics.iter().map(|topic| find(node, topic, version)).collect();
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(ANSWER_BYTES_MAX);
    let available = wait(node, &wanted, &request, bytes_max).await?;
    // A first batch may be greater than what was asked for; it counts as the most that it can be.
    let memory = available.clamp(1, bytes_max.max(crate::BATCH_BYTES_MAX)) as u32;
    let memory =
        node.fetch_bytes.clone().acquire_many_owned(memory).await.map_err(|error| Refused::Internal(error.to_string()))?;
    let responses = blocking(move || read(&wanted, bytes_max, version)).await?;
    Ok((FetchResponse::default().with_responses(responses), Some(memory)))
}

fn find(node: &Node, asked: &FetchTopic, version: i16) -> Wanted {
    let found = match version {
        13.. => node.store.topic_by_id(asked.topic_id).ok_or(ResponseError::UnknownTopicId),
        _ => node.store.topic(&asked.topic).ok_or(ResponseError::UnknownTopicOrPartition),
    };
    let partition = |asked: &FetchPartition| {
        let known = found.as_ref().map_err(|error| *error);
        let known =
            known.and_then(|topic| topic.partition(asked.partition).cloned().ok_or(ResponseError::UnknownTopicOrPartition));
        WantedPartition {
            index: asked.partition,
            offset: asked.fetch_offset,
            bytes_max: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
            found: if asked.current_leader_epoch > crate::LEADER_EPOCH { Err(ResponseError::UnknownLeaderEpoch) } else { known },
        }
    };
    Wanted { name: asked.topic.clone(), id: asked.topic_id, partitions: asked.partitions.iter().map(partition).collect() }
}

/// Waits until there are `min_bytes`, something to tell, or the client's patience ends. Returns the bytes that are there.
async fn wait(node: &Node, wanted: &Arc<[Wanted]>, request: &FetchRequest, bytes_max: usize) -> Result<usize, Refused> {
    let until = Instant::now() + Duration::from_millis(request.max_wait_ms.max(0) as u64).min(WAIT_MAX);
    let enough = usize::try_from(request.min_bytes).unwrap_or(0).clamp(1, bytes_max.max(1));
    let waiter = Arc::new(Notify::new());
    loop {
        // First the waiting, then the look: what comes in between is not missed.
        let found = wanted.iter().flat_map(|topic| &topic.partitions).filter_map(|partition| partition.found.as_ref().ok());
        found.for_each(|partition| partition.notify(&waiter));
        let looked_at = wanted.clone();
        let (available, has_news) = blocking(move || look(&looked_at)).await?;
        if has_news || available >= enough || Instant::now() >= until {
            return Ok(available);
        }
        tokio::select! {
            () = waiter.notified() => {}
            () = tokio::time::sleep_until(until) => {}
            () = node.stop.cancelled() => return Ok(available),
        }
    }
}

/// The bytes that are there, and whether there is something to tell at once.
fn look(wanted: &[Wanted]) -> (usize, bool) {
    let (mut available, mut has_news) = (0, wanted.is_empty());
    for partition in wanted.iter().flat_map(|topic| &topic.partitions) {
        match partition.found.as_ref().map(|found| found.bytes_from(partition.offset)) {
            Ok(Ok(bytes)) => available += partition.bytes_max.min(usize::try_from(bytes).unwrap_or(usize::MAX)),
            _ => has_news = true,
        }
    }
    (available, has_news)
}

fn read(wanted: &[Wanted], bytes_max: usize, version: i16) -> Vec<FetchableTopicResponse> {
    let mut left = bytes_max;
    let mut has_read = false;
    let topics = wanted.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let (records, extent, error) = match read_partition(wanted, left, !has_read) {
                Ok((records, extent)) => (records, extent, 0),
                Err((error, extent)) => (Bytes::new(), extent, error.code()),
            };
            left = left.saturating_sub(records.len());
            has_read |= !records.is_empty();
            PartitionData::default()
                .with_partition_index(wanted.index)
                .with_error_code(error)
                .with_high_watermark(extent.end)
                .with_last_stable_offset(extent.end)
                .with_log_start_offset(extent.start)
                .with_aborted_transactions(Some(Vec::new()))
                .with_preferred_read_replica((-1).into())
                .with_records(Some(records))
        });
        let response = FetchableTopicResponse::default().with_partitions(partitions.collect());
        if version >= 13 { response.with_topic_id(topic.id) } else { response.with_topic(topic.name.clone()) }
    });
    topics.collect()
}

fn read_partition(wanted: &WantedPartition, left: usize, at_least_one: bool) -> Result<(Bytes, Extent), (ResponseError, Extent)> {
    const UNKNOWN: Extent = Extent { start: -1, end: -1 };
    let partition = wanted.found.as_ref().map_err(|&error| (error, UNKNOWN))?;
    let range = partition.locate(wanted.offset).map_err(|error| match error {
        ReadError::Deleted => (ResponseError::UnknownTopicOrPartition, UNKNOWN),
        ReadError::OutOfRange => (ResponseError::OffsetOutOfRange, partition.extent()),
    })?;
    let records = match range {
        // A partition that is asked for no bytes is still told its extent.
        Some(range) if left > 0 || at_least_one => partition.read(&range, wanted.bytes_max.min(left), at_least_one),
        _ => Ok(Bytes::new()),
    };
    // Its end as of now: it may have grown, but it never shrinks below what was read.
    let records = records.map_err(|error| (error, partition.extent()))?;
    Ok((records, partition.extent()))
}
