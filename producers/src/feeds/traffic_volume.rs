//! Seoul's VolInfo: vehicles an hour, a request a spot and hour, a row a direction and lane.

use catalog::{feeds::traffic_volume::FEED, kst};
use chrono::{DateTime, NaiveDate, Utc};

use super::{Places, Source, SpeaksOf};
use crate::ask::Ask;
use crate::observation::{Observation, Value};
use crate::parse::{Row, RowFault};

pub const SOURCE: Source =
    Source { feed: &FEED, speaks_of: SpeaksOf::Asked, by: Some(Places::Spots), lists: None, arguments, read };

/// `{spot_num}/{YYYYMMDD}/{HH}`, Seoul's time.
fn arguments(ask: &Ask) -> Vec<String> {
    let spot = ask.place.as_deref().expect("traffic volume is asked spot by spot");
    let hour = kst::at_kst(ask.interval);
    vec![spot.to_owned(), hour.format("%Y%m%d").to_string(), hour.format("%H").to_string()]
}

/// Fields `spot_num`, `ymd`, `hh` (the hour's beginning, 00 to 23), `io_type`, `lane_num`, `vol`.
fn read(row: &Row, _received_at: DateTime<Utc>) -> Result<Observation, RowFault> {
    let spot = row.text("spot_num")?;
    let date = row.text("ymd")?;
    let date = NaiveDate::parse_from_str(date, "%Y%m%d").map_err(|_| row.wrong("ymd", "a date as 20221001"))?;
    let hour = u32::try_from(row.integer("hh")?).ok().and_then(|hour| date.and_hms_opt(hour, 0, 0));
    let hour = hour.ok_or_else(|| row.wrong("hh", "an hour from 00 to 23"))?;
    Ok(Observation::new(
        &FEED,
        vec![
            Value::Text(spot.to_owned()),
            Value::Int(row.integer("io_type")?),
            Value::Int(row.integer("lane_num")?),
            Value::Instant(kst::from_kst(hour)),
            Value::Int(row.integer("vol")?),
        ],
    ))
}
