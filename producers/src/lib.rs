//! Steps 1 to 4 of a record's life: ask an upstream, fetch its answer, parse it, publish what is new to Kafka.
//!
//! [`Producers::start`] runs a loop a feed; [`request`], [`Fetcher`], [`parse()`] and [`record()`] are the same steps one by
//! one, for those who want to look at what each makes of an answer. Nothing here knows the lake: what it held when the
//! process started is handed over as a [`Resume`].

mod secret;

mod ask;
mod epsg5181;
mod fetch;
mod known;
mod observation;
mod parse;
mod publish;
mod record;
mod request;

mod fault;
mod feeds;
mod poll;
mod producers;
mod resume;
#[cfg(test)]
mod shared;
mod status;

pub use ask::Ask;
pub use fault::{Fault, Remedy};
pub use feeds::{Places, SOURCES, Source, SpeaksOf};
pub use fetch::{FetchError, Fetcher, Response};
pub use observation::{Identity, Observation, ObservationError, Value};
pub use parse::{Answer, ParseError, RowFault, parse};
pub use producers::{Producers, ProducersConfig, StartError};
pub use record::{Record, record};
pub use request::{Request, request};
pub use resume::{FeedResume, Resume};
pub use secret::Secret;
pub use status::FeedStatus;

// One test binary: what users of the crate see is tested beside its own parts.
#[cfg(test)]
#[path = "../tests/producers.rs"]
mod tests;
