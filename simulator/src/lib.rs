//! The upstream APIs, spoken faithfully on loopback: what Seoul Open Data Plaza would answer, from an archive of real
//! data or from a synthetic city.
//!
//! This is where a record's way begins when no key of the real host is given. Whatever asks here uses the real
//! protocol and could ask the real host instead. The simulator shows the city's time (`GET /clock`), which its owner
//! gives it, and it misbehaves on request (`POST /faults`). It never knows who asks: no stage, no topic, no table.
//!
//! What an answer holds is a function of the source, the request and the city's time: asked again at the same moment, it
//! is the same. Nothing is remembered between requests but how many there were, for faults.

mod city;
mod envelope;
mod error;
mod faults;
mod history;
mod own;
mod projection;
mod random;
mod request;
mod server;
mod services;

pub use city::synthetic::{HISTORY_DAYS, start_default};
pub use city::{City, LaneRow, Lanes, Source, Spot, open};
pub use error::SimulatorError;
pub use faults::Faults;
pub use history::{HistoryWritten, write_history, write_spots};
pub use server::{Simulator, SimulatorConfig};

// One test binary: what users of the crate see is tested beside its own parts.
#[cfg(test)]
#[path = "../tests/simulator.rs"]
mod tests;
