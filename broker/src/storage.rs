//! The broker's folder, from the whole down to one batch.
//!
//! ```text
//! DATA/lock                              held by the broker that uses the folder
//! DATA/node.json                         format and cluster id
//! DATA/producer-ids                      the first producer id that no session has
//! DATA/offsets                           what consumer groups have committed
//! DATA/topics/NAME/topic.json            id, partitions, settings
//! DATA/topics/NAME/3/00000000000000000000.log, .index    segments, named by their first offset
//! DATA/topics/NAME/3/00000000000000000000.producers      producers at the beginning of the newest segment
//! DATA/topics/NAME/3/log-start           first offset that is not deleted
//! ```

pub(crate) mod batch;
pub(crate) mod log;
pub(crate) mod partition;
pub(crate) mod producers;
pub(crate) mod read;
pub(crate) mod records;
pub(crate) mod segment;
pub(crate) mod store;
pub(crate) mod topic;

/// Bytes of a segment where a topic does not say otherwise: the newest is read through at start, in a tenth of a second.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;
