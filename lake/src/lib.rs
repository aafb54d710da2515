//! The tables: Delta in one place, committed with the marks of what has been landed, kept fast, and read by SQL.
//!
//! The lake is the checkpoint (`docs`, decision 1): a commit holds rows and the offsets up to which they were landed,
//! and becomes visible as one. Delta's log, Parquet and object stores stay behind this crate; nobody else sees them.
//! It never asks what time it is in the city, and never decides what a row should be.

mod check;
mod delta;
mod error;
mod file;
mod lake;
mod log;
mod maintain;
mod ops;
mod place;
pub mod postgres;
mod provider;
mod rollup;
mod session;
mod snapshot;
mod statistics;
mod table;
mod windows;

pub use check::{Checked, Damage, DamageKind, check};
pub use error::LakeError;
pub use lake::Lake;
pub use maintain::{Maintenance, maintain};
pub use place::Place;
pub use rollup::run_rollup;
pub use session::{CATALOG, read_only};
pub use table::{Compacted, Compaction, Lost, Mark, Outcome, Table};
pub use windows::Windows;

// One test binary: what users of the crate see is tested beside its own parts.
#[cfg(test)]
#[path = "../tests/lake.rs"]
mod tests;
