//! What exists: feeds, rollups, tables and targets, each declared once and derived from everywhere else.
//!
//! Declarations only. Nothing here reads a clock, opens a file or awaits; every other crate may know this one, and
//! this one knows none of them. To add a feed, a rollup or a target, write its file and name it in its list.

pub mod column;
pub mod feed;
pub mod feeds;
pub mod holidays;
pub mod kst;
pub mod record;
pub mod rollup;
pub mod rollups;
pub mod table;
pub mod tables;
pub mod target;
pub mod targets;
pub mod view;
pub mod views;

pub use column::{Column, Kind};
pub use feed::{Feed, Upstream};
pub use feeds::FEEDS;
pub use rollup::Rollup;
pub use rollups::ROLLUPS;
pub use table::{Table, TableName};
pub use target::Target;
pub use targets::TARGETS;
pub use view::View;
