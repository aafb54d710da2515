//! Any order, repetition, revision and lateness of rows, cut anywhere into batches, by two processors that may stop between
//! any two steps: the rollup equals the same SQL over all of `observed`, and every offset stands there once.

use crate::check::{Checker, Record};
use crate::land::{Landing, Slice};
use crate::roll_up::RollUp;
use catalog::feeds::traffic_volume::FEED;
use chrono::{DateTime, TimeDelta, Utc};
use lake::{Compaction, Lake, Mark, Table};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::tests::lakes;

const CASES: u32 = 256;
const PARTITIONS: i32 = 2;

/// A row as it may arrive.
#[derive(Clone, Debug)]
struct Row {
    spot: u8,
    direction: u8,
    lane: u8,
    hour: u8,
    volume: u16,
    late_minutes: u16,
}

#[derive(Clone, Debug)]
enum Step {
    /// A processor lands a partition's next rows, after some of those before it once more, and rolls up or stops before.
    Land {
        processor: usize,
        partition: i32,
        rows: Vec<Row>,
        again: usize,
        stops: bool,
    },
    /// It is killed, and begins anew from what the lake says.
    Restart {
        processor: usize,
    },
    Import {
        rows: Vec<Row>,
    },
    Compact,
}

fn row() -> impl Strategy<Value = Row> {
    (0..2_u8, 1..3_u8, 0..3_u8, 0..5_u8, 0..500_u16, 0..2000_u16)
        .prop_map(|(spot, direction, lane, hour, volume, late_minutes)| Row { spot, direction, lane, hour, volume, late_minutes })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2_usize, 0..PARTITIONS, prop::collection::vec(row(), 1..9), 0..4_usize, prop::bool::weighted(0.3))
            .prop_map(|(processor, partition, rows, again, stops)| Step::Land { processor, partition, rows, again, stops }),
        2 => (0..2_usize).prop_map(|processor| Step::Restart { processor }),
        1 => prop::collection::vec(row(), 1..6).prop_map(|rows| Step::Import { rows }),
        1 => Just(Step::Compact),
    ]
}

struct Processor {
    observed: Table,
    rollups: Vec<RollUp>,
}

impl Processor {
    async fn open(lake: &Lake) -> Processor {
        Processor { observed: lake.table(&FEED.observed().name).await.unwrap(), rollups: RollUp::of(lake, &FEED).await.unwrap() }
    }
}

fn start() -> DateTime<Utc> {
    "2022-09-30T13:00:00Z".parse().unwrap()
}

impl Row {
    fn payload(&self) -> (String, String) {
        let spot = ["A-01", "B-12"][usize::from(self.spot)];
        let observed_at = start() + TimeDelta::hours(self.hour.into());
        let received_at = observed_at + TimeDelta::minutes(90 + i64::from(self.late_minutes));
        let key = format!("{spot}/{}/{}", self.direction, self.lane);
        let payload = format!(
            r#"{{"spot":"{spot}","direction":{},"lane":{},"observed_at":"{}","volume":{},"received_at":"{}"}}"#,
            self.direction,
            self.lane,
            observed_at.format("%FT%TZ"),
            self.volume,
            received_at.format("%FT%TZ")
        );
        (key, payload)
    }
}

/// `rows` as records of a partition from `first` on, checked.
fn checked(partition: i32, first: i64, rows: &[Row]) -> arrow::array::RecordBatch {
    let payloads: Vec<(String, String)> = rows.iter().map(Row::payload).collect();
    let records: Vec<Record<'_>> = (first..)
        .zip(&payloads)
        .map(|(offset, (key, payload))| Record {
            generation: 0,
            partition,
            offset,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
        })
        .collect();
    let checked = Checker::new(&FEED).check(start() + TimeDelta::days(30), records.into_iter());
    assert_eq!(checked.refused, []);
    checked.rows
}

async fn land(processor: &mut Processor, topic: &[Row], partition: i32, from: usize, stops: bool) {
    let place = crate::Place { topic: FEED.topic().into(), generation: 0, partition };
    let slice = Slice { place, from: from as i64, next: topic.len() as i64 };
    let rows = checked(partition, from as i64, &topic[from..]);
    let landing = Landing { slices: vec![slice], rows, partition_column: "partition", offset_column: "offset" };
    let landed = landing.land(&mut processor.observed).await.unwrap();
    if !stops {
        for rollup in &mut processor.rollups {
            rollup.advance(&processor.observed, landed.as_ref()).await.unwrap();
        }
    }
}

async fn import(lake: &Lake, rows: &[Row]) {
    use arrow::array::{ArrayRef, new_null_array};
    let mut observed = lake.table(&FEED.observed().name).await.unwrap();
    let mark = observed.mark("import");
    let batch = checked(0, mark.unwrap_or(0), rows);
    let without = |(column, field): (&ArrayRef, &std::sync::Arc<arrow::datatypes::Field>)| match field.name().as_str() {
        "topic" | "partition" => new_null_array(field.data_type(), batch.num_rows()),
        _ => column.clone(),
    };
    let columns = batch.columns().iter().zip(batch.schema().fields()).map(without).collect();
    let batch = arrow::array::RecordBatch::try_new(batch.schema(), columns).unwrap();
    let to = mark.unwrap_or(0) + rows.len() as i64;
    observed.append(&[batch], &[Mark { app_id: "import".into(), from: mark, to }]).await.unwrap();
}

async fn run(steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let lake = lakes::open(folder.path()).await;
    // The second has a view of the lake of its own, as another process has.
    let other = lakes::open(folder.path()).await;
    let lakes = [&lake, &other];
    let mut processors = [Processor::open(&lake).await, Processor::open(&other).await];
    let mut topic = vec![Vec::new(); PARTITIONS as usize];
    for step in steps {
        match step {
            Step::Land { processor, partition, rows, again, stops } => {
                let log = &mut topic[*partition as usize];
                let from = log.len().saturating_sub(*again);
                log.extend_from_slice(rows);
                land(&mut processors[*processor], log, *partition, from, *stops).await;
            }
            Step::Restart { processor } => processors[*processor] = Processor::open(lakes[*processor]).await,
            Step::Import { rows } => import(&other, rows).await,
            Step::Compact => {
                let mut observed = lake.table(&FEED.observed().name).await.unwrap();
                observed.compact(&Compaction { small_files_max: 1, ..Compaction::default() }).await.unwrap();
            }
        }
    }
    let fresh = lakes::open(folder.path()).await;
    let mut last = Processor::open(&fresh).await;
    for rollup in &mut last.rollups {
        rollup.advance(&last.observed, None).await.unwrap();
    }
    lakes::rollups_equal_their_sql(&fresh).await;
    for (partition, log) in topic.iter().enumerate() {
        for count in ["count(*)", "count(DISTINCT \"offset\")"] {
            let sql =
                format!("SELECT {count} FROM observed.traffic_volume WHERE topic IS NOT NULL AND \"partition\" = {partition}");
            assert_eq!(lakes::number(&fresh, &sql).await, log.len() as i64, "{count} of partition {partition}");
        }
    }
}

#[test]
fn any_arrival_gives_one_rollup() {
    let seed = std::env::var("HANGANG_SEED").map_or_else(|_| rand_seed(), |seed| seed.parse().expect("HANGANG_SEED is a number"));
    eprintln!("seed {seed}: repeat with HANGANG_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(Config { cases: CASES, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..9), |steps| {
            runtime.block_on(run(&steps));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

/// A new seed each run: the nanoseconds of the machine's clock.
fn rand_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}
