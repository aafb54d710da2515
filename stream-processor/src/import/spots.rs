//! The list of counting spots, `spot_num,spot_nm,…,latitude,longitude,…`: lines → rows of `observed.traffic_spot`.
//!
//! The file gives degrees only, and a spot's row has metres too: they are computed, since the API gives them and both
//! must look alike. The file carries no time: it is the list of the day on which it is imported. A spot of which the
//! newest imported row says the same becomes no row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use catalog::feeds::traffic_spot::FEED;
use catalog::kst;
use chrono::{DateTime, Utc};

use super::fresh::Ages;
use super::projection::metres;
use super::{ImportError, ImportOptions, Tally};

pub(super) const HEADER: &str = "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow";

/// One spot of the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spot {
    id: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq)]
struct Place {
    name: String,
    latitude: f64,
    longitude: f64,
}

/// Reads the lines behind the header; `line` counts on.
pub(super) fn read(text: &[u8], line: &mut u64, tally: &mut Tally) -> Result<Vec<Spot>, ImportError> {
    let first = *line;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut spots = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|error| ImportError::line(*line + 1, format!("a line of cells ({error})"), b""))?;
        *line = first + record.position().map_or(0, csv::Position::line);
        let cells = || record.iter().collect::<Vec<_>>().join(&b',');
        spots.push(spot(&record).map_err(|expected| ImportError::line(*line, expected, &cells()))?);
        tally.lines += 1;
    }
    Ok(spots)
}

fn spot(record: &csv::ByteRecord) -> Result<Spot, String> {
    if record.len() != HEADER.split(',').count() {
        return Err(format!("nine cells: {HEADER}"));
    }
    let text = |place: usize, what: &str| {
        let cell = std::str::from_utf8(&record[place]).map_err(|_| format!("{what} in UTF-8 in cell {}", place + 1))?;
        if cell.is_empty() { Err(format!("{what} in cell {}", place + 1)) } else { Ok(cell) }
    };
    let degrees = |place: usize, what: &str| {
        let (least, greatest) = FEED.column(what).and_then(|column| column.range).expect("the catalog bounds a place");
        let number = text(place, what)?.parse().ok().filter(|degrees| (least..=greatest).contains(degrees));
        number.ok_or_else(|| format!("a {what} from {least} to {greatest} degrees in cell {}", place + 1))
    };
    let place =
        Place { name: text(1, "a name")?.to_owned(), latitude: degrees(3, "latitude")?, longitude: degrees(4, "longitude")? };
    Ok(Spot { id: text(0, "a spot id")?.to_owned(), place })
}

/// What `observed.traffic_spot` holds.
pub(super) struct Known {
    /// Of each spot the newest imported row.
    imported: HashMap<String, Place>,
    /// Days of which a spot has a row, imported or polled.
    days: HashMap<String, Vec<i64>>,
}

pub(super) fn known(rows: &[RecordBatch]) -> Known {
    let mut newest = HashMap::new();
    let mut days: HashMap<String, Vec<i64>> = HashMap::new();
    for rows in rows {
        let column = |name| rows.column_by_name(name).expect("every row of observed has its columns");
        let (id, name) = (column("spot").as_string::<i32>(), column("name").as_string::<i32>());
        let [latitude, longitude] = ["latitude", "longitude"].map(|name| column(name).as_primitive::<Float64Type>());
        let observed_at = column("observed_at").as_primitive::<TimestampMicrosecondType>();
        let ages = Ages::new(rows);
        for row in 0..rows.num_rows() {
            days.entry(id.value(row).to_owned()).or_default().push(observed_at.value(row));
            if ages.is_import(row) {
                let place =
                    Place { name: name.value(row).to_owned(), latitude: latitude.value(row), longitude: longitude.value(row) };
                let this = ((observed_at.value(row), ages.age(row)), place);
                let known = newest.entry(id.value(row).to_owned()).or_insert_with(|| this.clone());
                if this.0 > known.0 {
                    *known = this;
                }
            }
        }
    }
    Known { imported: newest.into_iter().map(|(id, (_, place))| (id, place)).collect(), days }
}

/// The rows that a list adds, numbered from `number` on.
pub(super) fn rows(spots: &[Spot], known: &Known, options: &ImportOptions, number: i64, tally: &mut Tally) -> RecordBatch {
    let read_at = options.received_until.map_or(options.now, |until| until.min(options.now));
    let day = kst::floor(read_at, FEED.interval());
    let mut new: Vec<(&Spot, DateTime<Utc>)> = Vec::new();
    for spot in last_of_each(spots) {
        if known.imported.get(&spot.id) == Some(&spot.place) {
            tally.known += 1;
        } else if known.days.get(&spot.id).is_some_and(|days| days.contains(&day.timestamp_micros())) {
            tally.revised += 1;
            new.push((spot, read_at));
        } else {
            tally.added += 1;
            new.push((spot, FEED.received_at_import(day)));
        }
    }
    batch(&new, day, number)
}

fn last_of_each(spots: &[Spot]) -> impl Iterator<Item = &Spot> {
    let last: HashMap<&str, usize> = spots.iter().enumerate().map(|(place, spot)| (spot.id.as_str(), place)).collect();
    spots.iter().enumerate().filter(move |(place, spot)| last[spot.id.as_str()] == *place).map(|(_, spot)| spot)
}

fn batch(new: &[(&Spot, DateTime<Utc>)], day: DateTime<Utc>, number: i64) -> RecordBatch {
    let rows = new.len();
    let places: Vec<(f64, f64)> = new.iter().map(|(spot, _)| metres(spot.place.latitude, spot.place.longitude)).collect();
    let instants = |micros: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")) as ArrayRef;
    let texts =
        |text: fn(&Spot) -> &str| Arc::new(new.iter().map(|(spot, _)| Some(text(spot))).collect::<StringArray>()) as ArrayRef;
    let numbers = |numbers: Vec<f64>| Arc::new(Float64Array::from(numbers)) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        texts(|spot| &spot.id),
        instants(vec![day.timestamp_micros(); rows]),
        texts(|spot| &spot.place.name),
        numbers(places.iter().map(|place| place.0).collect()),
        numbers(places.iter().map(|place| place.1).collect()),
        numbers(new.iter().map(|(spot, _)| spot.place.latitude).collect()),
        numbers(new.iter().map(|(spot, _)| spot.place.longitude).collect()),
        instants(new.iter().map(|(_, received_at)| received_at.timestamp_micros()).collect()),
        new_null_array(&DataType::Utf8, rows),
        Arc::new(Int32Array::from(vec![0; rows])),
        new_null_array(&DataType::Int32, rows),
        Arc::new((number..number + rows as i64).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(FEED.observed_schema(), columns).expect("columns are made by the schema that they are put in")
}
