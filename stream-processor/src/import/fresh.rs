//! Which values of an import say something new, and the rows that they become.
//!
//! Decision 3: a value first seen is taken to have been received as soon as it could be had; one that differs from what
//! is there, at the import's own time. One that is there already becomes no row, so that the same file twice changes
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int16Array, Int32Array, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType};
use catalog::feeds::traffic_volume::FEED;

use super::volume::{Spots, Value, start};
use super::{ImportOptions, Tally};

/// The lane of a value that speaks of all lanes.
const ALL_LANES: i16 = 0;

/// Newest value of each identity that an import can speak of.
pub(super) type Known = HashMap<u64, i32>;

/// What `observed` holds of the imported identities: of each the newest revision's value.
pub(super) fn known(rows: &[RecordBatch], spots: &Spots) -> Known {
    let mut newest: HashMap<u64, (Age, i32)> = HashMap::new();
    for rows in rows {
        let column = |name| rows.column_by_name(name).expect("every row of observed has its columns");
        let spot = column("spot").as_string::<i32>();
        let direction = column("direction").as_primitive::<Int16Type>();
        let lane = column("lane").as_primitive::<Int16Type>();
        let observed_at = column("observed_at").as_primitive::<TimestampMicrosecondType>();
        let volume = column("volume").as_primitive::<Int32Type>();
        let ages = Ages::new(rows);
        let mut last: Option<(&str, Option<u16>)> = None;
        for row in (0..rows.num_rows()).filter(|&row| lane.value(row) == ALL_LANES) {
            let name = spot.value(row);
            let number = match last {
                Some((known, number)) if known == name => number,
                _ => spots.find(name),
            };
            last = Some((name, number));
            // A spot that these files don't name: nothing of it is imported.
            let Some(number) = number else { continue };
            let key = Value::key(observed_at.value(row) / HOUR_MICROS, number, direction.value(row) as u8);
            let this = (ages.age(row), volume.value(row));
            newest.entry(key).and_modify(|known| *known = (*known).max(this)).or_insert(this);
        }
    }
    newest.into_iter().map(|(key, (_, volume))| (key, volume)).collect()
}

const HOUR_MICROS: i64 = 3_600_000_000;

/// What makes one revision newer than another: the terms of [`catalog::feed::REVISION_ORDER`].
type Age = (i64, bool, i32, Option<i32>, i64);

pub(super) struct Ages<'a> {
    received_at: &'a TimestampMicrosecondArray,
    topic: &'a ArrayRef,
    generation: &'a Int32Array,
    partition: &'a Int32Array,
    offset: &'a Int64Array,
}

impl<'a> Ages<'a> {
    pub(super) fn new(rows: &'a RecordBatch) -> Ages<'a> {
        let column = |name| rows.column_by_name(name).expect("every row of observed has its lineage");
        Ages {
            received_at: column("received_at").as_primitive::<TimestampMicrosecondType>(),
            topic: column("topic"),
            generation: column("generation").as_primitive::<Int32Type>(),
            partition: column("partition").as_primitive::<Int32Type>(),
            offset: column("offset").as_primitive::<Int64Type>(),
        }
    }

    pub(super) fn age(&self, row: usize) -> Age {
        let partition = self.partition.is_valid(row).then(|| self.partition.value(row));
        (self.received_at.value(row), self.topic.is_valid(row), self.generation.value(row), partition, self.offset.value(row))
    }

    pub(super) fn is_import(&self, row: usize) -> bool {
        self.topic.is_null(row)
    }
}

/// The rows that `values` add to what is known, numbered from `number` on. Values are in the table's order.
pub(super) fn rows(
    values: &[Value],
    spots: &Spots,
    known: &Known,
    options: &ImportOptions,
    number: i64,
    tally: &mut Tally,
) -> RecordBatch {
    let now = options.now.timestamp_micros();
    let now_is_late = options.received_until.is_some_and(|until| options.now > until);
    let mut new = Vec::with_capacity(values.len());
    // Values come hour by hour.
    let (mut hour, mut received_at) = (i64::MIN, 0);
    for value in values {
        if value.hour() != hour {
            hour = value.hour();
            received_at = FEED.received_at_import(start(hour)).timestamp_micros();
        }
        match known.get(&value.key) {
            Some(&there) if there == value.volume => tally.known += 1,
            Some(_) if now_is_late => tally.left_out += 1,
            Some(_) => {
                tally.revised += 1;
                new.push((*value, now));
            }
            None => {
                tally.added += 1;
                new.push((*value, received_at));
            }
        }
    }
    batch(&new, spots, number)
}

fn batch(new: &[(Value, i64)], spots: &Spots, number: i64) -> RecordBatch {
    let rows = new.len();
    let mut names = StringBuilder::with_capacity(rows, rows * 4);
    new.iter().for_each(|(value, _)| names.append_value(spots.name(value.spot())));
    let instants = |micros: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names.finish()),
        Arc::new(Int16Array::from_iter_values(new.iter().map(|(value, _)| i16::from(value.direction())))),
        Arc::new(Int16Array::from(vec![ALL_LANES; rows])),
        instants(new.iter().map(|(value, _)| value.hour() * HOUR_MICROS).collect()),
        Arc::new(Int32Array::from_iter_values(new.iter().map(|(value, _)| value.volume))),
        instants(new.iter().map(|&(_, received_at)| received_at).collect()),
        new_null_array(&DataType::Utf8, rows),
        Arc::new(Int32Array::from(vec![0; rows])),
        new_null_array(&DataType::Int32, rows),
        Arc::new(Int64Array::from_iter_values(number..number + rows as i64)),
    ];
    RecordBatch::try_new(FEED.observed_schema(), columns).expect("columns are made by the schema that they are put in")
}
