//! Seoul's SpotInfo: names and places of the counting spots, the whole list in one request.

use catalog::{feeds::traffic_spot::FEED, kst};
use chrono::{DateTime, Utc};

use super::{Places, Source, SpeaksOf};
use crate::epsg5181;
use crate::observation::{Observation, Value};
use crate::parse::{Row, RowFault};

pub const SOURCE: Source =
    Source { feed: &FEED, speaks_of: SpeaksOf::Now, by: None, lists: Some(Places::Spots), arguments: |_| Vec::new(), read };

/// Fields `spot_num`, `spot_nm`, `grs80tm_x`, `grs80tm_y`. The answer carries no time: the row speaks of the day (in
/// Seoul) on which it was received.
fn read(row: &Row, received_at: DateTime<Utc>) -> Result<Observation, RowFault> {
    let (spot, name) = (row.text("spot_num")?, row.text("spot_nm")?);
    let (x, y) = (row.float("grs80tm_x")?, row.float("grs80tm_y")?);
    let (latitude, longitude) = epsg5181::to_wgs84(x, y);
    Ok(Observation::new(
        &FEED,
        vec![
            Value::Text(spot.to_owned()),
            Value::Instant(kst::floor(received_at, FEED.interval())),
            Value::Text(name.to_owned()),
            Value::Float(x),
            Value::Float(y),
            Value::Float(latitude),
            Value::Float(longitude),
        ],
    ))
}
