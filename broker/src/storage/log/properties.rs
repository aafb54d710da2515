//! Whatever is done to a log, in whatever order, stopping it anywhere changes nothing.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::super::batch::tests::Sample;
use super::*;

/// One thing that happens to a log.
#[derive(Clone, Debug)]
enum Step {
    /// So many records, by a producer (or none) that counts on or repeats one of its last batches.
    Append { count: usize, producer: Option<i64>, repeats: bool },
    /// Everything before a part of the log, in percent, is deleted.
    Delete { percent: i64 },
    /// The process ends and starts again, perhaps with so many bytes of an unfinished batch behind the log's end.
    Restart { torn_bytes: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1usize..5, prop::option::of(0i64..3), any::<bool>())
            .prop_map(|(count, producer, repeats)| Step::Append { count, producer, repeats }),
        1 => (0i64..=100).prop_map(|percent| Step::Delete { percent }),
        2 => (0usize..200).prop_map(|torn_bytes| Step::Restart { torn_bytes }),
    ]
}

/// What the log should hold, kept the simplest way.
#[derive(Default)]
struct Model {
    start: i64,
    /// Base offset and timestamp of each batch.
    batches: Vec<(i64, i64, usize)>,
    end: i64,
    /// Each producer's next sequence, and its last batch: sequence, offset, count.
    producers: std::collections::BTreeMap<i64, (i32, Option<(i32, i64, usize)>)>,
}

#[test]
fn a_log_that_is_stopped_anywhere_is_as_if_it_never_was() {
    let mut runner =
        TestRunner::new(Config { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(seed()), ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..60), |steps| {
            let folder = folder();
            let mut log = Log::open(folder.path(), 700).unwrap();
            let mut model = Model::default();
            for (number, step) in steps.into_iter().enumerate() {
                log = take(log, folder.path(), &mut model, number as i64, step)?;
                prop_assert_eq!(log.extent(), Extent { start: model.start, end: model.end });
            }
            check(&log, &model)
        })
        .unwrap();
}

/// In memory where the machine has such a folder: thousands of syncs would say nothing more of a real disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn take(mut log: Log, folder: &Path, model: &mut Model, timestamp: i64, step: Step) -> Result<Log, TestCaseError> {
    match step {
        Step::Append { count, producer, repeats } => {
            let (next, last) = producer.map(|id| model.producers.get(&id).copied().unwrap_or((0, None))).unwrap_or((-1, None));
            let repeated = last.filter(|_| repeats);
            let (sequence, count) = repeated.map_or((next, count), |(sequence, _, count)| (sequence, count));
            let sample = Sample::of(&vec![timestamp; count]);
            let bytes = if let Some(id) = producer { sample.by(id, 0, sequence) } else { sample }.bytes();
            let appended = log.append(&bytes, &BatchHeader::verify(&bytes).unwrap()).unwrap();
            let base_offset = repeated.map_or(model.end, |(_, offset, _)| offset);
            let expected = Appended { base_offset, start_offset: model.start, is_duplicate: repeated.is_some() };
            prop_assert_eq!(appended, expected);
            if repeated.is_none() {
                model.batches.push((base_offset, timestamp, count));
                model.end += count as i64;
                if let Some(id) = producer {
                    model.producers.insert(id, (sequence + count as i32, Some((sequence, base_offset, count))));
                }
            }
            Ok(log)
        }
        Step::Delete { percent } => {
            let offset = model.start + (model.end - model.start) * percent / 100;
            prop_assert_eq!(log.delete_before(offset).unwrap(), offset);
            model.start = offset;
            Ok(log)
        }
        Step::Restart { torn_bytes } => {
            let path = log.active.log_path(folder);
            drop(log);
            let unfinished = Sample::of(&[timestamp; 100]).bytes();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.extend(&unfinished[..torn_bytes]);
            std::fs::write(&path, bytes).unwrap();
            Ok(Log::open(folder, 700).unwrap())
        }
    }
}

/// Reads the log from every offset, and by every time.
fn check(log: &Log, model: &Model) -> Result<(), TestCaseError> {
    for offset in model.start..model.end {
        let &(base, timestamp, count) =
            model.batches.iter().find(|(base, _, count)| *base <= offset && offset < base + *count as i64).unwrap();
        let bytes = log.locate(offset).unwrap().unwrap().read(1, true).unwrap();
        let header = BatchHeader::verify(&bytes).unwrap();
        prop_assert_eq!((header.base_offset, header.max_timestamp, header.count()), (base, timestamp, count as i64));
        let found = log.ranges_from_time(timestamp).iter().find_map(|range| {
            let look = |bytes: &[u8]| super::super::records::first_at_or_after(bytes, model.start, timestamp);
            range.find(|batch| batch.max_timestamp >= timestamp, look).unwrap()
        });
        prop_assert_eq!(found, Some((base.max(model.start), timestamp)));
    }
    Ok(())
}

/// A seed of its own each time, or that of `HANGANG_SEED`; printed, so that a failure can be met again.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("HANGANG_SEED") {
        Ok(seed) => seed.parse().expect("HANGANG_SEED is a number"),
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    eprintln!("HANGANG_SEED={seed}");
    seed
}
