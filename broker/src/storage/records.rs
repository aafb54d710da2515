//! Looks inside one batch for the timestamps of its records, which only a look-up by time needs.
//!
//! Walks the records as a stream and keeps none of them, so that a batch which unfolds into gigabytes costs no memory.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;

use super::batch::{BatchHeader, HEADER_BYTES};

/// Unfolded bytes of one batch that are looked through: 64 times the greatest batch. More is taken for an attack.
const UNFOLDED_BYTES_MAX: u64 = 512 << 20;
/// Unfolded bytes of a snappy batch, the one format that unfolds only as a whole.
const SNAPPY_BYTES_MAX: usize = 64 << 20;
/// How the Java clients frame snappy: a magic, two versions, then blocks with their lengths.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// Offset and timestamp of the batch's first record at or after both `start`, an offset, and `timestamp`.
pub(crate) fn first_at_or_after(batch: &[u8], start: i64, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
    let mut found = None;
    walk(batch, |offset, at| {
        if at >= timestamp && offset >= start {
            found = Some((offset, at));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Offset and timestamp of the batch's latest record from the offset `start` on; the first of them where several are equal.
pub(crate) fn latest(batch: &[u8], start: i64) -> io::Result<Option<(i64, i64)>> {
    let mut found: Option<(i64, i64)> = None;
    walk(batch, |offset, at| {
        if offset >= start && found.is_none_or(|(_, latest)| at > latest) {
            found = Some((offset, at));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Calls `visit` with each record's offset and timestamp, in order.
fn walk(batch: &[u8], mut visit: impl FnMut(i64, i64) -> ControlFlow<()>) -> io::Result<()> {
    let header = BatchHeader::parse(batch).map_err(|fault| invalid(&fault.to_string()))?;
    let mut records = unfold(&header, &batch[HEADER_BYTES..])?;
    for _ in 0..header.count() {
        let length = read_varint(&mut records)?;
        let mut record = records.by_ref().take(u64::try_from(length).map_err(|_| invalid("a record's length is negative"))?);
        let mut attributes = [0];
        record.read_exact(&mut attributes)?;
        let timestamp = header.base_timestamp.wrapping_add(read_varint(&mut record)?);
        let offset = header.base_offset.wrapping_add(read_varint(&mut record)?);
        skip(&mut record)?;
        if visit(offset, timestamp).is_break() {
            break;
        }
    }
    Ok(())
}

fn unfold<'a>(header: &BatchHeader, bytes: &'a [u8]) -> io::Result<Box<dyn BufRead + 'a>> {
    Ok(match header.compression() {
        0 => Box::new(bytes),
        1 => bounded(flate2::read::MultiGzDecoder::new(bytes)),
        2 => Box::new(io::Cursor::new(unfold_snappy(bytes)?)),
        3 => bounded(lz4::Decoder::new(bytes)?),
        4 => bounded(zstd::stream::read::Decoder::new(bytes)?),
        other => return Err(invalid(&format!("compression {other} is unknown"))),
    })
}

fn bounded<'a>(reader: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    Box::new(BufReader::new(reader.take(UNFOLDED_BYTES_MAX)))
}

fn unfold_snappy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut unfolded = Vec::new();
    let mut block = |bytes: &[u8]| {
        let length = snap::raw::decompress_len(bytes).map_err(io::Error::other)?;
        if length > SNAPPY_BYTES_MAX - unfolded.len() {
            return Err(invalid("a snappy batch unfolds into more than 64 MiB"));
        }
        unfolded.extend(snap::raw::Decoder::new().decompress_vec(bytes).map_err(io::Error::other)?);
        Ok(())
    };
    if !bytes.starts_with(XERIAL_MAGIC) {
        block(bytes)?;
        return Ok(unfolded);
    }
    let mut rest = bytes.get(XERIAL_HEADER_BYTES..).ok_or_else(|| invalid("a snappy frame is cut short"))?;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (one, after) =
            after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(|| invalid("a snappy frame is cut short"))?;
        block(one)?;
        rest = after;
    }
    Ok(unfolded)
}

/// A zigzag number of at most ten bytes.
fn read_varint(reader: &mut impl Read) -> io::Result<i64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        value |= ((byte[0] & 0x7f) as u64) << shift.min(63);
        if byte[0] < 0x80 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(invalid("a number has more than ten bytes"))
}

/// Reads a record to its end, and fails where the batch ends before it.
fn skip(record: &mut io::Take<impl BufRead>) -> io::Result<()> {
    while record.limit() > 0 {
        let length = record.fill_buf()?.len();
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        record.consume(length);
    }
    Ok(())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::Sample;
    use super::*;

    #[test]
    fn records_are_found_by_time_in_every_compression() {
        for compression in 0..=4 {
            let mut sample = Sample::of(&[100, 300, 200, 400, 400]);
            sample.compression = compression;
            let batch = sample.bytes();
            assert_eq!(first_at_or_after(&batch, 0, 0).unwrap(), Some((0, 100)), "compression {compression}");
            assert_eq!(first_at_or_after(&batch, 0, 150).unwrap(), Some((1, 300)), "compression {compression}");
            assert_eq!(first_at_or_after(&batch, 2, 150).unwrap(), Some((2, 200)), "compression {compression}");
            assert_eq!(first_at_or_after(&batch, 0, 401).unwrap(), None, "compression {compression}");
            assert_eq!(latest(&batch, 0).unwrap(), Some((3, 400)), "compression {compression}");
        }
    }

    #[test]
    fn a_batch_with_garbage_for_records_is_an_error() {
        let mut batch = Sample::of(&[1, 2, 3]).bytes();
        batch[HEADER_BYTES..].fill(0xff);
        assert!(first_at_or_after(&batch, 0, 0).is_err());
        let mut compressed = Sample::of(&[1, 2, 3]);
        for compression in 1..=4 {
            compressed.compression = compression;
            let mut batch = compressed.bytes();
            batch[HEADER_BYTES..].fill(0xff);
            assert!(first_at_or_after(&batch, 0, 0).is_err(), "compression {compression}");
        }
    }

    #[test]
    fn java_s_snappy_frames_are_read() {
        let plain = Sample::of(&[7, 8]).bytes();
        let mut framed = XERIAL_MAGIC.to_vec();
        framed.extend([0, 0, 0, 1, 0, 0, 0, 1]);
        for block in plain[HEADER_BYTES..].chunks(5) {
            let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
            framed.extend((block.len() as u32).to_be_bytes());
            framed.extend(block);
        }
        assert_eq!(unfold_snappy(&framed).unwrap(), plain[HEADER_BYTES..]);
    }
}
