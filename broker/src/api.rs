//! From a frame to its answer: which request it is, and who answers it.
//!
//! Whatever a frame holds, the outcome is an answer or a reason to close the connection.

mod commits;
mod configs;
mod coordinator;
mod fetch;
mod list_offsets;
mod metadata;
mod produce;
pub(crate) mod shape;
mod topics;

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use tokio::sync::OwnedSemaphorePermit;

use crate::node::{Caller, Node};
use shape::{APIS, Api};

/// Why a connection is closed instead of answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the frame is no request of Kafka's protocol: {0}")]
    Malformed(String),
    #[error("the broker has no request {key} in version {version}")]
    Unknown { key: i16, version: i16 },
    #[error("records that were to be written without an answer could not be: {0}")]
    Unanswerable(ResponseError),
    #[error("the answer could not be made: {0}")]
    Internal(String),
}

/// An answer, ready to be sent, and the memory that it holds.
pub(crate) struct Answer {
    pub bytes: Bytes,
    pub _memory: Option<OwnedSemaphorePermit>,
}

/// A request's header.
struct Header {
    api: &'static Api,
    version: i16,
    correlation_id: i32,
    client_id: StrBytes,
}

/// Answers one frame (without its length). None where the client wants no answer.
pub(crate) async fn answer(node: &Arc<Node>, caller: &Caller, frame: Bytes) -> Result<Option<Answer>, Refused> {
    let (header, body) = match read_header(frame)? {
        Ok(read) => read,
        // A client that is newer than the broker learns here what the broker knows, in the oldest form there is.
        Err(correlation_id) => {
            let response = api_versions().with_error_code(ResponseError::UnsupportedVersion.code());
            return encode(&response, 0, correlation_id).map(Some);
        }
    };
    metrics::counter!("hangang_broker_requests_total", "request" => name(header.api.key)).increment(1);
    header.api.check(header.version, &body).map_err(|_| malformed(&header, "its lengths do not add up"))?;
    dispatch(node, caller, &header, body).await
}

async fn dispatch(node: &Arc<Node>, caller: &Caller, header: &Header, body: Bytes) -> Result<Option<Answer>, Refused> {
    let version = header.version;
    match header.api.key {
        ApiKey::ApiVersions => {
            decode::<ApiVersionsRequest>(header, body)?;
            reply(header, api_versions())
        }
        ApiKey::Metadata => {
            let request = decode(header, body)?;
            let (node, caller) = (node.clone(), caller.clone());
            reply(header, blocking(move || metadata::metadata(&node, &caller, request, version)).await?)
        }
        ApiKey::CreateTopics => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || topics::create(&node, request)).await?)
        }
        ApiKey::DeleteTopics => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || topics::delete(&node, request, version)).await?)
        }
        ApiKey::DeleteRecords => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || topics::delete_records(&node, request)).await?)
        }
        ApiKey::DescribeConfigs => reply(header, configs::describe(node, decode(header, body)?)),
        ApiKey::InitProducerId => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || produce::init_producer_id(&node, request)).await?)
        }
        ApiKey::Produce => {
            let (request, node) = (decode::<ProduceRequest>(header, body)?, node.clone());
            let wants_answer = request.acks != 0;
            let (response, error) = blocking(move || produce::produce(&node, request)).await?;
            match (wants_answer, error) {
                (true, _) => reply(header, response),
                (false, None) => Ok(None),
                (false, Some(error)) => Err(Refused::Unanswerable(error)),
            }
        }
        ApiKey::Fetch => {
            let (response, memory) = fetch::fetch(node, decode(header, body)?, version).await?;
            let answer = encode(&response, version, header.correlation_id)?;
            Ok(Some(Answer { _memory: memory, ..answer }))
        }
        ApiKey::ListOffsets => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || list_offsets::list(&node, request, version)).await?)
        }
        ApiKey::OffsetForLeaderEpoch => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || list_offsets::epoch_ends(&node, request)).await?)
        }
        ApiKey::FindCoordinator => reply(header, coordinator::find(caller, decode(header, body)?, version)),
        ApiKey::JoinGroup => {
            let request = decode(header, body)?;
            reply(header, coordinator::join(node, caller, &header.client_id, request, version).await)
        }
        ApiKey::SyncGroup => reply(header, coordinator::sync(node, decode(header, body)?).await),
        ApiKey::Heartbeat => reply(header, coordinator::heartbeat(node, decode(header, body)?)),
        ApiKey::LeaveGroup => reply(header, coordinator::leave(node, decode(header, body)?, version)),
        ApiKey::DescribeGroups => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || coordinator::describe(&node, request)).await?)
        }
        ApiKey::ListGroups => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || coordinator::list(&node, request)).await?)
        }
        ApiKey::OffsetCommit => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || commits::commit(&node, request)).await?)
        }
        ApiKey::OffsetFetch => {
            let (request, node) = (decode(header, body)?, node.clone());
            reply(header, blocking(move || commits::fetch(&node, request, version)).await?)
        }
        other => Err(Refused::Unknown { key: other as i16, version }),
    }
}

/// Reads the header, which is versioned apart from the request. The inner error is the correlation id of a question for
/// versions that is itself of an unknown version.
fn read_header(frame: Bytes) -> Result<Result<(Header, Bytes), i32>, Refused> {
    let short = || Refused::Malformed("it is too short for a header".into());
    let mut peek = frame.get(..8).ok_or_else(short)?;
    let (key, version, correlation_id) = (peek.get_i16(), peek.get_i16(), peek.get_i32());
    let unknown = Refused::Unknown { key, version };
    let Some(api) = Api::find(key) else { return Err(unknown) };
    if !(api.version_min..=api.version_max).contains(&version) {
        return if api.key == ApiKey::ApiVersions { Ok(Err(correlation_id)) } else { Err(unknown) };
    }
    let mut body = frame;
    let header = RequestHeader::decode(&mut body, api.key.request_header_version(version))
        .map_err(|error| Refused::Malformed(error.to_string()))?;
    let client_id = header.client_id.unwrap_or_default();
    Ok(Ok((Header { api, version, correlation_id, client_id }, body)))
}

fn decode<R: Decodable>(header: &Header, mut body: Bytes) -> Result<R, Refused> {
    R::decode(&mut body, header.version).map_err(|error| malformed(header, &error.to_string()))
}

fn malformed(header: &Header, detail: &str) -> Refused {
    Refused::Malformed(format!("{} {}: {detail}", name(header.api.key), header.version))
}

fn reply<R: Encodable + HeaderVersion>(header: &Header, response: R) -> Result<Option<Answer>, Refused> {
    encode(&response, header.version, header.correlation_id).map(Some)
}

fn encode<R: Encodable + HeaderVersion>(response: &R, version: i16, correlation_id: i32) -> Result<Answer, Refused> {
    let failed = |error| Refused::Internal(format!("{error}"));
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = R::header_version(version);
    let length =
        header.compute_size(header_version).and_then(|size| Ok(size + response.compute_size(version)?)).map_err(failed)?;
    let mut bytes = BytesMut::with_capacity(4 + length);
    bytes.put_u32(length as u32);
    header.encode(&mut bytes, header_version).map_err(failed)?;
    response.encode(&mut bytes, version).map_err(failed)?;
    debug_assert_eq!(bytes.len(), 4 + length);
    Ok(Answer { bytes: bytes.freeze(), _memory: None })
}

/// Runs what touches the disk, or waits for a lock under which the disk is touched, off the async threads: a slow disk
/// must not hold up whatever else runs in the process.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refused::Internal(error.to_string()))
}

fn api_versions() -> ApiVersionsResponse {
    let of = |api: &Api| {
        // Clients before librdkafka 2.11 take a missing version 0 for a broker without compression; Kafka 4 does the same.
        let version_min = if api.key == ApiKey::Produce { 0 } else { api.version_min };
        api_versions_response::ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(version_min)
            .with_max_version(api.version_max)
    };
    ApiVersionsResponse::default().with_api_keys(APIS.iter().map(of).collect())
}

fn name(key: ApiKey) -> String {
    format!("{key:?}")
}

/// An error's code, or 0.
fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

#[cfg(test)]
mod tests;
