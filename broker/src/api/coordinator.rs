//! Consumer groups, as requests: finding the coordinator, joining, syncing, heartbeats, leaving, and looking at them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::{code, text};
use crate::groups::group::{Group, JoinError};
use crate::groups::member::{JoinRequest, Joined, Synced};
use crate::node::{Caller, NODE_ID, Node};

/// Bytes of a group's id; people choose it.
pub(super) const GROUP_ID_BYTES_MAX: usize = 1024;
/// Bytes that one member may tell the others, or the leader all of them: each partition of the broker by name fits.
const MEMBER_BYTES_MAX: usize = 64 << 10;
/// A session of less would end between two heartbeats; one of more would hold partitions that no one reads.
const SESSION_MS: std::ops::RangeInclusive<i32> = 1_000..=1_800_000;
/// No rebalance waits longer, whatever a member allows itself.
const REBALANCE_MS_MAX: i32 = 1_800_000;

/// A kind of coordinator: groups have one here, transactions do not.
const GROUP: i8 = 0;

pub(super) fn find(caller: &Caller, request: FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let is_group = request.key_type == GROUP;
    let error = if is_group { 0 } else { ResponseError::InvalidRequest.code() };
    let message = (!is_group).then(|| text("only groups have a coordinator here: the broker has no transactions"));
    if version < 4 {
        let response = FindCoordinatorResponse::default().with_error_code(error).with_error_message(message);
        return response.with_node_id(NODE_ID).with_host(caller.host.clone()).with_port(caller.port);
    }
    let coordinator = |key| {
        let coordinator = Coordinator::default().with_key(key).with_error_code(error).with_error_message(message.clone());
        coordinator.with_node_id(NODE_ID).with_host(caller.host.clone()).with_port(caller.port)
    };
    FindCoordinatorResponse::default().with_coordinators(request.coordinator_keys.into_iter().map(coordinator).collect())
}

pub(super) async fn join(
    node: &Node,
    caller: &Caller,
    client_id: &StrBytes,
    request: JoinGroupRequest,
    version: i16,
) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    let refused = |error: ResponseError, member_id: StrBytes| {
        // A protocol's name cannot be left out before version 7.
        let protocol_name = (version < 7).then(StrBytes::default);
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_member_id(member_id)
            .with_protocol_name(protocol_name)
    };
    match try_join(node, caller, client_id, request, version).await {
        Ok(joined) => {
            let member = |(id, instance, metadata)| {
                JoinGroupResponseMember::default().with_member_id(id).with_group_instance_id(instance).with_metadata(metadata)
            };
            JoinGroupResponse::default()
                .with_generation_id(joined.generation)
                .with_protocol_type(Some(joined.protocol_type))
                .with_protocol_name(Some(joined.protocol))
                .with_leader(joined.leader)
                .with_member_id(joined.member_id)
                .with_members(joined.members.into_iter().map(member).collect())
        }
        Err(JoinError::IdFirst(id)) => refused(ResponseError::MemberIdRequired, id),
        Err(JoinError::Refused(error)) => refused(error, member_id),
    }
}

async fn try_join(
    node: &Node,
    caller: &Caller,
    client_id: &StrBytes,
    request: JoinGroupRequest,
    version: i16,
) -> Result<Joined, JoinError> {
    check_group_id(&request.group_id)?;
    if !SESSION_MS.contains(&request.session_timeout_ms) {
        return Err(ResponseError::InvalidSessionTimeout.into());
    }
    let bytes: usize = request.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum();
    let names = request.group_instance_id.as_ref().map_or(0, |id| id.len()) + request.protocol_type.len();
    if bytes + names > MEMBER_BYTES_MAX {
        return Err(ResponseError::InvalidRequest.into());
    }
    // Version 0 has no timeout of its own for a rebalance.
    let rebalance_ms = if version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    let wish = JoinRequest {
        member_id: own(&request.member_id),
        instance_id: request.group_instance_id.as_ref().map(own),
        client_id: own(client_id),
        client_host: caller.address.ip().to_canonical().to_string(),
        session_timeout: Duration::from_millis(request.session_timeout_ms as u64),
        rebalance_timeout: Duration::from_millis(rebalance_ms.clamp(0, REBALANCE_MS_MAX) as u64),
        protocol_type: own(&request.protocol_type),
        protocols: request
            .protocols
            .iter()
            .map(|protocol| (own(&protocol.name), Bytes::copy_from_slice(&protocol.metadata)))
            .collect(),
        takes_id_first: version >= 4,
    };
    let joining = node.groups.with_new(&request.group_id, |group| group.join(wish, Instant::now()));
    let joining = joining.ok_or(ResponseError::GroupMaxSizeReached)??;
    Ok(answered(node, joining).await?)
}

pub(super) async fn sync(node: &Node, request: SyncGroupRequest) -> SyncGroupResponse {
    match try_sync(node, request).await {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(Some(synced.protocol_type))
            .with_protocol_name(Some(synced.protocol))
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}

async fn try_sync(node: &Node, request: SyncGroupRequest) -> Result<Synced, ResponseError> {
    let bytes: usize = request.assignments.iter().map(|assignment| assignment.assignment.len()).sum();
    if bytes > MEMBER_BYTES_MAX {
        return Err(ResponseError::InvalidRequest);
    }
    let own_assignment =
        |assignment: &SyncGroupRequestAssignment| (own(&assignment.member_id), Bytes::copy_from_slice(&assignment.assignment));
    let assignments = request.assignments.iter().map(own_assignment).collect();
    let syncing = with_known(node, &request.group_id, |group| {
        let instance = request.group_instance_id.as_ref();
        group.sync(&request.member_id, instance, request.generation_id, assignments, Instant::now())
    })?;
    answered(node, syncing).await
}

/// Waits for the group's answer; the group gives everyone one, unless the broker stops first.
async fn answered<T>(node: &Node, answer: oneshot::Receiver<Result<T, ResponseError>>) -> Result<T, ResponseError> {
    match node.stop.run_until_cancelled(answer).await {
        Some(Ok(answer)) => answer,
        Some(Err(_)) | None => Err(ResponseError::CoordinatorNotAvailable),
    }
}

/// A copy that stands alone: what came in is a slice of its whole request, which must not stay for as long as the member.
fn own(text: &StrBytes) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

pub(super) fn heartbeat(node: &Node, request: HeartbeatRequest) -> HeartbeatResponse {
    let heard = with_known(node, &request.group_id, |group| {
        group.heartbeat(&request.member_id, request.group_instance_id.as_ref(), request.generation_id, Instant::now())
    });
    HeartbeatResponse::default().with_error_code(code(heard))
}

pub(super) fn leave(node: &Node, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let leave = |member_id: &StrBytes, instance_id: Option<&StrBytes>| {
        with_known(node, &request.group_id, |group| group.leave(member_id, instance_id, Instant::now()))
    };
    if version < 3 {
        return LeaveGroupResponse::default().with_error_code(code(leave(&request.member_id, None)));
    }
    let members = request.members.iter().map(|member| {
        let left = leave(&member.member_id, member.group_instance_id.as_ref());
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(code(left))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

/// Does something with a group; one without members knows no member.
fn with_known<T>(
    node: &Node,
    id: &GroupId,
    act: impl FnOnce(&mut Group) -> Result<T, ResponseError>,
) -> Result<T, ResponseError> {
    check_group_id(id)?;
    node.groups.with(id, act).unwrap_or(Err(ResponseError::UnknownMemberId))
}

pub(super) fn check_group_id(id: &str) -> Result<(), ResponseError> {
    if id.is_empty() || id.len() > GROUP_ID_BYTES_MAX { Err(ResponseError::InvalidGroupId) } else { Ok(()) }
}

pub(super) fn describe(node: &Node, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let described = DescribedGroup::default().with_group_id(id.clone()).with_authorized_operations(i32::MIN);
        let live = node.groups.with(&id, |group| {
            let protocol = group.protocol();
            let members = group.members().map(|member| {
                DescribedGroupMember::default()
                    .with_member_id(member.id.clone())
                    .with_group_instance_id(member.instance_id.clone())
                    .with_client_id(member.client_id.clone())
                    .with_client_host(text(format!("/{}", member.client_host)))
                    .with_member_metadata(member.metadata(&protocol))
                    .with_member_assignment(member.assignment.clone())
            });
            let described =
                described.clone().with_group_state(text(group.state_name())).with_protocol_type(group.protocol_type());
            described.with_members(members.collect()).with_protocol_data(protocol)
        });
        live.unwrap_or_else(|| {
            let state = if node.offsets.of_group(&id).is_empty() { "Dead" } else { "Empty" };
            described.with_group_state(text(state)).with_protocol_type(text("consumer"))
        })
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn list(node: &Node, request: ListGroupsRequest) -> ListGroupsResponse {
    let mut ids = node.groups.ids();
    ids.extend(node.offsets.groups());
    ids.sort_unstable();
    ids.dedup();
    let groups = ids.into_iter().map(|id| {
        let live = node.groups.with(&id, |group| (group.protocol_type(), group.state_name()));
        // One that has only committed.
        let (protocol_type, state) = live.unwrap_or((text("consumer"), "Empty"));
        ListedGroup::default()
            .with_group_id(GroupId(text(id)))
            .with_protocol_type(protocol_type)
            .with_group_state(text(state))
            .with_group_type(text("classic"))
    });
    let is_asked =
        |wanted: &[StrBytes], value: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(value));
    let groups = groups.filter(|group| {
        is_asked(&request.states_filter, &group.group_state) && is_asked(&request.types_filter, &group.group_type)
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}
