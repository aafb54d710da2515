//! From a topic to visible rollup rows, beside librdkafka consuming and nothing else: both per second of processor time of
//! the consuming side. The broker is the embedded one in a process of its own; its processor time stands apart.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use catalog::feeds::traffic_volume::FEED;
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use lake::Lake;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use stream_processor::{Processor, ProcessorConfig, Spent, consume_only};
use tokio::runtime::Runtime;
use url::Url;

use crate::machine::{self, Since, cpu_seconds};
use crate::program::{Stage, free_address, hangang};
use crate::table::{Goal, Table, median, short};

/// Records of the topic: some seconds of work, and over a thousand hours of a city.
const RECORDS: u64 = 1_000_000;
/// Key and payload of each together.
const RECORD_BYTES: usize = 200;
/// Rounds of both, alternating.
const ROUNDS: usize = 5;
const PER_CPU_SECOND_MIN: f64 = 300_000.0;
/// What any one step may take, far more than it should: a hang is a failure and no wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one round of the whole way took.
struct Way {
    cpu: f64,
    wall: f64,
    broker_cpu: f64,
    /// Shares of the processor time: consume, check, land, roll up.
    shares: [f64; 4],
}

const STEPS: [&str; 4] = ["consume", "check", "land", "roll up"];

pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let mut broker = {
        let mut command = hangang(folder.path(), &["broker"]);
        command.env("HANGANG_KAFKA_LISTEN", address.to_string());
        Stage::start(command, &folder.path().join("broker.log"))?
    };
    broker.answers(address).context("the broker")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bootstrap = address.to_string();
    // The processor makes the topics, as it does in use.
    runtime.block_on(whole_way(folder.path(), "made", &bootstrap, &broker, 0)).context("making the topics")?;
    fill(table, &bootstrap, &broker)?;

    let (since, ours) = (Since::now()?, cpu_seconds("self")? + cpu_seconds(&broker.id().to_string())?);
    let (mut only, mut ways) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        only.push(consuming_only(&bootstrap)?);
        ways.push(round_of(&runtime, folder.path(), round, &bootstrap, &broker)?);
    }
    let others = since.others(cpu_seconds("self")? + cpu_seconds(&broker.id().to_string())? - ours)?;
    broker.stop()?;
    told(table, only, &ways, others);
    Ok(())
}

fn told(table: &mut Table, only: Vec<f64>, ways: &[Way], others: f64) {
    let of = |figure: fn(&Way) -> f64| median(ways.iter().map(figure).collect());
    let per_cpu_second = RECORDS as f64 / of(|way| way.cpu);
    let only = median(only);
    let shares = [0, 1, 2, 3].map(|step| median(ways.iter().map(|way| way.shares[step]).collect()));
    let (dearest, share) = STEPS.iter().zip(shares).max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are four steps");
    table.add(
        format!("librdkafka consuming only, records of {RECORD_BYTES} bytes"),
        format!("{} records/CPU s", short(only)),
        None,
    );
    table.add(
        "the whole way, from topic to visible rollup rows",
        format!("{} records/CPU s", short(per_cpu_second)),
        Some(Goal {
            text: format!("≥ {} records/CPU s", short(PER_CPU_SECOND_MIN)),
            met: per_cpu_second >= PER_CPU_SECOND_MIN,
            reason: format!(
                "{:.2} µs of processor time a record, of which \"{dearest}\" takes {:.0} %; others took {:.0} % of the machine meanwhile",
                1e6 / per_cpu_second,
                share * 100.0,
                others * 100.0
            ),
        }),
    );
    for (step, share) in STEPS.iter().zip(shares) {
        table.add(format!("  of it {step}"), format!("{:.0} %, {:.2} µs", share * 100.0, share * 1e6 / per_cpu_second), None);
    }
    table.add("  by the clock, the broker beside it", format!("{} records/s", short(RECORDS as f64 / of(|way| way.wall))), None);
    table.add(
        "  the broker's own, apart",
        format!("{:.2} CPU s/M records", of(|way| way.broker_cpu) * 1e6 / RECORDS as f64),
        None,
    );
}

/// Records consumed for each second of processor time.
fn consuming_only(bootstrap: &str) -> anyhow::Result<f64> {
    let cpu = cpu_seconds("self")?;
    let counted = consume_only(&ProcessorConfig::new(bootstrap, "bench-only"), &FEED, RECORDS)?;
    let cpu = cpu_seconds("self")? - cpu;
    ensure!(
        counted.bytes == RECORDS * RECORD_BYTES as u64,
        "the topic holds records of {} bytes",
        counted.bytes / counted.records
    );
    Ok(RECORDS as f64 / cpu)
}

fn round_of(runtime: &Runtime, folder: &Path, round: usize, bootstrap: &str, broker: &Stage) -> anyhow::Result<Way> {
    let name = format!("round-{round}");
    let way = runtime.block_on(whole_way(folder, &name, bootstrap, broker, RECORDS))?;
    std::fs::remove_dir_all(folder.join(&name))?;
    Ok(way)
}

/// Lands and rolls up all of the topic in a lake of its own.
async fn whole_way(folder: &Path, name: &str, bootstrap: &str, broker: &Stage, records: u64) -> anyhow::Result<Way> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let url = Url::from_directory_path(folder.join("lake")).expect("a temporary folder has an absolute path");
    let lake = Lake::open(&url).await?;
    let clock = Clock::scaled(&folder.join("clock"), start() + TimeDelta::days(365), 1.0)?;
    let config = ProcessorConfig { feeds: vec![&FEED], ..ProcessorConfig::new(bootstrap, format!("bench-{name}")) };

    let (cpu, broker_cpu) = (cpu_seconds("self")?, cpu_seconds(&broker.id().to_string())?);
    let started = Instant::now();
    let processor = Processor::start(lake.clone(), clock, config).await?;
    // Without hurrying it: batches are as large as in use.
    while processor.status().rows_landed.get(FEED.name).copied().unwrap_or(0) < records {
        if started.elapsed() > PATIENCE || !processor.status().running {
            bail!("not all has landed after {:?}: {:?}", started.elapsed(), processor.status());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::timeout(PATIENCE, processor.settled()).await.context("waiting for the rollups")??;
    let (cpu, wall) = (cpu_seconds("self")? - cpu, started.elapsed().as_secs_f64());
    let broker_cpu = cpu_seconds(&broker.id().to_string())? - broker_cpu;
    let shares = shares(cpu, machine::threads_cpu_seconds("rdk:")?, processor.status().spent);
    processor.stop().await;
    let landed = number(&lake, "SELECT count(*) AS rows FROM observed.traffic_volume").await?;
    ensure!(landed == records as i64, "{landed} of {records} records have landed");
    let lanes = number(&lake, "SELECT CAST(coalesce(sum(lanes), 0) AS BIGINT) AS lanes FROM rollup.traffic_hourly").await?;
    let identities =
        "SELECT count(*) AS lanes FROM (SELECT DISTINCT spot, direction, lane, observed_at FROM observed.traffic_volume)";
    ensure!(lanes == number(&lake, identities).await?, "the rollup sums {lanes} lanes");
    Ok(Way { cpu, wall, broker_cpu, shares })
}

async fn number(lake: &Lake, sql: &str) -> anyhow::Result<i64> {
    let rows = lake.query(sql).await?;
    let column = rows.iter().find(|rows| rows.num_rows() == 1).context("a query for a number gave none")?.column(0);
    Ok(column.as_primitive::<Int64Type>().value(0))
}

/// librdkafka's threads say what they took; the rest is parted as the steps' times on their threads are.
fn shares(cpu: f64, consume: f64, spent: Spent) -> [f64; 4] {
    let steps = [spent.check, spent.land, spent.roll_up].map(|step| step.as_secs_f64());
    let all = steps.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let [check, land, roll_up] = steps.map(|step| (cpu - consume) / cpu * step / all);
    [consume / cpu, check, land, roll_up]
}

/// Fills the topic as producers of ours would: keyed, lz4, in order.
fn fill(table: &mut Table, bootstrap: &str, broker: &Stage) -> anyhow::Result<()> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("compression.type", "lz4")
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "500000")
        .create()
        .context("setting up a Kafka producer")?;
    let (started, cpu) = (Instant::now(), cpu_seconds(&broker.id().to_string())?);
    for number in 0..RECORDS {
        let (partition, key, payload) = record(number);
        loop {
            let record = BaseRecord::to(FEED.topic()).partition(partition).key(&key).payload(&payload);
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error).context("publishing"),
            }
        }
    }
    producer.flush(PATIENCE).context("publishing")?;
    let wall = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&broker.id().to_string())? - cpu;
    table.add("published to the embedded broker, idempotent, lz4", format!("{} records/s", short(RECORDS as f64 / wall)), None);
    table.add("  the broker's own", format!("{:.2} CPU s/M records", cpu * 1e6 / RECORDS as f64), None);
    Ok(())
}

fn start() -> DateTime<Utc> {
    "2022-06-30T15:00:00Z".parse().expect("it is an instant")
}

/// The `n`th record: partition, key, payload in our producers' form. Hour after hour, 139 spots, two directions, three
/// lanes; one in twenty revises the hour before. The spots' names are long, so that a record has its bytes.
fn record(n: u64) -> (i32, String, String) {
    const LANES: u64 = 139 * 2 * 3;
    const NAME: &str = "-at-the-bridge-over-the-river-";
    let (spot, direction, lane) = (n % 139, n % 2 + 1, n % 3 + 1);
    let hour = (n / LANES).saturating_sub(u64::from(n % 20 == 19));
    let observed_at = start() + TimeDelta::hours(hour as i64);
    let received_at = observed_at + TimeDelta::minutes(90) + TimeDelta::hours(i64::from(n % 20 == 19));
    let spot = format!("{}{NAME}{spot:03}", ["A", "B", "C"][spot as usize % 3]);
    let key = format!("{spot}/{direction}/{lane}");
    let payload = format!(
        r#"{{"spot":"{spot}","direction":{direction},"lane":{lane},"observed_at":"{}","volume":{},"received_at":"{}"}}"#,
        observed_at.format("%FT%TZ"),
        100 + n * 7919 % 900,
        received_at.format("%FT%T%.6fZ"),
    );
    debug_assert_eq!(key.len() + payload.len(), RECORD_BYTES);
    ((n % FEED.partitions as u64) as i32, key, payload)
}
