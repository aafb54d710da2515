//! Where the city's spots are, and what they are called: the newest list that was read.

use std::collections::HashMap;

use arrow::array::Array;
use catalog::Target;
use lake::Lake;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rows::Rows;

/// The column of a target's series that names a place.
const SPOT: &str = "spot";

/// A counting spot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Place {
    /// Id of the spot, as `A-01`.
    pub spot: String,
    /// Name of the road, in Korean.
    pub name: String,
    /// Degrees north, WGS84.
    pub latitude: f64,
    /// Degrees east, WGS84.
    pub longitude: f64,
}

/// Every spot's newest place, by id. Empty before the first list was read.
pub async fn read(lake: &Lake) -> anyhow::Result<HashMap<String, Place>> {
    let sql = "SELECT spot, name, latitude, longitude FROM (SELECT spot, name, latitude, longitude, \
               row_number() OVER (PARTITION BY spot ORDER BY observed_at DESC) AS age FROM current.traffic_spot) WHERE age = 1";
    let rows = Rows::of(lake, sql).await?;
    let (spot, name) = (rows.texts("spot")?, rows.texts("name")?);
    let (latitude, longitude) = (rows.floats("latitude")?, rows.floats("longitude")?);
    let places = (0..spot.len()).map(|row| {
        let id = spot.value(row).to_owned();
        let place = Place {
            spot: id.clone(),
            name: name.value(row).to_owned(),
            latitude: latitude.value(row),
            longitude: longitude.value(row),
        };
        (id, place)
    });
    Ok(places.collect())
}

/// Whether a target's series stand somewhere.
pub fn has_places(target: &Target) -> bool {
    target.series.first() == Some(&SPOT)
}

/// The spot that a series with places belongs to.
pub fn spot_of(series: &str) -> &str {
    series.split('/').next().expect("a split has a first part")
}
