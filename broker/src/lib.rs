//! The embedded broker: one node that speaks Kafka's protocol, its log on disk.
//!
//! It stands between publishing and consuming when no other Kafka is configured. Record batches are kept as they arrive:
//! only their place in the log is written into them, and records are never decoded on their way through.
//!
//! A request meets `broker` (the port), `connection` (its frame), `api` (what it asks for), `node` (what all share), then
//! `storage` (topics, down to batches on the disk) or `groups` (who reads what, and how far they are).
//!
//! - A record is acknowledged once it is with the operating system: a killed process loses none. A power cut can take
//!   what came after the last sync, [`BrokerConfig::sync_interval`] ago at most.
//! - Timestamps are the producer's, whatever they are. Nothing is ever deleted unless someone asks for it.
//! - There are no transactions, no replication, no access control; the port is for the machine's own processes.
//! - Whatever comes in on the port, the outcome is an answer or a closed connection, within the bounds on memory.

mod api;
mod broker;
mod connection;
mod error;
mod groups;
mod node;
mod storage;

pub use broker::{Broker, BrokerConfig};
pub use error::BrokerError;

/// The one leader epoch: the only node has always led.
const LEADER_EPOCH: i32 = 0;
/// Bytes of the greatest batch. Dead letters carry whole answers of an upstream, so Kafka's 1 MiB would be too little.
const BATCH_BYTES_MAX: usize = 8 << 20;

// One test binary: what users of the crate see is tested beside its own parts.
#[cfg(test)]
#[path = "../tests/broker/main.rs"]
mod tests;
