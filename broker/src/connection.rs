//! One client's connection: a frame in, an answer out, in order, until either side has enough.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use crate::api::{self, Refused};
use crate::node::Node;

/// Bytes of a request that brings records: a few of the greatest batches.
const RECORDS_FRAME_BYTES_MAX: usize = 2 * crate::BATCH_BYTES_MAX;
/// Bytes of any other request. Decoded, small elements take up to forty times their bytes.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// A connection that says nothing for so long is closed, as in Kafka.
const IDLE: Duration = Duration::from_secs(600);
/// A frame that has begun must end, and an answer must be taken, within this time: both hold memory.
const TRANSFER: Duration = Duration::from_secs(30);
/// Memory is taken for a frame in such steps as its bytes arrive.
const READ_STEP_BYTES: usize = 64 << 10;
/// Length and kind of a request.
const PREFIX_BYTES: usize = 6;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum Ending {
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("a frame of {length} bytes is more than the {most} that one of its kind may have")]
    TooLong { length: i32, most: usize },
    #[error("nothing came for {} s", IDLE.as_secs())]
    Idle,
    #[error("a frame or an answer took more than {} s", TRANSFER.as_secs())]
    Slow,
    #[error("{0}")]
    Broken(#[from] io::Error),
}

/// Serves a client until it goes, breaks the protocol, or the broker stops.
pub(crate) async fn serve(node: Arc<Node>, mut stream: TcpStream, address: SocketAddr) {
    match run(&node, &mut stream, address).await {
        Ok(()) => {}
        Err(Ending::Refused(error @ Refused::Internal(_))) => {
            tracing::error!(client = %address, %error, "closed a connection whose request could not be answered");
        }
        Err(Ending::Broken(error)) => tracing::debug!(client = %address, %error, "a connection broke"),
        Err(Ending::Idle) => tracing::debug!(client = %address, "closed an idle connection"),
        Err(ending) => {
            metrics::counter!("hangang_broker_refused_connections_total").increment(1);
            tracing::debug!(client = %address, reason = %ending, "closed a connection");
        }
    }
}

async fn run(node: &Arc<Node>, stream: &mut TcpStream, address: SocketAddr) -> Result<(), Ending> {
    stream.set_nodelay(true)?;
    let caller = node.caller(address, stream.local_addr()?);
    let (mut reader, mut writer) = stream.split();
    loop {
        let frame = tokio::select! {
            biased;
            () = node.stop.cancelled() => return Ok(()),
            frame = read_frame(node, &mut reader) => frame?,
        };
        let Some((frame, memory)) = frame else { return Ok(()) };
        let answer = tokio::select! {
            biased;
            answer = api::answer(node, &caller, frame) => answer?,
            () = gone(&mut reader) => return Ok(()),
        };
        drop(memory);
        if let Some(answer) = answer {
            timeout(TRANSFER, writer.write_all(&answer.bytes)).await.map_err(|_| Ending::Slow)??;
        }
    }
}

/// The next frame without its length, and the memory it holds; none where the client has gone.
async fn read_frame<'n>(node: &'n Node, reader: &mut ReadHalf<'_>) -> Result<Option<(Bytes, SemaphorePermit<'n>)>, Ending> {
    let mut prefix = BytesMut::with_capacity(PREFIX_BYTES);
    if timeout(IDLE, reader.read_buf(&mut prefix)).await.map_err(|_| Ending::Idle)?? == 0 {
        return Ok(None);
    }
    timeout(TRANSFER, read_rest(node, reader, prefix)).await.map_err(|_| Ending::Slow)?
}

async fn read_rest<'n>(
    node: &'n Node,
    reader: &mut ReadHalf<'_>,
    mut prefix: BytesMut,
) -> Result<Option<(Bytes, SemaphorePermit<'n>)>, Ending> {
    while prefix.len() < PREFIX_BYTES {
        if reader.read_buf(&mut prefix).await? == 0 {
            return Ok(None);
        }
    }
    let mut peek = &prefix[..];
    let (length, key) = (peek.get_i32(), peek.get_i16());
    let most = if key == ApiKey::Produce as i16 { RECORDS_FRAME_BYTES_MAX } else { FRAME_BYTES_MAX };
    let bytes =
        usize::try_from(length).ok().filter(|bytes| (2..=most).contains(bytes)).ok_or(Ending::TooLong { length, most })?;
    let memory = node.request_bytes.acquire_many(bytes as u32).await.map_err(io::Error::other)?;
    let mut frame = BytesMut::from(&prefix[4..]);
    while frame.len() < bytes {
        let missing = bytes - frame.len();
        frame.reserve(missing.min(READ_STEP_BYTES.max(frame.len())));
        // Not into the next frame, whose beginning may be here already.
        if (&mut *reader).take(missing as u64).read_buf(&mut frame).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((frame.freeze(), memory)))
}

/// Returns when the client has gone while it waits for an answer; never where it has sent its next request already.
async fn gone(reader: &mut ReadHalf<'_>) {
    if let Ok(1..) = reader.peek(&mut [0]).await {
        std::future::pending::<()>().await;
    }
}
