//! Steps 5 to 8 of a record's life: from a Kafka topic to visible rollup rows, exactly once; and bulk history without Kafka.
//!
//! consume → check → (dead letters) → land → roll up, in the order of the modules below. The lake is the checkpoint: a
//! commit of `observed.<feed>` carries the offsets that its rows come from, a rollup's commit the version of `observed`
//! that it has seen. Nothing is remembered anywhere else, so this can be killed between any two steps.

mod consume;

pub mod check;
mod dead_letters;
pub mod land;
pub mod roll_up;

mod quarantine;

mod config;
mod judge;
mod marks;
mod processor;
mod resolve;
pub mod resume;
mod status;
mod topics;
mod work;

mod import;
pub mod mend;

pub use config::ProcessorConfig;
pub use consume::{Counted, consume_only};
pub use import::{ImportError, ImportOptions, ImportReport, Progress, import};
pub use marks::{Place, newest as newest_marks};
pub use processor::{Processor, Unsettled};
pub use resolve::{Resolved, accept_loss, new_generation};
pub use resume::{Loss, Stopped};
pub use status::{Spent, Status};
pub use topics::{TopicsError, ensure as ensure_topics};

// One test binary: what users of the crate see is tested beside its own parts.
#[cfg(test)]
#[path = "../tests/processor.rs"]
mod tests;
