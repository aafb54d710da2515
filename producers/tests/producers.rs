//! The producers as their users see them: an HTTP upstream on one side, a Kafka cluster on the other.

#[path = "producers/kafka.rs"]
mod kafka;
#[path = "producers/upstream.rs"]
mod upstream;

#[path = "producers/city.rs"]
mod city;
#[path = "producers/fetching.rs"]
mod fetching;
#[path = "producers/polling.rs"]
mod polling;
#[path = "producers/publishing.rs"]
mod publishing;
#[path = "producers/secrecy.rs"]
mod secrecy;
