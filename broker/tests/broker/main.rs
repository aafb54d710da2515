//! The broker as its clients see it: librdkafka where it can ask for the thing, bare frames where it cannot.

mod durability;
mod groups;
mod idempotence;
mod nonsense;
mod offsets;
mod records;
mod support;
mod throughput;
mod topics;
