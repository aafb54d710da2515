//! One member of a consumer group.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

/// What a client says when it joins.
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    /// Empty at its first try.
    pub member_id: StrBytes,
    /// Set for static members, which keep their place when they restart.
    pub instance_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub client_host: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocol_type: StrBytes,
    /// Ways to assign partitions that it knows, the best first, with what each needs to know of it.
    pub protocols: Vec<(StrBytes, Bytes)>,
    /// Whether the client understands that it is given an id first and joins with it then (version 4 on).
    pub takes_id_first: bool,
}

/// What a member is told once all have joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub generation: i32,
    pub protocol_type: StrBytes,
    pub protocol: StrBytes,
    pub leader: StrBytes,
    pub member_id: StrBytes,
    /// For the leader: id, instance and metadata of each member. Empty for the others.
    pub members: Vec<(StrBytes, Option<StrBytes>, Bytes)>,
}

/// What a member is told once the leader has assigned the partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub protocol_type: StrBytes,
    pub protocol: StrBytes,
    pub assignment: Bytes,
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, ResponseError>>;

pub(crate) struct Member {
    pub id: StrBytes,
    pub instance_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub client_host: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocols: Vec<(StrBytes, Bytes)>,
    pub assignment: Bytes,
    /// When it counts as gone, unless heard before.
    pub expires_at: Instant,
    /// Waits for the others to join.
    pub joining: Option<Answer<Joined>>,
    /// Waits for the leader's assignment.
    pub syncing: Option<Answer<Synced>>,
}

impl Member {
    pub fn new(id: StrBytes, request: &JoinRequest, now: Instant) -> Member {
        Member {
            id,
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            expires_at: now + request.session_timeout,
            joining: None,
            syncing: None,
        }
    }

    pub fn heard(&mut self, now: Instant) {
        self.expires_at = now + self.session_timeout;
    }

    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name.as_str() == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Whether it waits for an answer on a connection that still stands: it needn't send heartbeats then.
    pub fn is_waiting(&self) -> bool {
        self.joining.as_ref().is_some_and(|answer| !answer.is_closed())
            || self.syncing.as_ref().is_some_and(|answer| !answer.is_closed())
    }
}

/// Gives an answer; one whose connection is gone is heard by no one.
pub(crate) fn answer<T>(to: &mut Option<Answer<T>>, with: Result<T, ResponseError>) {
    if let Some(answer) = to.take() {
        let _gone = answer.send(with);
    }
}
