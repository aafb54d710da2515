//! Where to begin: offsets by time, beginnings and ends, and what was committed.

use std::net::SocketAddr;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Compression;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::tests::support::*;

fn consumer(addr: SocketAddr) -> BaseConsumer {
    client(addr).set("group.id", "g").set("enable.auto.commit", "false").create().unwrap()
}

fn first_at_or_after(consumer: &BaseConsumer, timestamp: i64) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset("t", 0, Offset::Offset(timestamp)).unwrap();
    consumer.offsets_for_times(asked, PATIENCE).unwrap().elements()[0].offset()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time_to_the_record_in_every_compression() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    try_create_topic(process.addr, "t", 1, &[("segment.bytes", "2000")]).await.unwrap();
    let compressions = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let mut timestamps = Vec::new();
    for number in 0..100i64 {
        // Times go forward, but not from record to record.
        let of_batch: Vec<i64> = [3, 1, 2, 7, 5].iter().map(|step| number * 10 + step).collect();
        assert_eq!(produce(process.addr, batch(&of_batch, (-1, -1, -1), compressions[number as usize % 5])).0, 0);
        timestamps.extend(of_batch);
    }
    let addr = process.kill();
    let process = Process::start_at(data.path(), addr, None);
    let consumer = consumer(process.addr);
    for timestamp in (0..1010).step_by(7) {
        let expected =
            timestamps.iter().position(|&at| at >= timestamp).map_or(Offset::End, |offset| Offset::Offset(offset as i64));
        assert_eq!(first_at_or_after(&consumer, timestamp), expected, "at {timestamp}");
    }
    assert_eq!(consumer.fetch_watermarks("t", 0, PATIENCE).unwrap(), (0, 500));
    // The latest of all, which librdkafka's consumer cannot ask for.
    let asked = ListOffsetsPartition::default().with_timestamp(-3);
    let topic = ListOffsetsTopic::default().with_name(TopicName(StrBytes::from_static_str("t"))).with_partitions(vec![asked]);
    let answer = ask(process.addr, 7, &ListOffsetsRequest::default().with_topics(vec![topic]));
    let latest = &answer.topics[0].partitions[0];
    assert_eq!((latest.error_code, latest.offset, latest.timestamp), (0, 498, 997));
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_offsets_survive_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    create_topic(process.addr, "t", 3).await;
    let mut committed = TopicPartitionList::new();
    for (partition, offset) in [(0, 17), (2, 1 << 40)] {
        committed.add_partition_offset("t", partition, Offset::Offset(offset)).unwrap();
    }
    consumer(process.addr).commit(&committed, CommitMode::Sync).unwrap();
    let addr = process.kill();
    let process = Process::start_at(data.path(), addr, None);
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range("t", 0, 2);
    let answer = consumer(process.addr).committed_offsets(asked, PATIENCE).unwrap();
    let offsets: Vec<Offset> = answer.elements().iter().map(|element| element.offset()).collect();
    assert_eq!(offsets, [Offset::Offset(17), Offset::Invalid, Offset::Offset(1 << 40)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_move_the_beginning() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    create_topic(process.addr, "t", 1).await;
    for _ in 0..10 {
        assert_eq!(produce(process.addr, batch(&[5, 6], (-1, -1, -1), Compression::Zstd)).0, 0);
    }
    let admin: AdminClient<_> = client(process.addr).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("t", 0, Offset::Offset(13)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    let check = |addr| {
        assert_eq!(consumer(addr).fetch_watermarks("t", 0, PATIENCE).unwrap(), (13, 20));
        assert_eq!(first_at_or_after(&consumer(addr), 5), Offset::Offset(13), "12, the first of its batch, is gone");
        let offsets: Vec<i64> = read_all(addr, "t", 0).iter().map(|seen| seen.offset).collect();
        assert_eq!(offsets, (13..20).collect::<Vec<_>>());
    };
    check(process.addr);
    let addr = process.kill();
    let process = Process::start_at(data.path(), addr, None);
    check(process.addr);
}
