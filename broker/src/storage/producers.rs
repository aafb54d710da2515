//! What a partition remembers of its idempotent producers, so that a batch sent twice is kept once.
//!
//! Everything here follows from the batches in the log: it is rebuilt from them at start, with a snapshot standing in
//! for the segments that are no longer read. Pure: no I/O, no clock.

use std::collections::{HashMap, VecDeque};

use bytes::{Buf, BufMut};

use super::batch::{BatchHeader, advance};

/// Batches remembered of each producer: as many as a client may have in flight, as in Kafka.
const BATCHES_MAX: usize = 5;
/// Producers remembered by a partition. A session makes one; the one silent for longest is forgotten first.
const PRODUCERS_MAX: usize = 10_000;
const SNAPSHOT_MAGIC: &[u8; 8] = b"HGPROD\0\x01";

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers(HashMap<i64, Producer>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// Oldest first; empty after a first batch that could not be written.
    batches: VecDeque<Kept>,
    /// The sequence that must come next.
    next_sequence: i32,
    /// The end of its newest batch, by which the longest silent is told.
    last_offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already, at this offset.
    Duplicate(i64),
    /// It was in the log before what is remembered.
    OldDuplicate,
    /// A batch before it is missing.
    OutOfOrder,
    /// A newer session of the same producer has written.
    Fenced,
}

impl Producers {
    /// Judges a batch of an idempotent producer.
    ///
    /// A producer that is not known may begin anywhere, as in Kafka: its earlier batches may have been deleted.
    pub fn judge(&self, batch: &BatchHeader) -> Verdict {
        let Some(producer) = self.0.get(&batch.producer_id) else { return Verdict::Append };
        if batch.producer_epoch < producer.epoch {
            return Verdict::Fenced;
        }
        if batch.producer_epoch > producer.epoch {
            return if batch.base_sequence == 0 { Verdict::Append } else { Verdict::OutOfOrder };
        }
        if batch.base_sequence == producer.next_sequence {
            return Verdict::Append;
        }
        let same = |kept: &&Kept| kept.first_sequence == batch.base_sequence && kept.last_sequence == batch.last_sequence();
        if let Some(kept) = producer.batches.iter().find(same) {
            return Verdict::Duplicate(kept.base_offset);
        }
        let is_before = |kept: &Kept| steps(batch.last_sequence(), kept.first_sequence) < i32::MAX / 2;
        match producer.batches.front() {
            Some(oldest) if batch.last_sequence() != oldest.first_sequence && is_before(oldest) => Verdict::OldDuplicate,
            _ => Verdict::OutOfOrder,
        }
    }

    /// Remembers a batch that is in the log now.
    pub fn remember(&mut self, batch: &BatchHeader) {
        if !batch.is_idempotent() {
            return;
        }
        self.make_room(batch.producer_id);
        let producer = self.0.entry(batch.producer_id).or_insert_with(|| Producer::new(batch));
        if producer.epoch != batch.producer_epoch {
            *producer = Producer::new(batch);
        }
        if producer.batches.len() == BATCHES_MAX {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Kept {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
        producer.next_sequence = advance(batch.last_sequence(), 1);
        producer.last_offset = batch.next_offset();
    }

    /// Remembers that a batch could not be written. Where it was its producer's first, those in flight behind it must not
    /// overtake it; of a known producer that follows from its next sequence.
    pub fn expect(&mut self, batch: &BatchHeader) {
        if batch.is_idempotent() && !self.0.contains_key(&batch.producer_id) {
            self.make_room(batch.producer_id);
            self.0.insert(batch.producer_id, Producer::new(batch));
        }
    }

    fn make_room(&mut self, id: i64) {
        if self.0.len() >= PRODUCERS_MAX && !self.0.contains_key(&id) {
            let silent = self.0.iter().min_by_key(|(_, producer)| producer.last_offset).map(|(&id, _)| id);
            if let Some(silent) = silent {
                self.0.remove(&silent);
            }
        }
    }

    /// The snapshot's bytes, its checksum last.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = SNAPSHOT_MAGIC.to_vec();
        bytes.put_u32(self.0.len() as u32);
        for (&id, producer) in &self.0 {
            bytes.put_i64(id);
            bytes.put_i16(producer.epoch);
            bytes.put_i32(producer.next_sequence);
            bytes.put_i64(producer.last_offset);
            bytes.put_u8(producer.batches.len() as u8);
            for kept in &producer.batches {
                bytes.put_i32(kept.first_sequence);
                bytes.put_i32(kept.last_sequence);
                bytes.put_i64(kept.base_offset);
            }
        }
        bytes.put_u32(crc32c::crc32c(&bytes));
        bytes
    }

    /// Reads a snapshot; none if the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Option<Producers> {
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let mut body = body.strip_prefix(SNAPSHOT_MAGIC)?;
        let count = body.try_get_u32().ok()?;
        let mut producers = Producers::default();
        for _ in 0..count {
            let id = body.try_get_i64().ok()?;
            let mut producer = Producer {
                epoch: body.try_get_i16().ok()?,
                next_sequence: body.try_get_i32().ok()?,
                last_offset: body.try_get_i64().ok()?,
                batches: VecDeque::with_capacity(BATCHES_MAX),
            };
            for _ in 0..body.try_get_u8().ok()? {
                producer.batches.push_back(Kept {
                    first_sequence: body.try_get_i32().ok()?,
                    last_sequence: body.try_get_i32().ok()?,
                    base_offset: body.try_get_i64().ok()?,
                });
            }
            producers.0.insert(id, producer);
        }
        body.is_empty().then_some(producers)
    }
}

impl Producer {
    fn new(batch: &BatchHeader) -> Producer {
        Producer {
            epoch: batch.producer_epoch,
            batches: VecDeque::with_capacity(BATCHES_MAX),
            next_sequence: batch.base_sequence,
            last_offset: batch.base_offset,
        }
    }
}

/// Steps from one sequence on to another, the way round.
fn steps(from: i32, to: i32) -> i32 {
    to.wrapping_sub(from) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Sample;
    use super::*;

    fn batch(producer: (i64, i16, i32), count: usize, base_offset: i64) -> BatchHeader {
        let bytes = Sample::of(&vec![0; count]).by(producer.0, producer.1, producer.2).bytes();
        BatchHeader::parse(&bytes).unwrap().at(base_offset)
    }

    fn after(batches: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        for batch in batches {
            assert_eq!(producers.judge(batch), Verdict::Append);
            producers.remember(batch);
        }
        producers
    }

    #[test]
    fn a_repeated_batch_is_a_duplicate_and_a_skipped_one_is_missed() {
        let producers = after(&[batch((1, 0, 0), 3, 10), batch((1, 0, 3), 2, 13)]);
        assert_eq!(producers.judge(&batch((1, 0, 0), 3, 0)), Verdict::Duplicate(10));
        assert_eq!(producers.judge(&batch((1, 0, 3), 2, 0)), Verdict::Duplicate(13));
        assert_eq!(producers.judge(&batch((1, 0, 5), 1, 0)), Verdict::Append);
        assert_eq!(producers.judge(&batch((1, 0, 6), 1, 0)), Verdict::OutOfOrder);
        assert_eq!(producers.judge(&batch((2, 0, 0), 1, 0)), Verdict::Append);
    }

    #[test]
    fn a_duplicate_older_than_what_is_remembered_is_still_one() {
        let batches: Vec<_> = (0..7).map(|i| batch((1, 0, i), 1, i as i64)).collect();
        assert_eq!(after(&batches).judge(&batch((1, 0, 0), 1, 0)), Verdict::OldDuplicate);
    }

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_begins_at_nought() {
        let producers = after(&[batch((1, 3, 0), 1, 0)]);
        assert_eq!(producers.judge(&batch((1, 2, 1), 1, 0)), Verdict::Fenced);
        assert_eq!(producers.judge(&batch((1, 4, 1), 1, 0)), Verdict::OutOfOrder);
        assert_eq!(producers.judge(&batch((1, 4, 0), 1, 0)), Verdict::Append);
    }

    #[test]
    fn none_overtakes_a_first_batch_that_could_not_be_written() {
        let mut producers = Producers::default();
        producers.expect(&batch((1, 0, 0), 2, 0));
        assert_eq!(producers.judge(&batch((1, 0, 2), 2, 0)), Verdict::OutOfOrder);
        assert_eq!(producers.judge(&batch((1, 0, 0), 2, 0)), Verdict::Append);
    }

    #[test]
    fn sequences_go_round_without_a_gap() {
        let producers = after(&[batch((1, 0, i32::MAX - 1), 2, 0)]);
        assert_eq!(producers.judge(&batch((1, 0, 0), 1, 0)), Verdict::Append);
        assert_eq!(producers.judge(&batch((1, 0, 1), 1, 0)), Verdict::OutOfOrder);
    }

    #[test]
    fn a_snapshot_gives_back_what_it_was_taken_of_and_a_damaged_one_nothing() {
        let producers = after(&[batch((1, 0, 0), 3, 0), batch((2, 5, 9), 1, 3), batch((1, 0, 3), 1, 4)]);
        let bytes = producers.encode();
        assert_eq!(Producers::decode(&bytes), Some(producers));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Producers::decode(&damaged), None, "byte {at}");
        }
    }
}
