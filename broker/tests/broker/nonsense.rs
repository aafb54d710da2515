//! Nonsense on the port ends its own connection and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, MetadataRequest};
use kafka_protocol::records::Compression;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::tests::support::*;

/// Sends bytes and the end; what comes back until the broker closes the connection.
fn say(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The broker may have closed already.
    let _closed = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    answer
}

/// A seed of its own each time, or that of `HANGANG_SEED`; printed, so that a failure can be met again.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("HANGANG_SEED").map_or(now, |seed| seed.parse().expect("HANGANG_SEED is a number"));
    eprintln!("HANGANG_SEED={seed}");
    seed
}

fn is_alive(addr: SocketAddr) -> bool {
    !ask(addr, 3, &ApiVersionsRequest::default()).api_keys.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_and_absurd_lengths_are_closed() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let huge = [&i32::MAX.to_be_bytes()[..], &[0, 3, 0, 1, 0, 0, 0, 7]].concat();
    let negative = [&(-5i32).to_be_bytes()[..], &[0, 3, 0, 1]].concat();
    let array = {
        let body = [&[0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff][..], &i32::MAX.to_be_bytes()].concat();
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    };
    let requests: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: seoul\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &huge,
        &negative,
        &array,
        b"\0",
    ];
    for request in requests {
        assert!(say(process.addr, request).is_empty(), "{request:?}");
        assert!(is_alive(process.addr));
    }
    assert!(!process.said().contains("panicked"), "{}", process.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_newer_learns_what_the_broker_knows() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let mut newer = frame(3, &ApiVersionsRequest::default()).to_vec();
    newer[6..8].copy_from_slice(&99i16.to_be_bytes());
    let answer = say(process.addr, &newer);
    assert_eq!(answer[8..10], ResponseError::UnsupportedVersion.code().to_be_bytes());
    assert!(answer.windows(2).any(|bytes| bytes == (ApiKey::Fetch as i16).to_be_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_leave_the_broker_alive() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let addr = process.addr;
    let mut runner =
        TestRunner::new(Config { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(seed()), ..Config::default() });
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let key_and_version = (-1i16..60, -1i16..20);
    runner
        .run(&(key_and_version, body, any::<bool>()), |((key, version), body, has_length)| {
            let mut frame = [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7, 0xff, 0xff], &body].concat();
            if has_length {
                frame = [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
            }
            say(addr, &frame);
            Ok(())
        })
        .unwrap();
    assert!(is_alive(addr));
    assert!(!process.said().contains("panicked"), "{}", process.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_batch_is_refused_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    let good = batch(&[1, 2, 3], (-1, -1, -1), Compression::Lz4);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] ^= byte;
        bytes.into()
    };
    let two = [&good[..], &good[..]].concat().into();
    let cases: [(bytes::Bytes, ResponseError); 6] = [
        (changed(good.len() - 1, 1), ResponseError::CorruptMessage),
        (changed(17, 0xff), ResponseError::CorruptMessage),
        (good.slice(..good.len() - 1), ResponseError::CorruptMessage),
        (changed(16, 3), ResponseError::UnsupportedForMessageFormat),
        (two, ResponseError::InvalidRecord),
        (bytes::Bytes::new(), ResponseError::CorruptMessage),
    ];
    for (records, error) in cases {
        assert_eq!(produce(process.addr, records), (error.code(), -1));
    }
    assert_eq!(produce(process.addr, good), (0, 0));
    assert_eq!(read_all(process.addr, "t", 0).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_holds_up_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let mut half: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(process.addr).unwrap();
        let metadata = frame(12, &MetadataRequest::default());
        stream.write_all(&metadata[..metadata.len() - 2]).unwrap();
        half.push(stream);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert!(is_alive(process.addr));
    let whole = frame(12, &MetadataRequest::default());
    half[7].write_all(&whole[whole.len() - 2..]).unwrap();
    let mut length = [0; 4];
    half[7].set_read_timeout(Some(PATIENCE)).unwrap();
    half[7].read_exact(&mut length).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_closed_until_others_end() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let mut held: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(process.addr).unwrap()).collect();
    // Those that are served get an answer, so all of them have been accepted.
    held.iter_mut().for_each(|stream| assert!(!ask_on(stream, 3, &ApiVersionsRequest::default()).api_keys.is_empty()));
    assert!(say(process.addr, &frame(3, &ApiVersionsRequest::default())).is_empty());
    wait_until("it is said", || process.said().contains("more than 200 connections"));
    held.truncate(100);
    wait_until("there is room", || !say(process.addr, &frame(3, &ApiVersionsRequest::default())).is_empty());
}
