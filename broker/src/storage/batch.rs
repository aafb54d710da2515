//! A record batch as it comes off the wire and lies on the disk: the 61 bytes of its header (Kafka's format 2).
//!
//! A batch is kept as it arrived; only its base offset and leader epoch are set, which its checksum leaves out.
//! Records inside are never decoded here.
//!
//! ```text
//! 0         8        12      16  17    21      23     27        35       43        51     53    57     61
//! base      length   leader  magic crc  attri-  last   base      max      producer  epoch  first records
//! offset             epoch            butes   delta  timestamp timestamp id               seq   count
//! ```

use bytes::Buf;

/// Bytes of a batch's header.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes before what the length field counts.
const PREFIX_BYTES: usize = 12;
/// Where the bytes begin that the checksum covers.
const CHECKED_FROM: usize = 21;
/// The only format since Kafka 0.11.
const MAGIC: i8 = 2;

const COMPRESSION_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub base_offset: i64,
    length: i32,
    magic: i8,
    crc: u32,
    attributes: i16,
    last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    count: i32,
}

/// Why bytes are no batch that this broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes end before the batch does.
    Short,
    /// A format older or newer than 2.
    Magic(i8),
    /// The checksum does not match the bytes.
    Checksum,
    /// The header contradicts itself.
    Header(&'static str),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Short => write!(f, "the batch is cut short"),
            Fault::Magic(magic) => write!(f, "batch format {magic} is not 2"),
            Fault::Checksum => write!(f, "the batch's checksum does not match its bytes"),
            Fault::Header(what) => write!(f, "{what}"),
        }
    }
}

impl BatchHeader {
    /// Reads the header at the beginning of `bytes`, which may hold more or less than the whole batch. Checks that its
    /// numbers agree with each other, not the checksum.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, Fault> {
        let Some(mut bytes) = bytes.get(..HEADER_BYTES) else { return Err(Fault::Short) };
        let base_offset = bytes.get_i64();
        let length = bytes.get_i32();
        let _leader_epoch = bytes.get_i32();
        let header = BatchHeader {
            base_offset,
            length,
            magic: bytes.get_i8(),
            crc: bytes.get_u32(),
            attributes: bytes.get_i16(),
            last_offset_delta: bytes.get_i32(),
            base_timestamp: bytes.get_i64(),
            max_timestamp: bytes.get_i64(),
            producer_id: bytes.get_i64(),
            producer_epoch: bytes.get_i16(),
            base_sequence: bytes.get_i32(),
            count: bytes.get_i32(),
        };
        if header.magic != MAGIC {
            return Err(Fault::Magic(header.magic));
        }
        if (header.length as i64) < (HEADER_BYTES - PREFIX_BYTES) as i64 {
            return Err(Fault::Header("the batch's length is less than its header's"));
        }
        if header.count < 1 || header.last_offset_delta != header.count - 1 {
            return Err(Fault::Header("the batch's record count and last offset disagree"));
        }
        if header.attributes & COMPRESSION_MASK > 4 {
            return Err(Fault::Header("the batch's compression is unknown"));
        }
        if header.base_offset < 0 || header.base_offset.checked_add(header.count as i64).is_none() {
            return Err(Fault::Header("the batch's offset is out of range"));
        }
        Ok(header)
    }

    /// Reads and verifies a whole batch at the beginning of `bytes`.
    pub fn verify(bytes: &[u8]) -> Result<BatchHeader, Fault> {
        let header = BatchHeader::parse(bytes)?;
        let batch = bytes.get(..header.total_bytes()).ok_or(Fault::Short)?;
        if crc32c::crc32c(&batch[CHECKED_FROM..]) != header.crc {
            return Err(Fault::Checksum);
        }
        Ok(header)
    }

    /// The same batch at another offset.
    pub fn at(&self, base_offset: i64) -> BatchHeader {
        BatchHeader { base_offset, ..*self }
    }

    /// Bytes of the whole batch, header included.
    pub fn total_bytes(&self) -> usize {
        PREFIX_BYTES + self.length as usize
    }

    pub fn count(&self) -> i64 {
        self.count as i64
    }

    /// The offset after the batch's last record.
    pub fn next_offset(&self) -> i64 {
        self.base_offset + self.count as i64
    }

    /// The sequence number of the batch's last record; sequences go round from 2³¹−1 to 0.
    pub fn last_sequence(&self) -> i32 {
        advance(self.base_sequence, self.last_offset_delta)
    }

    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub fn compression(&self) -> i16 {
        self.attributes & COMPRESSION_MASK
    }

    pub fn has_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & (TRANSACTIONAL | CONTROL) != 0
    }

    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }
}

/// The sequence number `by` steps on.
pub(crate) fn advance(sequence: i32, by: i32) -> i32 {
    ((sequence as i64 + by as i64) & i32::MAX as i64) as i32
}

/// The batch's header as it goes to disk: at `base_offset`, under the one leader epoch there is.
pub(crate) fn placed_header(batch: &[u8], base_offset: i64) -> [u8; HEADER_BYTES] {
    let mut header: [u8; HEADER_BYTES] = batch[..HEADER_BYTES].try_into().expect("the batch was verified");
    header[..8].copy_from_slice(&base_offset.to_be_bytes());
    header[12..16].copy_from_slice(&crate::LEADER_EPOCH.to_be_bytes());
    header
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A batch of `timestamps.len()` records with one-byte values, uncompressed unless `compress` says otherwise.
    pub(crate) struct Sample {
        pub timestamps: Vec<i64>,
        pub producer: (i64, i16, i32),
        pub compression: i16,
    }

    impl Sample {
        pub fn of(timestamps: &[i64]) -> Sample {
            Sample { timestamps: timestamps.to_vec(), producer: (-1, -1, -1), compression: 0 }
        }

        pub fn by(mut self, id: i64, epoch: i16, sequence: i32) -> Sample {
            self.producer = (id, epoch, sequence);
            self
        }

        pub fn bytes(&self) -> Vec<u8> {
            use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
            let records: Vec<Record> = (0i64..)
                .zip(&self.timestamps)
                .map(|(offset, &timestamp)| Record {
                    transactional: false,
                    control: false,
                    delete_horizon: false,
                    partition_leader_epoch: 0,
                    producer_id: self.producer.0,
                    producer_epoch: self.producer.1,
                    timestamp_type: TimestampType::Creation,
                    offset,
                    sequence: self.producer.2.wrapping_add(offset as i32),
                    timestamp,
                    key: None,
                    value: Some(bytes::Bytes::from_static(b"v")),
                    headers: Default::default(),
                })
                .collect();
            let compression = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
                [self.compression as usize];
            let mut bytes = bytes::BytesMut::new();
            RecordBatchEncoder::encode(&mut bytes, &records, &RecordEncodeOptions { version: 2, compression }).unwrap();
            bytes.to_vec()
        }
    }

    #[test]
    fn a_flipped_bit_is_seen_wherever_the_checksum_reaches() {
        let good = Sample::of(&[1, 2, 3]).bytes();
        assert_eq!(BatchHeader::verify(&good).unwrap().count(), 3);
        for at in CHECKED_FROM..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(BatchHeader::verify(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_prefix_is_short() {
        let good = Sample::of(&[1, 2, 3]).bytes();
        for length in 0..good.len() {
            assert_eq!(BatchHeader::verify(&good[..length]), Err(Fault::Short), "{length} bytes");
        }
    }

    #[test]
    fn placing_a_batch_keeps_its_checksum() {
        let mut batch = Sample::of(&[1, 2]).bytes();
        let header = placed_header(&batch, 77);
        batch[..HEADER_BYTES].copy_from_slice(&header);
        assert_eq!(BatchHeader::verify(&batch).unwrap().base_offset, 77);
    }

    #[test]
    fn sequences_go_round() {
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 3), 1);
    }
}
