//! A file → blocks of whole lines, unpacked on a thread of its own while the blocks before are read.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::bufread::MultiGzDecoder;

/// Size of a block: large enough that handing it over costs nothing, small enough to stay in the second-level cache.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks that wait to be read at most.
const BLOCKS_WAITING_MAX: usize = 4;
/// A line longer than this is none of a table's: it bounds the memory that a wrong file can take.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The blocks of a file, in order. Each ends with a line's end, but perhaps the last.
pub(super) struct Lines {
    blocks: Receiver<io::Result<Vec<u8>>>,
    read: Arc<AtomicU64>,
}

impl Lines {
    /// Opens a file, gzipped or plain, as its first bytes say.
    pub(super) fn open(path: &Path) -> io::Result<Lines> {
        let read = Arc::new(AtomicU64::new(0));
        let mut file = BufReader::with_capacity(BLOCK_BYTES / 4, Counted { file: File::open(path)?, read: read.clone() });
        let packed = io::BufRead::fill_buf(&mut file)?.starts_with(&[0x1f, 0x8b]);
        let (sender, blocks) = sync_channel(BLOCKS_WAITING_MAX);
        let unpack = move || match packed {
            true => send(MultiGzDecoder::new(file), &sender),
            false => send(file, &sender),
        };
        std::thread::Builder::new().name("unpack".to_owned()).spawn(unpack)?;
        Ok(Lines { blocks, read })
    }

    /// Bytes of the file, as it lies on disk, that have been read so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Iterator for Lines {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.blocks.recv().ok()
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn send(mut file: impl Read, blocks: &SyncSender<io::Result<Vec<u8>>>) {
    let mut left = Vec::new();
    loop {
        let block = next(&mut file, &mut left);
        let last = matches!(block, Ok(None) | Err(_));
        // Nobody waits for more once a line was found wrong: then there is nobody to tell, and nothing to do.
        let Some(block) = block.transpose() else { return };
        if blocks.send(block).is_err() || last {
            return;
        }
    }
}

/// The next block up to its last line's end; what follows stays in `left` for the block after.
fn next(file: &mut impl Read, left: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut block = std::mem::take(left);
    loop {
        let start = block.len();
        let mut room = file.by_ref().take(BLOCK_BYTES as u64);
        block.reserve(BLOCK_BYTES);
        if room.read_to_end(&mut block)? == 0 {
            return Ok(Some(block).filter(|block| !block.is_empty()));
        }
        if let Some(end) = block[start..].iter().rposition(|&byte| byte == b'\n') {
            *left = block.split_off(start + end + 1);
            return Ok(Some(block));
        }
        if block.len() > LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line has no end within {LINE_BYTES_MAX} bytes")));
        }
    }
}
