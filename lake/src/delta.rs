//! Delta's protocol, as much of it as this lake speaks: the actions of a commit, a table's columns, checkpoints.
//!
//! Reader version 1, writer version 2: plain Parquet files without partitions, deletion vectors or column mapping. What
//! needs more is refused by name, never misread. The protocol:
//! <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>. It only translates; it never touches a store.
//!
//! Why not a library's: `docs/decisions/0004-our-own-delta-log.md`.

pub mod action;
pub mod checkpoint;
pub mod schema;
