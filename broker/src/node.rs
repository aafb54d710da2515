//! What all connections share: the one node's topics, groups and bounds.

use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::groups::Groups;
use crate::groups::offsets::Offsets;
use crate::storage::store::Store;

/// The only node's id.
pub(crate) const NODE_ID: BrokerId = BrokerId(1);

pub(crate) struct Node {
    pub store: Store,
    pub groups: Arc<Groups>,
    pub offsets: Offsets,
    /// How clients are told to reach the node, where that is not the address they came to.
    pub advertised: Option<(String, u16)>,
    /// Partitions of a topic that is made because someone asked for it; none are made so by default.
    pub auto_create_partitions: Option<u32>,
    /// Bytes that requests may hold at one time.
    pub request_bytes: Semaphore,
    /// Bytes that fetched records may hold at one time.
    pub fetch_bytes: Arc<Semaphore>,
    /// Waits end, and connections after the answer they are at.
    pub stop: CancellationToken,
    /// Connections end where they are.
    pub cut: CancellationToken,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub address: SocketAddr,
    /// Where the node is to be reached by this caller.
    pub host: StrBytes,
    pub port: i32,
}

impl Node {
    /// The caller at the other end of a connection that came in at `local`.
    pub fn caller(&self, address: SocketAddr, local: SocketAddr) -> Caller {
        let (host, port) = match &self.advertised {
            Some((host, port)) => (host.clone(), *port),
            None => (local.ip().to_canonical().to_string(), local.port()),
        };
        Caller { address, host: StrBytes::from_string(host), port: port.into() }
    }
}
