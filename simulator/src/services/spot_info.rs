//! SpotInfo: where Seoul counts its traffic. Places in metres, EPSG:5181.

use catalog::kst::date_kst;
use chrono::{DateTime, Utc};

use super::Service;
use crate::city::City;
use crate::envelope::Row;
use crate::projection::epsg_5181;

pub(super) const SERVICE: Service = Service { name: "SpotInfo", arguments: &[], rows };

fn rows(city: &dyn City, _arguments: &[String], now: DateTime<Utc>) -> Vec<Row> {
    let spots = city.spots(date_kst(now)).iter();
    spots
        .map(|spot| {
            let (x, y) = epsg_5181(spot.latitude, spot.longitude);
            vec![
                ("spot_num", spot.id.clone()),
                ("spot_nm", spot.name.clone()),
                ("grs80tm_x", metres(x)),
                ("grs80tm_y", metres(y)),
            ]
        })
        .collect()
}

/// Up to six decimals, none that are noughts, as recorded: `195489`, `199825.89671`.
fn metres(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metres_are_written_as_recorded() {
        assert_eq!(metres(195_489.0), "195489");
        assert_eq!(metres(199_825.896_71), "199825.89671");
        assert_eq!(metres(196_756.776_106_4), "196756.776106");
        assert_eq!(metres(200_000.0), "200000");
    }
}
