//! What the synthetic city promises, over many hours of it.

use std::collections::{BTreeMap, HashMap};

use catalog::feeds::traffic_volume::FEED;

use super::*;
use crate::city::truth;

fn hours(from: DateTime<Utc>, days: i64) -> impl Iterator<Item = DateTime<Utc>> {
    (0..days * 24).map(move |hour| from + TimeDelta::hours(hour))
}

/// The final totals of all series, hour after hour.
fn totals(city: &SyntheticCity, from: DateTime<Utc>, days: i64) -> Vec<Vec<Option<u32>>> {
    hours(from, days).map(|hour| city.totals(hour)).collect()
}

#[test]
fn a_seed_gives_always_the_same_city_whatever_was_asked_before() {
    let (one, two) = (SyntheticCity::new(7), SyntheticCity::new(7));
    let day: Vec<DateTime<Utc>> = hours(start_default(), 1).collect();
    let forwards: Vec<_> = day.iter().map(|&hour| one.totals(hour)).collect();
    let mut backwards: Vec<_> = day.iter().rev().map(|&hour| two.totals(hour)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert_eq!(one.spots, two.spots);
    assert_ne!(SyntheticCity::new(8).totals(day[8]), forwards[8]);
}

#[test]
fn known_values_stay_what_they_were() {
    // A change here means another city: raise EDITION with it, so that folders made with the old one are refused.
    let city = SyntheticCity::new(1);
    let hour = start_default() + TimeDelta::hours(8);
    let seen: Vec<String> = ["A-01", "B-10", "C-05", "D-20", "F-03"]
        .map(|id| {
            let rows = city.volumes(city.spot(id).unwrap(), hour, hour + TimeDelta::days(2));
            let rows: Vec<String> = rows.iter().map(|row| format!("{}/{} {}", row.direction, row.lane, row.volume)).collect();
            format!("{id}: {}", rows.join(", "))
        })
        .to_vec();
    insta::assert_snapshot!(seen.join("\n"), @r"
    A-01: 1/1 464, 1/2 482, 1/3 368
    B-10: 1/1 342, 1/2 362, 1/3 325, 1/4 355, 1/5 304, 2/1 407, 2/2 494, 2/3 452, 2/4 470
    C-05: 1/1 433, 1/2 428, 1/3 482, 2/1 464, 2/2 502, 2/3 481, 2/4 400
    D-20: 1/1 159, 2/1 185
    F-03: 1/1 536, 1/2 621, 1/3 594, 1/4 736, 1/5 597, 1/6 672, 2/1 696, 2/2 529, 2/3 556, 2/4 703, 2/5 708, 2/6 653
    ");
}

#[test]
fn nothing_is_published_before_the_delay_and_everything_is_final_after_the_schedule() {
    let city = SyntheticCity::new(1);
    let mut kinds: HashMap<&str, u32> = HashMap::new();
    for hour in hours(start_default(), 6) {
        let mut final_rows: BTreeMap<usize, Vec<LaneRow>> = BTreeMap::new();
        for (spot, row) in truth(&city, hour) {
            final_rows.entry(spot).or_default().push(row);
        }
        for spot in 0..city.ids.len() {
            let end = hour + FEED.interval();
            let known = final_rows.remove(&spot).unwrap_or_default();
            assert_eq!(city.volumes(spot, hour, end + FEED.delay() - TimeDelta::seconds(1)), []);
            assert_eq!(city.volumes(spot, hour, end + FEED.settled_after()), known, "spot {spot} {hour}");
            assert_eq!(city.volumes(spot, hour, end + TimeDelta::days(400)), known);
            let first = city.volumes(spot, hour, end + FEED.delay());
            assert_eq!(city.volumes(spot, hour, end + FEED.delay()), first, "asked twice at one moment");
            for direction in DIRECTIONS {
                let of = |rows: &[LaneRow]| rows.iter().filter(|row| row.direction == direction).copied().collect::<Vec<_>>();
                let (first, known) = (of(&first), of(&known));
                let kind = match (first.len(), known.len()) {
                    (0, 0) => "absent",
                    (0, _) => "late",
                    (some, all) if some < all => "partial",
                    _ if first != known => "revised",
                    _ => "at once",
                };
                *kinds.entry(kind).or_default() += 1;
            }
        }
    }
    let all = f64::from(kinds.values().sum::<u32>());
    for (kind, low, high) in [("absent", 0.05, 0.2), ("late", 0.02, 0.15), ("partial", 0.004, 0.03), ("revised", 0.006, 0.03)] {
        let share = f64::from(kinds.get(kind).copied().unwrap_or_default()) / all;
        assert!((low..high).contains(&share), "{kind}: {share:.4} of series-hours");
    }
}

#[test]
fn each_reread_can_bring_something_new() {
    let city = SyntheticCity::new(1);
    let asks: Vec<TimeDelta> = FEED.asks().collect();
    let mut news = vec![0; asks.len()];
    for hour in hours(start_default(), 4) {
        for spot in 0..city.ids.len() {
            let seen: Vec<_> = asks.iter().map(|&ask| city.volumes(spot, hour, hour + FEED.interval() + ask)).collect();
            for ask in 1..asks.len() {
                news[ask] += usize::from(seen[ask] != seen[ask - 1]);
            }
        }
    }
    assert!(news[1..].iter().all(|&count| count > 20), "changes at each re-read: {news:?}");
}

#[test]
fn a_series_has_a_fixed_number_of_lanes_that_sum_to_its_total() {
    let city = SyntheticCity::new(2);
    for hour in hours(start_default(), 3) {
        let totals = city.totals(hour);
        let mut lanes: HashMap<usize, (usize, u32)> = HashMap::new();
        for (spot, row) in truth(&city, hour) {
            let entry = lanes.entry(crate::city::series_number(spot, row.direction)).or_default();
            entry.0 += 1;
            entry.1 += row.volume;
        }
        for (series, total) in totals.iter().enumerate() {
            let expected = total.map(|total| (city.lanes(series).count(), total));
            assert_eq!(lanes.get(&series).copied(), expected, "series {series} at {hour}");
        }
    }
}

#[test]
fn it_has_the_disorder_of_a_real_city() {
    let city = SyntheticCity::new(1);
    let table = totals(&city, start_default() - TimeDelta::days(60), 60);
    let hours = table.len();
    let series = city.series.len();
    let cells = || table.iter().flatten();
    let missing = cells().filter(|total| total.is_none()).count() as f64 / (hours * series) as f64;
    assert!((0.07..0.17).contains(&missing), "{missing:.3} missing");
    assert!(cells().flatten().any(|&total| total == 0), "no nought at night");
    assert!((4000..12_000).contains(cells().flatten().max().unwrap()));
    let column = |series: usize| table.iter().map(move |row| row[series]);
    let dead = (0..series).filter(|&series| column(series).all(|total| total.is_none())).count();
    assert!((8..40).contains(&dead), "{dead} series dead throughout");
    let born = (0..series)
        .filter(|&series| column(series).take(hours / 2).all(|t| t.is_none()) && column(series).flatten().count() > 100);
    assert!(born.count() > 0, "no series that is new");
    let stuck = (0..series).filter(|&series| {
        let values: Vec<Option<u32>> = column(series).collect();
        values.windows(6).any(|six| six[0].is_some_and(|first| first > 50) && six.iter().all(|value| *value == six[0]))
    });
    assert!(stuck.count() > 5, "no sensor is stuck");
    // Ordinary roads differ from each other by more than an order of magnitude.
    let mut means: Vec<f64> = (0..series)
        .filter_map(|series| {
            let values: Vec<u32> = column(series).flatten().collect();
            (values.len() > 500).then(|| values.iter().sum::<u32>() as f64 / values.len() as f64)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    assert!(means[0] < 250.0 && means[means.len() - 1] > 2500.0, "{:.0} to {:.0}", means[0], means[means.len() - 1]);
}

/// Mean absolute errors at midnight origins, 1–24 h ahead, of last week's value, of the mean of the last four days of the
/// same kind, and of an oracle that knows all but the hour's own chance; over cells where all three exist.
fn errors(seed: u64) -> (f64, f64, f64, f64) {
    let city = SyntheticCity::new(seed);
    let from = start_default() - TimeDelta::days(60);
    let table = totals(&city, from, 90);
    let first_hour = hour_number(from);
    let kinds: Vec<calendar::Kind> = (0..90).map(|day| Calendar::new().day(first_hour + day * 24).0.kind).collect();
    let (mut week, mut four, mut oracle, mut level, mut cells) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for day in 30..90 {
        let alike: Vec<usize> = (0..day).rev().filter(|&before| kinds[before] == kinds[day]).take(4).collect();
        for hour in day * 24..day * 24 + 24 {
            let moment = city.demand.moment(first_hour + hour as i64);
            for (number, series) in city.series.iter().enumerate() {
                let at = |hour: usize| table[hour][number].map(f64::from);
                let means: Vec<f64> = alike.iter().filter_map(|before| at(before * 24 + hour % 24)).collect();
                let (Some(actual), Some(last_week), false) = (at(hour), at(hour - 168), means.is_empty()) else { continue };
                week += (actual - last_week).abs();
                four += (actual - means.iter().sum::<f64>() / means.len() as f64).abs();
                oracle += (actual - city.demand.expected(series, &moment)).abs();
                level += actual;
                cells += 1.0;
            }
        }
    }
    assert!(cells > 100_000.0);
    (week / level, four / week, oracle / week, level / cells)
}

#[test]
fn it_is_as_forecastable_as_a_real_city() {
    for seed in [1, 2] {
        let (week, four, oracle, level) = errors(seed);
        eprintln!("seed {seed}: week {week:.3} of the level {level:.0}, mean of four days {four:.3}, oracle {oracle:.3} of week");
        assert!((0.06..0.13).contains(&week), "last week's value errs by {week:.3} of the level");
        assert!((0.62..0.82).contains(&four), "the mean of four days alike has {four:.3} of that");
        assert!((0.35..0.6).contains(&oracle), "who knew all but chance would have {oracle:.3}");
    }
}
