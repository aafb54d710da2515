//! The requests that this broker answers, as bytes: which versions, and what they are made of.
//!
//! The generated codecs set memory aside for as many elements as an array *says* it has, before they look for the first.
//! So each request is walked by this list before it is decoded: an array that says more than the frame holds ends there.
//! A test walks what the codecs write in every version, so the list cannot drift from them.

use kafka_protocol::messages::ApiKey;

/// One kind of request.
pub(crate) struct Api {
    pub key: ApiKey,
    pub version_min: i16,
    pub version_max: i16,
    /// The first version with compact lengths and tagged fields.
    flexible_from: i16,
    fields: &'static [Field],
}

/// A field, and the versions that have it.
struct Field(i16, i16, Shape);

enum Shape {
    /// As many bytes.
    Fixed(usize),
    Text,
    Bytes,
    /// Elements without fields of their own.
    List(&'static Shape),
    /// Elements with fields.
    Structs(&'static [Field]),
}

use Shape::{Bytes, Fixed, List, Structs, Text};

const EVER: i16 = i16::MAX;
const BOOL: Shape = Fixed(1);
const INT8: Shape = Fixed(1);
const INT16: Shape = Fixed(2);
const INT32: Shape = Fixed(4);
const INT64: Shape = Fixed(8);
const UUID: Shape = Fixed(16);

const fn field(shape: Shape) -> Field {
    Field(0, EVER, shape)
}

const fn since(version: i16, shape: Shape) -> Field {
    Field(version, EVER, shape)
}

const fn until(version: i16, shape: Shape) -> Field {
    Field(0, version, shape)
}

const fn api(key: ApiKey, versions: (i16, i16), flexible_from: i16, fields: &'static [Field]) -> Api {
    Api { key, version_min: versions.0, version_max: versions.1, flexible_from, fields }
}

/// Every request that is answered, with what librdkafka 2 and Kafka's own clients send.
pub(crate) const APIS: &[Api] = &[
    api(
        ApiKey::Produce,
        (3, 12),
        9,
        &[field(Text), field(INT16), field(INT32), field(Structs(&[field(Text), field(Structs(&[field(INT32), field(Bytes)]))]))],
    ),
    api(
        ApiKey::Fetch,
        (4, 16),
        12,
        &[
            until(14, INT32),
            field(INT32),
            field(INT32),
            field(INT32),
            field(INT8),
            since(7, INT32),
            since(7, INT32),
            field(Structs(&[
                until(12, Text),
                since(13, UUID),
                field(Structs(&[field(INT32), since(9, INT32), field(INT64), since(12, INT32), since(5, INT64), field(INT32)])),
            ])),
            since(7, Structs(&[until(12, Text), since(13, UUID), field(List(&INT32))])),
            since(11, Text),
        ],
    ),
    api(
        ApiKey::ListOffsets,
        (1, 7),
        6,
        &[
            field(INT32),
            since(2, INT8),
            field(Structs(&[field(Text), field(Structs(&[field(INT32), since(4, INT32), field(INT64)]))])),
        ],
    ),
    api(
        ApiKey::Metadata,
        (0, 13),
        9,
        &[field(Structs(&[since(10, UUID), field(Text)])), since(4, BOOL), Field(8, 10, BOOL), since(8, BOOL)],
    ),
    api(
        ApiKey::OffsetCommit,
        (2, 9),
        8,
        &[
            field(Text),
            field(INT32),
            field(Text),
            since(7, Text),
            until(4, INT64),
            field(Structs(&[field(Text), field(Structs(&[field(INT32), field(INT64), since(6, INT32), field(Text)]))])),
        ],
    ),
    api(
        ApiKey::OffsetFetch,
        (1, 9),
        6,
        &[
            until(7, Text),
            until(7, Structs(&[field(Text), field(List(&INT32))])),
            since(
                8,
                Structs(&[field(Text), since(9, Text), since(9, INT32), field(Structs(&[field(Text), field(List(&INT32))]))]),
            ),
            since(7, BOOL),
        ],
    ),
    api(ApiKey::FindCoordinator, (0, 4), 3, &[until(3, Text), since(1, INT8), since(4, List(&Text))]),
    api(
        ApiKey::JoinGroup,
        (0, 9),
        6,
        &[
            field(Text),
            field(INT32),
            since(1, INT32),
            field(Text),
            since(5, Text),
            field(Text),
            field(Structs(&[field(Text), field(Bytes)])),
            since(8, Text),
        ],
    ),
    api(ApiKey::Heartbeat, (0, 4), 4, &[field(Text), field(INT32), field(Text), since(3, Text)]),
    api(
        ApiKey::LeaveGroup,
        (0, 5),
        4,
        &[field(Text), until(2, Text), since(3, Structs(&[field(Text), field(Text), since(5, Text)]))],
    ),
    api(
        ApiKey::SyncGroup,
        (0, 5),
        4,
        &[
            field(Text),
            field(INT32),
            field(Text),
            since(3, Text),
            since(5, Text),
            since(5, Text),
            field(Structs(&[field(Text), field(Bytes)])),
        ],
    ),
    api(ApiKey::DescribeGroups, (0, 5), 5, &[field(List(&Text)), since(3, BOOL)]),
    api(ApiKey::ListGroups, (0, 5), 3, &[since(4, List(&Text)), since(5, List(&Text))]),
    api(ApiKey::ApiVersions, (0, 3), 3, &[since(3, Text), since(3, Text)]),
    api(
        ApiKey::CreateTopics,
        (2, 7),
        5,
        &[
            field(Structs(&[
                field(Text),
                field(INT32),
                field(INT16),
                field(Structs(&[field(INT32), field(List(&INT32))])),
                field(Structs(&[field(Text), field(Text)])),
            ])),
            field(INT32),
            field(BOOL),
        ],
    ),
    api(ApiKey::DeleteTopics, (1, 6), 4, &[since(6, Structs(&[field(Text), field(UUID)])), until(5, List(&Text)), field(INT32)]),
    api(
        ApiKey::DeleteRecords,
        (0, 2),
        2,
        &[field(Structs(&[field(Text), field(Structs(&[field(INT32), field(INT64)]))])), field(INT32)],
    ),
    api(ApiKey::InitProducerId, (0, 4), 2, &[field(Text), field(INT32), since(3, INT64), since(3, INT16)]),
    api(
        ApiKey::OffsetForLeaderEpoch,
        (2, 4),
        4,
        &[since(3, INT32), field(Structs(&[field(Text), field(Structs(&[field(INT32), field(INT32), field(INT32)]))]))],
    ),
    api(
        ApiKey::DescribeConfigs,
        (1, 4),
        4,
        &[field(Structs(&[field(INT8), field(Text), field(List(&Text))])), field(BOOL), since(3, BOOL)],
    ),
];

/// Tagged fields of one struct; clients send one or two.
const TAGS_MAX: u32 = 16;

/// The bytes are no request of the kind and version that they say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misshapen;

impl Api {
    pub fn find(key: i16) -> Option<&'static Api> {
        APIS.iter().find(|api| api.key as i16 == key)
    }

    /// Walks a request's bytes after its header. What stands behind the request is nobody's and is left alone, as Kafka
    /// does: librdkafka asks for all topics with three bytes too many (its issue 5049).
    pub fn check(&self, version: i16, bytes: &[u8]) -> Result<(), Misshapen> {
        self.rest(version, bytes).map(|_| ())
    }

    /// What stands behind the request.
    fn rest<'a>(&self, version: i16, bytes: &'a [u8]) -> Result<&'a [u8], Misshapen> {
        let mut walk = Walk { rest: bytes, version, is_flexible: version >= self.flexible_from };
        walk.fields(self.fields, self.key == ApiKey::Fetch)?;
        Ok(walk.rest)
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    is_flexible: bool,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field], has_known_tags: bool) -> Result<(), Misshapen> {
        for Field(first, last, shape) in fields {
            if (*first..=*last).contains(&self.version) {
                self.shape(shape)?;
            }
        }
        if self.is_flexible { self.tags(has_known_tags) } else { Ok(()) }
    }

    fn shape(&mut self, shape: &Shape) -> Result<(), Misshapen> {
        match shape {
            Fixed(bytes) => self.skip(*bytes),
            Text => {
                let length = if self.is_flexible { self.compact_length()? } else { self.signed(2)? };
                length.map_or(Ok(()), |length| self.skip(length))
            }
            Bytes => {
                let length = if self.is_flexible { self.compact_length()? } else { self.signed(4)? };
                length.map_or(Ok(()), |length| self.skip(length))
            }
            List(element) => self.elements(|walk| walk.shape(element)),
            Structs(fields) => self.elements(|walk| walk.fields(fields, false)),
        }
    }

    fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Misshapen>) -> Result<(), Misshapen> {
        let count = if self.is_flexible { self.compact_length()? } else { self.signed(4)? };
        (0..count.unwrap_or(0)).try_for_each(|_| element(self))
    }

    /// What no version names is skipped. The codecs read tags that they know without looking at their length, so those
    /// (only other brokers send them, in fetches) are refused.
    fn tags(&mut self, has_known_tags: bool) -> Result<(), Misshapen> {
        let count = self.varint()?;
        if count > TAGS_MAX {
            return Err(Misshapen);
        }
        for _ in 0..count {
            if self.varint()? <= 1 && has_known_tags {
                return Err(Misshapen);
            }
            let length = self.varint()?;
            self.skip(length as usize)?;
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Misshapen> {
        self.rest = self.rest.get(bytes..).ok_or(Misshapen)?;
        Ok(())
    }

    /// A length of so many bytes, none for −1.
    fn signed(&mut self, bytes: usize) -> Result<Option<usize>, Misshapen> {
        let (number, rest) = self.rest.split_at_checked(bytes).ok_or(Misshapen)?;
        self.rest = rest;
        let mut value = if number[0] & 0x80 == 0 { 0i64 } else { -1 };
        for &byte in number {
            value = value << 8 | byte as i64;
        }
        match value {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Misshapen),
        }
    }

    /// One more than the length, 0 for none.
    fn compact_length(&mut self) -> Result<Option<usize>, Misshapen> {
        Ok(self.varint()?.checked_sub(1).map(|length| length as usize))
    }

    /// Exactly as the codecs read it: at most five bytes, and what does not fit falls away.
    fn varint(&mut self) -> Result<u32, Misshapen> {
        let mut value = 0;
        for number in 0..5 {
            let (&byte, rest) = self.rest.split_first().ok_or(Misshapen)?;
            self.rest = rest;
            value |= ((byte & 0x7f) as u32) << (number * 7);
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::*;
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    /// A request of each kind with something in every array, as the codecs write it in one version.
    pub(crate) fn sample(key: ApiKey, version: i16) -> Vec<u8> {
        let topic = || TopicName(text("topic"));
        let group = || GroupId(text("group"));
        let is = |first: i16| version >= first;
        macro_rules! write {
            ($request:expr) => {{
                let mut bytes = BytesMut::new();
                $request.encode(&mut bytes, version).unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
                bytes.to_vec()
            }};
        }
        match key {
            ApiKey::Produce => {
                use produce_request::{PartitionProduceData, TopicProduceData};
                let partition = PartitionProduceData::default().with_records(Some(vec![1u8, 2, 3].into()));
                let data = TopicProduceData::default().with_name(topic()).with_partition_data(vec![partition; 2]);
                write!(ProduceRequest::default().with_topic_data(vec![data; 2]))
            }
            ApiKey::Fetch => {
                use fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
                let mut wanted = FetchTopic::default().with_partitions(vec![FetchPartition::default(); 2]);
                let mut forgotten = ForgottenTopic::default().with_partitions(vec![1, 2]);
                if !is(13) {
                    (wanted.topic, forgotten.topic) = (topic(), topic());
                }
                let mut request = FetchRequest::default().with_topics(vec![wanted; 2]);
                if is(7) {
                    request.forgotten_topics_data = vec![forgotten];
                }
                write!(request)
            }
            ApiKey::ListOffsets => {
                use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
                let wanted =
                    ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![ListOffsetsPartition::default(); 2]);
                write!(ListOffsetsRequest::default().with_topics(vec![wanted; 2]))
            }
            ApiKey::Metadata => {
                let wanted = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
                write!(MetadataRequest::default().with_topics(Some(vec![wanted; 2])))
            }
            ApiKey::OffsetCommit => {
                use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
                let partition = OffsetCommitRequestPartition::default().with_committed_metadata(Some(text("note")));
                let commit = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition; 2]);
                let mut request = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![commit; 2]);
                if is(7) {
                    request.group_instance_id = Some(text("instance"));
                }
                write!(request)
            }
            ApiKey::OffsetFetch if !is(8) => {
                let wanted = offset_fetch_request::OffsetFetchRequestTopic::default()
                    .with_name(topic())
                    .with_partition_indexes(vec![0, 1]);
                write!(OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![wanted; 2])))
            }
            ApiKey::OffsetFetch => {
                use offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
                let wanted = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![0, 1]);
                let asked = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![wanted; 2]));
                write!(OffsetFetchRequest::default().with_groups(vec![asked; 2]))
            }
            ApiKey::FindCoordinator if !is(4) => write!(FindCoordinatorRequest::default().with_key(text("group"))),
            ApiKey::FindCoordinator => write!(FindCoordinatorRequest::default().with_coordinator_keys(vec![text("group"); 2])),
            ApiKey::JoinGroup => {
                let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(text("range"));
                let mut request = JoinGroupRequest::default()
                    .with_group_id(group())
                    .with_protocol_type(text("consumer"))
                    .with_session_timeout_ms(6000)
                    .with_protocols(vec![protocol; 2]);
                if is(1) {
                    request.rebalance_timeout_ms = 1000;
                }
                write!(request)
            }
            ApiKey::Heartbeat => write!(HeartbeatRequest::default().with_group_id(group()).with_member_id(text("member"))),
            ApiKey::LeaveGroup if !is(3) => {
                write!(LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("member")))
            }
            ApiKey::LeaveGroup => {
                let member = leave_group_request::MemberIdentity::default().with_member_id(text("member"));
                write!(LeaveGroupRequest::default().with_group_id(group()).with_members(vec![member; 2]))
            }
            ApiKey::SyncGroup => {
                let assignment = sync_group_request::SyncGroupRequestAssignment::default().with_member_id(text("member"));
                write!(
                    SyncGroupRequest::default()
                        .with_group_id(group())
                        .with_member_id(text("member"))
                        .with_assignments(vec![assignment; 2])
                )
            }
            ApiKey::DescribeGroups => write!(DescribeGroupsRequest::default().with_groups(vec![group(); 2])),
            ApiKey::ListGroups => {
                let mut request = ListGroupsRequest::default();
                if is(4) {
                    request.states_filter = vec![text("Stable")];
                }
                write!(request)
            }
            ApiKey::ApiVersions => write!(ApiVersionsRequest::default().with_client_software_name(text("test"))),
            ApiKey::CreateTopics => {
                use create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
                let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]);
                let setting = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("-1")));
                let wanted = CreatableTopic::default()
                    .with_name(topic())
                    .with_assignments(vec![assignment; 2])
                    .with_configs(vec![setting; 2]);
                write!(CreateTopicsRequest::default().with_topics(vec![wanted; 2]).with_validate_only(true))
            }
            ApiKey::DeleteTopics if !is(6) => write!(DeleteTopicsRequest::default().with_topic_names(vec![topic(); 2])),
            ApiKey::DeleteTopics => {
                let state = delete_topics_request::DeleteTopicState::default().with_name(Some(topic()));
                write!(DeleteTopicsRequest::default().with_topics(vec![state; 2]))
            }
            ApiKey::DeleteRecords => {
                use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
                let wanted =
                    DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![DeleteRecordsPartition::default(); 2]);
                write!(DeleteRecordsRequest::default().with_topics(vec![wanted; 2]))
            }
            ApiKey::InitProducerId => write!(InitProducerIdRequest::default()),
            ApiKey::OffsetForLeaderEpoch => {
                use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
                let wanted = OffsetForLeaderTopic::default()
                    .with_topic(topic())
                    .with_partitions(vec![OffsetForLeaderPartition::default(); 2]);
                write!(OffsetForLeaderEpochRequest::default().with_topics(vec![wanted; 2]))
            }
            ApiKey::DescribeConfigs => {
                let resource = describe_configs_request::DescribeConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text("topic"))
                    .with_configuration_keys(Some(vec![text("retention.ms")]));
                write!(DescribeConfigsRequest::default().with_resources(vec![resource; 2]))
            }
            other => panic!("{other:?} is in the list, but has no sample"),
        }
    }

    #[test]
    fn the_list_agrees_with_the_codecs_in_every_version() {
        for api in APIS {
            for version in api.version_min..=api.version_max {
                let bytes = sample(api.key, version);
                assert_eq!(api.rest(version, &bytes), Ok(&[][..]), "{:?} {version}", api.key);
                for length in 0..bytes.len() {
                    assert_eq!(api.check(version, &bytes[..length]), Err(Misshapen), "{:?} {version} cut to {length}", api.key);
                }
            }
        }
    }

    #[test]
    fn an_array_that_says_more_than_there_is_ends_there() {
        let api = Api::find(ApiKey::Metadata as i16).unwrap();
        assert_eq!(api.check(1, &i32::MAX.to_be_bytes()), Err(Misshapen));
        assert_eq!(api.check(1, &(-1i32).to_be_bytes()), Ok(()), "none means all topics");
        assert_eq!(api.check(9, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]), Err(Misshapen));
        assert_eq!(api.check(13, &[0; 7]), Ok(()), "librdkafka asks so for all topics");
    }
}
