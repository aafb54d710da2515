//! Brokers in this process and in one of their own, and clients for them.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::{Broker, BrokerConfig};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ProduceRequest, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

/// How long anything may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub async fn start(data: &Path) -> Broker {
    Broker::start(BrokerConfig::new(data, any_port())).await.unwrap()
}

pub fn client(addr: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", addr.to_string());
    config
}

/// Makes a topic, or says by Kafka's code why not.
pub async fn try_create_topic(
    addr: SocketAddr,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), RDKafkaErrorCode> {
    let admin: AdminClient<_> = client(addr).create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    made.into_iter().next().unwrap().map(|_| ()).map_err(|(_, code)| code)
}

pub async fn create_topic(addr: SocketAddr, name: &str, partitions: i32) {
    try_create_topic(addr, name, partitions, &[]).await.unwrap();
}

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

impl Seen {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.value).unwrap()
    }
}

/// Everything in a partition, read with checked checksums by a fresh consumer.
pub fn read_all(addr: SocketAddr, topic: &str, partition: i32) -> Vec<Seen> {
    let consumer: BaseConsumer = client(addr)
        .set("group.id", "reader-of-all")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .create()
        .unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    consumer.assign(&place).unwrap();
    let mut seen = Vec::new();
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => seen.push(Seen {
                offset: record.offset(),
                timestamp: record.timestamp().to_millis().unwrap(),
                key: record.key().map(<[u8]>::to_vec),
                value: record.payload().unwrap_or_default().to_vec(),
            }),
            Some(Err(KafkaError::PartitionEOF(_))) => return seen,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    panic!("the end of {topic}/{partition} was not reached; {} records were", seen.len());
}

/// A batch with one record for each timestamp, whose values are its numbers.
pub fn batch(timestamps: &[i64], producer: (i64, i16, i32), compression: Compression) -> Bytes {
    let record = |(offset, &timestamp): (usize, &i64)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: producer.0,
        producer_epoch: producer.1,
        timestamp_type: TimestampType::Creation,
        offset: offset as i64,
        sequence: producer.2.wrapping_add(offset as i32),
        timestamp,
        key: None,
        value: Some(offset.to_string().into()),
        headers: Default::default(),
    };
    let records: Vec<Record> = timestamps.iter().enumerate().map(record).collect();
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &RecordEncodeOptions { version: 2, compression }).unwrap();
    bytes.freeze()
}

/// Sends a batch to `t/0`; its error code and base offset.
pub fn produce(addr: SocketAddr, batch: bytes::Bytes) -> (i16, i64) {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(TopicName(StrBytes::from_static_str("t"))).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    let answer = ask(addr, 9, &request);
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

/// Asks one question in one version, on a connection of its own.
pub fn ask<R: Request>(addr: SocketAddr, version: i16, request: &R) -> R::Response {
    let mut stream = TcpStream::connect(addr).unwrap();
    ask_on(&mut stream, version, request)
}

pub fn ask_on<R: Request>(stream: &mut TcpStream, version: i16, request: &R) -> R::Response {
    use std::io::Write;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&frame(version, request)).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    let mut answer = Bytes::from(answer);
    let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 7);
    let response = R::Response::decode(&mut answer, version).unwrap();
    assert!(!answer.has_remaining(), "the answer ends where its fields do");
    response
}

/// A request with its length in front.
pub fn frame<R: Request>(version: i16, request: &R) -> Bytes {
    let mut body = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    let header_version = ApiKey::try_from(R::KEY).unwrap().request_header_version(version);
    header.encode(&mut body, header_version).unwrap();
    request.encode(&mut body, version).unwrap();
    let mut frame = BytesMut::new();
    frame.put_u32(body.len() as u32);
    frame.extend(body);
    frame.freeze()
}

/// A broker in a process of its own, which can be killed.
pub struct Process {
    child: Child,
    pub addr: SocketAddr,
    said: Arc<Mutex<String>>,
}

const CHILD_DATA: &str = "HANGANG_TEST_BROKER_DATA";
const CHILD_LISTEN: &str = "HANGANG_TEST_BROKER_LISTEN";
const LISTENING: &str = "listening on ";

impl Process {
    pub fn start(data: &Path) -> Process {
        Process::start_at(data, any_port(), None)
    }

    /// On an address that clients may know already, and with files of at most so many bytes.
    pub fn start_at(data: &Path, listen: SocketAddr, file_bytes_max: Option<u64>) -> Process {
        let itself = std::env::current_exe().unwrap();
        let arguments = ["--exact", "tests::support::run_as_broker", "--ignored", "--nocapture"];
        let mut command = match file_bytes_max {
            None => Command::new(itself),
            Some(bytes) => {
                // A process that ignores the signal gets an error from the write instead, as from a full disk.
                let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", bytes / 512);
                let mut command = Command::new("sh");
                command.arg("-c").arg(script).arg(itself);
                command
            }
        };
        command.args(arguments).env(CHILD_DATA, data).env(CHILD_LISTEN, listen.to_string());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().unwrap(), said.clone());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = loop {
            let Some(line) = lines.next() else { panic!("the broker did not start: {}", said.lock().unwrap()) };
            if let Some((_, addr)) = line.unwrap().split_once(LISTENING) {
                break addr.parse().unwrap();
            }
        };
        Process { child, addr, said }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> SocketAddr {
        self.end();
        self.addr
    }

    /// Its log, from warnings up.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut into = into.lock().unwrap();
            into.push_str(&line);
            into.push('\n');
        }
    });
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// No test: what [`Process`] runs.
#[test]
#[ignore = "other tests start it in a process of its own"]
fn run_as_broker() {
    let Ok(data) = std::env::var(CHILD_DATA) else { return };
    let listen = std::env::var(CHILD_LISTEN).unwrap().parse().unwrap();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let broker = Broker::start(BrokerConfig::new(data, listen)).await.unwrap();
        println!("{LISTENING}{}", broker.addr());
        std::future::pending::<()>().await;
    });
}
