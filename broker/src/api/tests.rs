//! Every request in every version, sound and broken, against a node without a network.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::{metadata_response::MetadataResponseTopic, *};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::shape::tests::sample;
use super::*;
use crate::groups::Groups;
use crate::groups::offsets::Offsets;
use crate::storage::SEGMENT_BYTES;
use crate::storage::log::properties::seed;
use crate::storage::store::Store;

/// A node with the topic that the samples speak of.
fn node() -> (tempfile::TempDir, Arc<Node>, Caller) {
    let folder = tempfile::tempdir().unwrap();
    let node = Arc::new(Node {
        store: Store::open(folder.path(), SEGMENT_BYTES).unwrap(),
        groups: Arc::new(Groups::default()),
        offsets: Offsets::open(folder.path()).unwrap(),
        advertised: None,
        auto_create_partitions: None,
        request_bytes: Semaphore::new(1 << 25),
        fetch_bytes: Arc::new(Semaphore::new(1 << 25)),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    });
    node.store.create("topic", 2, BTreeMap::new(), false).unwrap();
    let caller = node.caller("127.0.0.1:5".parse().unwrap(), "127.0.0.1:9092".parse().unwrap());
    (folder, node, caller)
}

fn frame(key: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    let mut bytes = BytesMut::new();
    header.encode(&mut bytes, key.request_header_version(version)).unwrap();
    bytes.extend_from_slice(body);
    bytes.to_vec()
}

/// Reads an answer as its client does; whatever is left over is a mistake.
fn check_answer(key: ApiKey, version: i16, answer: Bytes) {
    let mut bytes = answer;
    assert_eq!(bytes.get_u32() as usize, bytes.len());
    macro_rules! read {
        ($response:ty) => {{
            let header = ResponseHeader::decode(&mut bytes, <$response>::header_version(version)).unwrap();
            assert_eq!(header.correlation_id, 7);
            <$response>::decode(&mut bytes, version).map(|_| ())
        }};
    }
    let read = match key {
        ApiKey::Produce => read!(ProduceResponse),
        ApiKey::Fetch => read!(FetchResponse),
        ApiKey::ListOffsets => read!(ListOffsetsResponse),
        ApiKey::Metadata => read!(MetadataResponse),
        ApiKey::OffsetCommit => read!(OffsetCommitResponse),
        ApiKey::OffsetFetch => read!(OffsetFetchResponse),
        ApiKey::FindCoordinator => read!(FindCoordinatorResponse),
        ApiKey::JoinGroup => read!(JoinGroupResponse),
        ApiKey::Heartbeat => read!(HeartbeatResponse),
        ApiKey::LeaveGroup => read!(LeaveGroupResponse),
        ApiKey::SyncGroup => read!(SyncGroupResponse),
        ApiKey::DescribeGroups => read!(DescribeGroupsResponse),
        ApiKey::ListGroups => read!(ListGroupsResponse),
        ApiKey::ApiVersions => read!(ApiVersionsResponse),
        ApiKey::CreateTopics => read!(CreateTopicsResponse),
        ApiKey::DeleteTopics => read!(DeleteTopicsResponse),
        ApiKey::DeleteRecords => read!(DeleteRecordsResponse),
        ApiKey::InitProducerId => read!(InitProducerIdResponse),
        ApiKey::OffsetForLeaderEpoch => read!(OffsetForLeaderEpochResponse),
        ApiKey::DescribeConfigs => read!(DescribeConfigsResponse),
        other => panic!("{other:?} is answered, but not checked"),
    };
    read.unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
    assert!(!bytes.has_remaining(), "{key:?} {version}: {} bytes are left over", bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_answered_in_every_version() {
    let (_folder, node, caller) = node();
    tokio::spawn(node.groups.clone().keep_time(node.stop.clone()));
    for api in APIS {
        for version in api.version_min..=api.version_max {
            let body = sample(api.key, version);
            // The sample has no acks.
            let is_unanswered = api.key == ApiKey::Produce;
            match answer(&node, &caller, frame(api.key, version, &body).into()).await {
                Ok(Some(answer)) => check_answer(api.key, version, answer.bytes),
                Err(Refused::Unanswerable(_)) if is_unanswered => {}
                other => panic!("{:?} {version}: {:?}", api.key, other.map(|answer| answer.map(|answer| answer.bytes))),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_answered_in_every_version_from_joining_to_leaving() {
    let (_folder, node, caller) = node();
    tokio::spawn(node.groups.clone().keep_time(node.stop.clone()));
    for version in 0..=9i16 {
        let mut join = JoinGroupRequest::decode(&mut Bytes::from(sample(ApiKey::JoinGroup, version)), version).unwrap();
        let joined = loop {
            let joined = coordinator::join(&node, &caller, &StrBytes::default(), join.clone(), version).await;
            let bytes = encode(&joined, version, 7).unwrap().bytes;
            check_answer(ApiKey::JoinGroup, version, bytes);
            if joined.error_code != ResponseError::MemberIdRequired.code() {
                break joined;
            }
            join.member_id = joined.member_id;
        };
        assert_eq!((joined.error_code, joined.members.len()), (0, 1), "version {version}");
        let sync_version = version.min(5);
        let sync = SyncGroupRequest::default()
            .with_group_id(join.group_id.clone())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        let synced = coordinator::sync(&node, sync).await;
        assert_eq!(synced.error_code, 0, "version {version}");
        check_answer(ApiKey::SyncGroup, sync_version, encode(&synced, sync_version, 7).unwrap().bytes);
        let described = coordinator::describe(&node, DescribeGroupsRequest::default().with_groups(vec![join.group_id.clone()]));
        assert_eq!((described.groups[0].group_state.as_str(), described.groups[0].members.len()), ("Stable", 1));
        check_answer(ApiKey::DescribeGroups, sync_version, encode(&described, sync_version, 7).unwrap().bytes);
        let left = coordinator::leave(
            &node,
            LeaveGroupRequest::default().with_group_id(join.group_id).with_member_id(joined.member_id),
            2,
        );
        assert_eq!(left.error_code, 0, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_topics_are_told_by_name_and_by_id() {
    let (_folder, node, caller) = node();
    let of = |topic: &MetadataResponseTopic| {
        (topic.name.as_ref().map(|name| name.to_string()), topic.error_code, topic.partitions.len())
    };
    let all = metadata::metadata(&node, &caller, MetadataRequest::default().with_topics(None), 12);
    assert_eq!(all.topics.iter().map(of).collect::<Vec<_>>(), [(Some("topic".into()), 0, 2)]);
    let by_id = metadata_request::MetadataRequestTopic::default().with_name(None).with_topic_id(all.topics[0].topic_id);
    let unknown = metadata_request::MetadataRequestTopic::default().with_name(None).with_topic_id(uuid::Uuid::from_u128(5));
    let asked = metadata::metadata(&node, &caller, MetadataRequest::default().with_topics(Some(vec![by_id, unknown])), 12);
    assert_eq!(
        asked.topics.iter().map(of).collect::<Vec<_>>(),
        [(Some("topic".into()), 0, 2), (None, ResponseError::UnknownTopicId.code(), 0)]
    );
    let none = metadata::metadata(&node, &caller, MetadataRequest::default().with_topics(Some(vec![])), 12);
    assert!(none.topics.is_empty());
}

/// A sound request, then a few bytes of it changed, a piece cut out, or some put in.
#[derive(Clone, Debug)]
struct Mutation {
    api: usize,
    version: i16,
    changes: Vec<(usize, u8)>,
    cut: Option<(usize, usize)>,
    insert: Option<(usize, Vec<u8>)>,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = || any::<usize>();
    // Lengths at the edges are what breaks readers.
    let byte = prop_oneof![any::<u8>(), Just(0u8), Just(0x7f), Just(0x80), Just(0xff)];
    let api = (0..APIS.len()).prop_flat_map(|api| (Just(api), APIS[api].version_min..=APIS[api].version_max));
    let changes = prop::collection::vec((place(), byte), 0..6);
    let cut = prop::option::weighted(0.2, (place(), 1usize..16));
    let insert = prop::option::weighted(0.2, (place(), prop::collection::vec(any::<u8>(), 1..16)));
    (api, changes, cut, insert).prop_map(|((api, version), changes, cut, insert)| Mutation { api, version, changes, cut, insert })
}

impl Mutation {
    fn frame(&self) -> Vec<u8> {
        let api = &APIS[self.api];
        let mut bytes = frame(api.key, self.version, &sample(api.key, self.version));
        for &(at, byte) in &self.changes {
            // The kind of request stays, so that each kind gets its share.
            let at = 4 + at % (bytes.len() - 4);
            bytes[at] = byte;
        }
        if let Some((at, length)) = self.cut {
            let at = at % bytes.len();
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        if let Some((at, more)) = &self.insert {
            let at = at % (bytes.len() + 1);
            bytes.splice(at..at, more.iter().copied());
        }
        bytes
    }
}

#[test]
fn broken_requests_are_answered_or_refused_and_never_panic() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_folder, node, caller) = runtime.block_on(async { node() });
    let mut runner =
        TestRunner::new(Config { cases: 5000, failure_persistence: None, rng_seed: RngSeed::Fixed(seed()), ..Config::default() });
    runner
        .run(&mutation(), |mutation| {
            let answering = answer(&node, &caller, mutation.frame().into());
            // Some wait, for records or for other members: that is an outcome too.
            let outcome = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(5), answering).await });
            match outcome {
                Ok(Err(Refused::Internal(error))) => prop_assert!(false, "{}", error),
                Ok(Ok(Some(answer))) => {
                    prop_assert_eq!(u32::from_be_bytes(answer.bytes[..4].try_into().unwrap()) as usize, answer.bytes.len() - 4)
                }
                _ => {}
            }
            Ok(())
        })
        .unwrap();
}
