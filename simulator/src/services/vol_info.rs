//! VolInfo: vehicles in one hour at one spot, a row a direction and lane.

use catalog::kst::from_kst;
use chrono::{DateTime, NaiveDate, Utc};

use super::Service;
use crate::city::City;
use crate::envelope::Row;

pub(super) const SERVICE: Service = Service { name: "VolInfo", arguments: &["spot_num", "ymd", "hh"], rows };

fn rows(city: &dyn City, arguments: &[String], now: DateTime<Utc>) -> Vec<Row> {
    let [id, date, hour_of_day, ..] = arguments else { unreachable!("a request has the arguments that its service needs") };
    // An unknown spot and an impossible date match nothing (ASSUMED: no complaint of them is recorded).
    let (Some(spot), Some(hour)) = (city.spot(id), parse_hour(date, hour_of_day)) else { return Vec::new() };
    city.volumes(spot, hour, now)
        .into_iter()
        .map(|row| {
            vec![
                ("spot_num", id.clone()),
                ("ymd", date.clone()),
                ("hh", format!("{hour_of_day:0>2}")),
                ("io_type", row.direction.to_string()),
                ("lane_num", row.lane.to_string()),
                ("vol", row.volume.to_string()),
            ]
        })
        .collect()
}

/// The hour that begins at `hour_of_day` (one or two digits, 0 to 23) on a date of eight digits, in Seoul.
fn parse_hour(date: &str, hour_of_day: &str) -> Option<DateTime<Utc>> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if date.len() != 8 || !digits(date) || !(1..=2).contains(&hour_of_day.len()) || !digits(hour_of_day) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(date[..4].parse().ok()?, date[4..6].parse().ok()?, date[6..].parse().ok()?)?;
    Some(from_kst(date.and_hms_opt(hour_of_day.parse().ok()?, 0, 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_named_by_its_beginning_in_seoul() {
        let hour = "2022-09-30T23:00:00Z".parse().ok();
        assert_eq!(parse_hour("20221001", "08"), hour);
        assert_eq!(parse_hour("20221001", "8"), hour);
        for (date, hour_of_day) in
            [("20221001", "24"), ("20221301", "08"), ("2022101", "08"), ("2022-1-1", "08"), ("20221001", "+8"), ("20221001", "")]
        {
            assert_eq!(parse_hour(date, hour_of_day), None, "{date} {hour_of_day}");
        }
    }
}
