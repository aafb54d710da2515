//! One consumer group, by Kafka's classic protocol.
//!
//! ```text
//!            join                 all joined, or time over            leader synced
//!   Empty ─────────▶ Preparing ─────────────────────────▶ Completing ───────────────▶ Stable
//!     ▲                  ▲ ▲       (each join is answered)     │    (each sync is answered)  │
//!     │ no one left      │ └───────────────────────────────────┘                             │
//!     └──────────────────┴───────────────────────── join, leave, silence ────────────────────┘
//! ```
//!
//! Time comes in as an argument, and answers go out through channels: nothing here waits or does I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::member::{JoinRequest, Joined, Member, Synced, answer};

/// How long the first member of a group waits for others before it gets all the partitions.
const INITIAL_WAIT: Duration = Duration::from_millis(200);
/// Members of one group; each has a process of its own, mostly.
const MEMBERS_MAX: usize = 100;
/// What is waited for a client that was given an id to come back with it.
const ID_HELD: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    /// Members are joining until then.
    Preparing {
        until: Instant,
        is_first: bool,
    },
    /// The leader is assigning until then.
    Completing {
        until: Instant,
    },
    Stable,
}

pub(crate) struct Group {
    id: String,
    state: State,
    generation: i32,
    protocol_type: StrBytes,
    protocol: StrBytes,
    leader: StrBytes,
    /// By the order in which they came.
    members: BTreeMap<u64, Member>,
    next_number: u64,
    /// Ids given out to clients that have not come back with them yet.
    given_ids: BTreeMap<StrBytes, Instant>,
}

/// A join's outcome: now, or once all have joined.
pub(crate) type Joining = Result<oneshot::Receiver<Result<Joined, ResponseError>>, JoinError>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// The client is to join again with this id.
    IdFirst(StrBytes),
    Refused(ResponseError),
}

impl From<ResponseError> for JoinError {
    fn from(error: ResponseError) -> JoinError {
        JoinError::Refused(error)
    }
}

impl Group {
    pub fn new(id: &str) -> Group {
        Group {
            id: id.to_owned(),
            state: State::Empty,
            generation: 0,
            protocol_type: StrBytes::default(),
            protocol: StrBytes::default(),
            leader: StrBytes::default(),
            members: BTreeMap::new(),
            next_number: 0,
            given_ids: BTreeMap::new(),
        }
    }

    pub fn join(&mut self, request: JoinRequest, now: Instant) -> Joining {
        if request.protocols.is_empty() || request.protocol_type.is_empty() || !self.can_take(&request) {
            return Err(ResponseError::InconsistentGroupProtocol.into());
        }
        let number = match self.find(&request)? {
            Some(number) => number,
            None if request.member_id.is_empty() && request.takes_id_first && request.instance_id.is_none() => {
                return Err(JoinError::IdFirst(self.give_id(&request, now)?));
            }
            None => self.add(&request, now)?,
        };
        let (sender, receiver) = oneshot::channel();
        let leader = self.leader.clone();
        let member = self.members.get_mut(&number).expect("it was found or added");
        let has_changed = member.protocols != request.protocols;
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.heard(now);
        let is_settled = match self.state {
            State::Stable => !has_changed && member.id != leader && !member.assignment.is_empty(),
            State::Completing { .. } => !has_changed && !request.member_id.is_empty(),
            State::Empty | State::Preparing { .. } => false,
        };
        if is_settled {
            // It has lost the answer to its last join.
            let joined = self.joined(number);
            sender.send(Ok(joined)).expect("the receiver is still here");
            return Ok(receiver);
        }
        member.joining = Some(sender);
        self.prepare(now);
        self.complete_if_all_joined(now);
        Ok(receiver)
    }

    /// Whether the newcomer shares a way of assigning with all the others.
    fn can_take(&self, request: &JoinRequest) -> bool {
        let mut others = self.members.values().filter(|member| !is_same(member, request)).peekable();
        if others.peek().is_none() {
            return true;
        }
        let others: Vec<_> = others.collect();
        request.protocol_type == self.protocol_type
            && request
                .protocols
                .iter()
                .any(|(name, _)| others.iter().all(|member| member.protocols.iter().any(|(known, _)| known == name)))
    }

    fn find(&mut self, request: &JoinRequest) -> Result<Option<u64>, ResponseError> {
        if let Some(instance) = &request.instance_id {
            let found = self.members.iter().find(|(_, member)| member.instance_id.as_ref() == Some(instance));
            if let Some((&number, member)) = found {
                if request.member_id.is_empty() {
                    self.replace(number, request);
                } else if member.id != request.member_id {
                    return Err(ResponseError::FencedInstanceId);
                }
                return Ok(Some(number));
            }
        }
        if request.member_id.is_empty() {
            return Ok(None);
        }
        match self.number_of(&request.member_id) {
            Some(number) => Ok(Some(number)),
            None if self.given_ids.contains_key(&request.member_id) => Ok(None),
            None => Err(ResponseError::UnknownMemberId),
        }
    }

    /// A static member has restarted: its old self is answered no more.
    fn replace(&mut self, number: u64, request: &JoinRequest) {
        let member = self.members.get_mut(&number).expect("the caller found it");
        answer(&mut member.joining, Err(ResponseError::FencedInstanceId));
        answer(&mut member.syncing, Err(ResponseError::FencedInstanceId));
        let was_leader = member.id == self.leader;
        member.id = new_id(request);
        member.client_id = request.client_id.clone();
        member.client_host = request.client_host.clone();
        member.assignment = Bytes::new();
        if was_leader {
            self.leader = member.id.clone();
        }
    }

    fn give_id(&mut self, request: &JoinRequest, now: Instant) -> Result<StrBytes, ResponseError> {
        if self.members.len() + self.given_ids.len() >= MEMBERS_MAX {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        let id = new_id(request);
        self.given_ids.insert(id.clone(), now + ID_HELD);
        Ok(id)
    }

    fn add(&mut self, request: &JoinRequest, now: Instant) -> Result<u64, ResponseError> {
        if self.members.len() >= MEMBERS_MAX {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        let id = if request.member_id.is_empty() { new_id(request) } else { request.member_id.clone() };
        self.given_ids.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = request.protocol_type.clone();
        }
        let number = self.next_number;
        self.next_number += 1;
        self.members.insert(number, Member::new(id, request, now));
        Ok(number)
    }

    /// Begins a rebalance, unless one has begun: everyone is to join again.
    fn prepare(&mut self, now: Instant) {
        let is_first = match self.state {
            State::Preparing { .. } => return,
            State::Empty => true,
            State::Completing { .. } | State::Stable => false,
        };
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if member.is_waiting() {
                member.heard(now);
            }
            answer(&mut member.syncing, Err(ResponseError::RebalanceInProgress));
        }
        let wait = if is_first { INITIAL_WAIT } else { self.rebalance_timeout() };
        self.state = State::Preparing { until: now + wait, is_first };
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn complete_if_all_joined(&mut self, now: Instant) {
        let State::Preparing { is_first: false, .. } = self.state else { return };
        if self.given_ids.is_empty() && self.members.values().all(|member| member.joining.is_some()) {
            self.complete(now);
        }
    }

    /// Ends the joining: who is here makes up the new generation.
    fn complete(&mut self, now: Instant) {
        self.members.retain(|_, member| member.joining.is_some());
        self.generation += 1;
        if self.members.is_empty() {
            self.state = State::Empty;
            return;
        }
        self.protocol = self.choose_protocol();
        if !self.members.values().any(|member| member.id == self.leader) {
            self.leader = self.members.values().next().expect("there are members").id.clone();
        }
        self.state = State::Completing { until: now + self.rebalance_timeout() };
        tracing::debug!(group = self.id, generation = self.generation, members = self.members.len(), "a group has formed");
        let numbers: Vec<u64> = self.members.keys().copied().collect();
        for number in numbers {
            let joined = self.joined(number);
            let member = self.members.get_mut(&number).expect("its number was just listed");
            member.heard(now);
            answer(&mut member.joining, Ok(joined));
        }
    }

    /// The way of assigning that all know and most prefer.
    fn choose_protocol(&self) -> StrBytes {
        let is_known_by_all =
            |name: &StrBytes| self.members.values().all(|member| member.protocols.iter().any(|(known, _)| known == name));
        let mut votes: Vec<(StrBytes, usize)> = Vec::new();
        for member in self.members.values() {
            let Some((vote, _)) = member.protocols.iter().find(|(name, _)| is_known_by_all(name)) else { continue };
            match votes.iter_mut().find(|(name, _)| name == vote) {
                Some((_, count)) => *count += 1,
                None => votes.push((vote.clone(), 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max().expect("each newcomer shares a protocol with all");
        votes.into_iter().find(|(_, count)| *count == most).expect("it is among them").0
    }

    fn joined(&self, number: u64) -> Joined {
        let member = &self.members[&number];
        let of = |member: &Member| (member.id.clone(), member.instance_id.clone(), member.metadata(&self.protocol));
        let is_leader = member.id == self.leader;
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: member.id.clone(),
            members: if is_leader { self.members.values().map(of).collect() } else { Vec::new() },
        }
    }

    /// Takes the leader's assignments, or waits for them.
    pub fn sync(
        &mut self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        generation: i32,
        assignments: Vec<(StrBytes, Bytes)>,
        now: Instant,
    ) -> Result<oneshot::Receiver<Result<Synced, ResponseError>>, ResponseError> {
        let number = self.check(member_id, instance_id, generation)?;
        let (sender, receiver) = oneshot::channel();
        let is_leader = *member_id == self.leader;
        let member = self.members.get_mut(&number).expect("it was checked");
        member.heard(now);
        match self.state {
            State::Empty => return Err(ResponseError::UnknownMemberId),
            State::Preparing { .. } => return Err(ResponseError::RebalanceInProgress),
            State::Completing { .. } => {
                member.syncing = Some(sender);
                if is_leader {
                    self.settle(assignments, now);
                }
            }
            State::Stable => {
                let synced = Synced {
                    protocol_type: self.protocol_type.clone(),
                    protocol: self.protocol.clone(),
                    assignment: member.assignment.clone(),
                };
                sender.send(Ok(synced)).expect("the receiver is still here");
            }
        }
        Ok(receiver)
    }

    fn settle(&mut self, assignments: Vec<(StrBytes, Bytes)>, now: Instant) {
        self.state = State::Stable;
        for (id, assignment) in assignments {
            if let Some(member) = self.members.values_mut().find(|member| member.id == id) {
                member.assignment = assignment;
            }
        }
        for member in self.members.values_mut() {
            let synced = Synced {
                protocol_type: self.protocol_type.clone(),
                protocol: self.protocol.clone(),
                assignment: member.assignment.clone(),
            };
            if member.syncing.is_some() {
                member.heard(now);
            }
            answer(&mut member.syncing, Ok(synced));
        }
    }

    pub fn heartbeat(
        &mut self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let number = self.check(member_id, instance_id, generation)?;
        self.members.get_mut(&number).expect("it was checked").heard(now);
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            State::Completing { .. } | State::Stable => Ok(()),
        }
    }

    /// Whether a commit of offsets may be taken. A generation below nought comes from someone outside the group, who may
    /// commit while it has no members.
    pub fn check_commit(
        &mut self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let number = self.check(member_id, instance_id, generation)?;
        if matches!(self.state, State::Completing { .. }) {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.members.get_mut(&number).expect("it was checked").heard(now);
        Ok(())
    }

    pub fn leave(&mut self, member_id: &StrBytes, instance_id: Option<&StrBytes>, now: Instant) -> Result<(), ResponseError> {
        let by_instance = |member: &Member| instance_id.is_some() && member.instance_id.as_ref() == instance_id;
        let number = match self.number_of(member_id) {
            Some(number) => number,
            None if member_id.is_empty() => {
                let found = self.members.iter().find(|(_, member)| by_instance(member));
                found.map(|(&number, _)| number).ok_or(ResponseError::UnknownMemberId)?
            }
            None if self.given_ids.remove(member_id).is_some() => {
                self.complete_if_all_joined(now);
                return Ok(());
            }
            None => return Err(ResponseError::UnknownMemberId),
        };
        self.remove(number, now);
        Ok(())
    }

    fn remove(&mut self, number: u64, now: Instant) {
        let mut member = self.members.remove(&number).expect("the caller found it");
        answer(&mut member.joining, Err(ResponseError::UnknownMemberId));
        answer(&mut member.syncing, Err(ResponseError::UnknownMemberId));
        self.prepare(now);
        if self.members.is_empty() {
            self.complete(now);
        } else {
            self.complete_if_all_joined(now);
        }
    }

    fn check(&self, member_id: &StrBytes, instance_id: Option<&StrBytes>, generation: i32) -> Result<u64, ResponseError> {
        let Some(number) = self.number_of(member_id) else {
            let is_fenced =
                instance_id.is_some() && self.members.values().any(|member| member.instance_id.as_ref() == instance_id);
            return Err(if is_fenced { ResponseError::FencedInstanceId } else { ResponseError::UnknownMemberId });
        };
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(number)
    }

    fn number_of(&self, member_id: &StrBytes) -> Option<u64> {
        self.members.iter().find(|(_, member)| member.id == *member_id).map(|(&number, _)| number)
    }

    /// Ends what has lasted too long.
    pub fn tick(&mut self, now: Instant) {
        self.given_ids.retain(|_, until| now < *until);
        loop {
            let silent = self.members.iter().find(|(_, member)| now >= member.expires_at && !member.is_waiting());
            let Some((&number, member)) = silent else { break };
            tracing::debug!(group = self.id, member = %member.id, "a member was silent for too long");
            self.remove(number, now);
        }
        match self.state {
            State::Preparing { until, .. } if now >= until => {
                // A join whose connection is gone does not make up the group.
                for member in self.members.values_mut() {
                    member.joining.take_if(|answer| answer.is_closed());
                }
                self.complete(now);
            }
            State::Preparing { .. } => self.complete_if_all_joined(now),
            State::Completing { until } if now >= until => {
                self.members.retain(|_, member| member.syncing.is_some());
                self.prepare(now);
                if self.members.is_empty() {
                    self.complete(now);
                }
            }
            _ => {}
        }
    }

    /// Nothing would be lost by forgetting it.
    pub fn is_forgettable(&self) -> bool {
        self.state == State::Empty && self.members.is_empty() && self.given_ids.is_empty()
    }

    /// The state by Kafka's name.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            State::Empty => "Empty",
            State::Preparing { .. } => "PreparingRebalance",
            State::Completing { .. } => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }

    pub fn protocol_type(&self) -> StrBytes {
        self.protocol_type.clone()
    }

    pub fn protocol(&self) -> StrBytes {
        self.protocol.clone()
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }
}

fn is_same(member: &Member, request: &JoinRequest) -> bool {
    member.id == request.member_id || (member.instance_id.is_some() && member.instance_id == request.instance_id)
}

fn new_id(request: &JoinRequest) -> StrBytes {
    let name = request.instance_id.as_ref().unwrap_or(&request.client_id);
    StrBytes::from_string(format!("{}-{}", name.as_str(), Uuid::new_v4()))
}

#[cfg(test)]
mod tests;
