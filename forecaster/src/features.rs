//! What a model is told about a row (a series, an origin and a horizon): the declared features, and what they share.
//!
//! Declared once in [`FEATURES`]; training and serving run the same functions over the same view ([`Known`]), so that
//! neither can see what came after the origin. A feature's name is its definition:
//!
//! - *reference*: what is usual at that hour: of the values known, the median of the last six and the mean of the last
//!   four on days like the target's (same weekday; public holidays are like Sundays), and the median of the last eight and
//!   the mean of the last four on days of its class; their mean in logarithms. Four estimates err less than any of
//!   them. A model learns the ratio to it: `y = ln(1 + value) − ln(1 + reference)`.
//! - *excess* of an hour: `ln(1 + value) − ln(1 + reference)` of that hour itself.
//! - *class* of a day: workday, Saturday, or Sunday and holiday.
//! - `…_to_reference`: ln(1 + …) − ln(1 + reference). `lag_24h`: 24 h before the target. `mean_24h_lag_1h`: over the 24
//!   hours that end one hour before the origin. `city`: the mean over all series.
//!
//! What is missing is NaN, never zero.

use crate::calendar::{Calendar, day_of, second_of_day};
use crate::known::Known;

/// Values of like days of which the reference takes the median, and the mean.
const LIKE_MEDIAN_DAYS: usize = 6;
const LIKE_MEAN_DAYS: usize = 4;
/// The same for days of the class.
const CLASS_MEDIAN_DAYS: usize = DAYS_MAX;
const CLASS_MEAN_DAYS: usize = 4;
/// Values of any days that make it where no like day is known.
const REFERENCE_ANY_DAYS: usize = 7;
/// Like days and days of a class that are looked at.
const DAYS_MAX: usize = 8;
/// Values of the same days that make the usual.
const USUAL_DAYS: usize = 4;
/// Steps before the origin whose excess is computed: a week, and a day for lags from the far end of the horizon.
const EXCESS_STEPS: i64 = 192;

/// One number that a model is told.
pub struct Feature {
    pub name: &'static str,
    value: fn(&Row) -> f64,
}

const fn feature(name: &'static str, value: fn(&Row) -> f64) -> Feature {
    Feature { name, value }
}

/// Every feature, in the order of a row's columns.
pub const FEATURES: &[Feature] = &[
    // the target's place in time
    feature("horizon", |row| f64::from(row.horizon)),
    feature("hour_of_day", |row| row.hour),
    feature("day_of_week", |row| f64::from(row.calendar().weekday(row.day))),
    feature("day_kind", |row| f64::from(row.calendar().kind(row.day))),
    feature("holiday", |row| flag(row.calendar().holiday(row.day))),
    feature("eve_free", |row| flag(row.calendar().free(row.day - 1))),
    feature("morrow_free", |row| flag(row.calendar().free(row.day + 1))),
    feature("eve_red", |row| flag(row.calendar().red(row.day - 1))),
    feature("morrow_red", |row| flag(row.calendar().red(row.day + 1))),
    feature("day_before_eve_free", |row| flag(row.calendar().free(row.day - 2))),
    feature("day_after_morrow_free", |row| flag(row.calendar().free(row.day + 2))),
    // the usual at that hour
    feature("log_reference", |row| row.log_reference),
    feature("like_median_6d_to_reference", |row| row.to_reference(median(row.like.first(6)))),
    feature("like_mean_4d_to_reference", |row| row.to_reference(mean(row.like.first(4)))),
    feature("class_mean_4d_to_reference", |row| row.to_reference(mean(row.class.first(4)))),
    feature("class_median_8d_to_reference", |row| row.to_reference(median(row.class.first(8)))),
    feature("class_last_to_reference", |row| row.to_reference(mean(row.class.first(1)))),
    feature("class_log_deviation_8d", |row| log_deviation(row.class.first(8))),
    feature("all_mean_7d_to_reference", |row| row.to_reference(mean(row.any.first(7)))),
    // the same hour before
    feature("value_lag_24h_to_reference", |row| row.to_reference(row.lag(24))),
    feature("value_lag_48h_to_reference", |row| row.to_reference(row.lag(48))),
    feature("value_lag_168h_to_reference", |row| row.to_reference(row.lag(168))),
    feature("value_lag_336h_to_reference", |row| row.to_reference(row.lag(336))),
    feature("excess_lag_24h", |row| row.excess(24)),
    feature("excess_lag_48h", |row| row.excess(48)),
    feature("excess_lag_168h", |row| row.excess(168)),
    feature("city_excess_lag_24h", |row| row.city_excess(24)),
    feature("city_excess_lag_48h", |row| row.city_excess(48)),
    feature("city_excess_lag_168h", |row| row.city_excess(168)),
    // the level at the origin
    feature("excess_mean_1h_lag_1h", |row| row.level().means[0]),
    feature("excess_mean_3h_lag_1h", |row| row.level().means[1]),
    feature("excess_mean_6h_lag_1h", |row| row.level().means[2]),
    feature("excess_mean_24h_lag_1h", |row| row.level().means[3]),
    feature("excess_mean_168h_lag_1h", |row| row.level().means[4]),
    feature("city_excess_mean_1h_lag_1h", |row| row.city().means[0]),
    feature("city_excess_mean_3h_lag_1h", |row| row.city().means[1]),
    feature("city_excess_mean_6h_lag_1h", |row| row.city().means[2]),
    feature("city_excess_mean_24h_lag_1h", |row| row.city().means[3]),
    feature("city_excess_mean_168h_lag_1h", |row| row.city().means[4]),
];

/// Hours over which the level at the origin is averaged, in the order of `Level::means`.
const LEVEL_HOURS: [i64; 5] = [1, 3, 6, 24, 168];
/// The hour before the origin is not published yet when the origin comes.
const LEVEL_LAG_STEPS: i64 = 1;

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

/// All that the rows of one origin share.
pub struct Origin<'a> {
    known: Known<'a>,
    calendar: &'a Calendar,
    steps_per_day: i64,
    levels: Vec<Level>,
    city: Level,
}

/// A series' excess, or the city's, in the steps before the origin, and its means up to the origin.
struct Level {
    /// Excess of the steps from `EXCESS_STEPS` before the origin on; NaN where unknown.
    excess: Vec<f64>,
    means: [f64; LEVEL_HOURS.len()],
}

impl<'a> Origin<'a> {
    /// Prepares an origin. The calendar covers the origin's history and its horizons.
    pub fn new(known: Known<'a>, calendar: &'a Calendar) -> Origin<'a> {
        let steps_per_day = 24 * 3600 / known.history().step().num_seconds();
        let count = known.history().series().len();
        let mut origin = Origin { known, calendar, steps_per_day, levels: Vec::with_capacity(count), city: Level::of(vec![]) };
        let first = origin.known.origin_step() - EXCESS_STEPS;
        let (mut sums, mut counts) = (vec![0.0; EXCESS_STEPS as usize], vec![0_u32; EXCESS_STEPS as usize]);
        for series in 0..count {
            let excess: Vec<f64> = (first..first + EXCESS_STEPS).map(|step| origin.excess_at(series, step)).collect();
            for (index, excess) in excess.iter().enumerate().filter(|(_, excess)| !excess.is_nan()) {
                sums[index] += excess;
                counts[index] += 1;
            }
            origin.levels.push(Level::of(excess));
        }
        // 0/0 is NaN: an hour in which no series has a value is missing.
        origin.city = Level::of(sums.iter().zip(&counts).map(|(sum, &count)| sum / f64::from(count)).collect());
        origin
    }

    pub fn known(&self) -> &Known<'a> {
        &self.known
    }

    /// The row of a series and a horizon; none where no reference is known, so that no model can speak.
    pub fn row(&self, series: usize, horizon: u32) -> Option<Row<'_>> {
        let step = self.known.origin_step() + i64::from(horizon) - 1;
        let instant = self.known.history().instant(step);
        let day = day_of(instant);
        let like = self.days_before(series, step, self.calendar.like(day), DAYS_MAX);
        let any = self.days_before(series, step, ANY_DAYS, REFERENCE_ANY_DAYS);
        let class = self.days_before(series, step, self.calendar.in_class(day), DAYS_MAX);
        let log_reference = log_reference(&like, &class, &any)?;
        Some(Row {
            origin: self,
            series,
            horizon,
            step,
            day,
            hour: second_of_day(instant) as f64 / 3600.0,
            log_reference,
            class,
            like,
            any,
        })
    }

    fn excess_at(&self, series: usize, step: i64) -> f64 {
        let Some(value) = self.known.value(series, step) else { return f64::NAN };
        let day = day_of(self.known.history().instant(step));
        let like = self.days_before(series, step, self.calendar.like(day), LIKE_MEDIAN_DAYS);
        let class = self.days_before(series, step, self.calendar.in_class(day), CLASS_MEDIAN_DAYS);
        let any = if like.count == 0 { self.days_before(series, step, ANY_DAYS, REFERENCE_ANY_DAYS) } else { Values::default() };
        log_reference(&like, &class, &any).map_or(f64::NAN, |log_reference| value.ln_1p() - log_reference)
    }

    /// The newest `most` values known of a step's hour on the days that lie `days` before it.
    fn days_before(&self, series: usize, step: i64, days: &[i64], most: usize) -> Values {
        let mut values = Values::default();
        for back in days {
            let earlier = step - back * self.steps_per_day;
            if earlier < 0 || values.count == most {
                break;
            }
            if earlier >= self.known.origin_step() {
                continue;
            }
            if let Some(value) = self.known.value(series, earlier) {
                values.values[values.count] = value;
                values.count += 1;
            }
        }
        values
    }
}

/// The days before, any of them, as far back as references look.
const ANY_DAYS: &[i64] = &{
    let mut days = [0; crate::calendar::LIKE_DAYS_BACK as usize];
    let mut index = 0;
    while index < days.len() {
        days[index] = index as i64 + 1;
        index += 1;
    }
    days
};

/// ln(1 + reference); none where nothing is known.
fn log_reference(like: &Values, class: &Values, any: &Values) -> Option<f64> {
    let log_reference = if like.count > 0 {
        // Days like the target's are of its class: where there are some of those, there are some of these.
        let estimates = [
            median(like.first(LIKE_MEDIAN_DAYS)),
            mean(like.first(LIKE_MEAN_DAYS)),
            median(class.first(CLASS_MEDIAN_DAYS)),
            mean(class.first(CLASS_MEAN_DAYS)),
        ];
        mean(&estimates.map(f64::ln_1p))
    } else {
        mean(any.first(REFERENCE_ANY_DAYS)).ln_1p()
    };
    // Below −1 there is no logarithm; such a target wants another transformation.
    log_reference.is_finite().then_some(log_reference.max(0.0))
}

impl Level {
    fn of(excess: Vec<f64>) -> Level {
        let end = excess.len() - (LEVEL_LAG_STEPS as usize).min(excess.len());
        let means = LEVEL_HOURS.map(|hours| mean_known(&excess[end.saturating_sub(hours as usize)..end]));
        Level { excess, means }
    }
}

/// A few values, newest first.
#[derive(Clone, Copy, Default)]
struct Values {
    values: [f64; DAYS_MAX],
    count: usize,
}

impl Values {
    fn first(&self, most: usize) -> &[f64] {
        &self.values[..self.count.min(most)]
    }
}

/// A series, an origin and a horizon, with what its features share.
pub struct Row<'a> {
    origin: &'a Origin<'a>,
    series: usize,
    horizon: u32,
    step: i64,
    day: i64,
    /// Hour of the day in Seoul.
    hour: f64,
    log_reference: f64,
    like: Values,
    class: Values,
    any: Values,
}

impl Row<'_> {
    /// What the model's answer is a ratio to, in the target's unit.
    pub fn reference(&self) -> f64 {
        self.log_reference.exp_m1()
    }

    pub fn log_reference(&self) -> f64 {
        self.log_reference
    }

    /// Mean of the last four values known of that hour on the same weekday, holidays apart (for a holiday: on holidays);
    /// NaN where none is known. A part of the blend, not a feature: it tells the trees nothing new.
    pub fn usual(&self) -> f64 {
        let same = self.calendar().same(self.day);
        mean(self.origin.days_before(self.series, self.step, same, USUAL_DAYS).first(USUAL_DAYS))
    }

    /// Appends the row's features, in their order.
    pub fn write(&self, columns: &mut Vec<f32>) {
        columns.extend(FEATURES.iter().map(|feature| (feature.value)(self) as f32));
    }

    fn calendar(&self) -> &Calendar {
        self.origin.calendar
    }

    fn level(&self) -> &Level {
        &self.origin.levels[self.series]
    }

    fn city(&self) -> &Level {
        &self.origin.city
    }

    fn to_reference(&self, value: f64) -> f64 {
        value.ln_1p() - self.log_reference
    }

    fn lag(&self, hours: i64) -> f64 {
        let step = self.lagged(hours);
        if step >= self.origin.known.origin_step() {
            f64::NAN
        } else {
            self.origin.known.value(self.series, step).unwrap_or(f64::NAN)
        }
    }

    fn excess(&self, hours: i64) -> f64 {
        self.level().at(self.lagged(hours) - self.origin.known.origin_step())
    }

    fn city_excess(&self, hours: i64) -> f64 {
        // The hour before the origin is known of few series, if any: their mean isn't the city's.
        let before = self.lagged(hours) - self.origin.known.origin_step();
        if before >= -LEVEL_LAG_STEPS { f64::NAN } else { self.city().at(before) }
    }

    fn lagged(&self, hours: i64) -> i64 {
        self.step - hours * self.origin.steps_per_day / 24
    }
}

impl Level {
    /// Excess of a step, counted from the origin: −1 is the one before it.
    fn at(&self, step: i64) -> f64 {
        let index = EXCESS_STEPS + step;
        if step >= 0 || index < 0 { f64::NAN } else { self.excess[index as usize] }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn mean_known(values: &[f64]) -> f64 {
    let (sum, count) =
        values.iter().filter(|value| !value.is_nan()).fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = [0.0; DAYS_MAX];
    let sorted = &mut sorted[..values.len()];
    sorted.copy_from_slice(values);
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// Standard deviation of ln(1 + value).
fn log_deviation(values: &[f64]) -> f64 {
    let mut logs = [0.0; DAYS_MAX];
    let logs = &mut logs[..values.len()];
    logs.iter_mut().zip(values).for_each(|(log, value)| *log = value.ln_1p());
    let mean = mean(logs);
    (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / logs.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::history::{History, Revision};
    use crate::naive::Rule;
    use crate::source::city_profile;
    use crate::test_city;

    const SERIES: usize = 3;
    const DAYS: i64 = 45;

    /// Everything that is computed at an origin: features, rules, the city's profile. NaN compares by its bits.
    fn seen(history: &History, origin: DateTime<Utc>) -> Vec<u64> {
        let calendar = Calendar::new(origin - TimeDelta::days(10), origin + TimeDelta::days(1));
        let shared = Origin::new(Known::at(history, origin).unwrap(), &calendar);
        let mut columns = Vec::new();
        let mut seen: Vec<u64> =
            city_profile(shared.known(), 24).into_iter().map(|value| value.map_or(1, f64::to_bits)).collect();
        for series in 0..SERIES {
            for horizon in 1..=24 {
                seen.extend(Rule::ALL.map(|rule| rule.value(shared.known(), series, horizon).map_or(1, f64::to_bits)));
                if let Some(row) = shared.row(series, horizon) {
                    row.write(&mut columns);
                }
            }
        }
        seen.extend(columns.into_iter().map(|value| u64::from(value.to_bits())));
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_feature_at_an_origin_changes_when_anything_received_after_it_does(seed: u64, hour in 30 * 24..DAYS * 24, other: u64) {
            let states = test_city::states(seed, SERIES, DAYS);
            let history = test_city::history(&states, SERIES, DAYS);
            let origin = test_city::start() + TimeDelta::hours(hour);
            let as_it_was = seen(&history, origin);
            prop_assert!(as_it_was.iter().any(|&bits| bits > 1), "something is seen");

            let deleted: Vec<_> = states.iter().copied().filter(|(_, _, state)| state.received_at <= origin).collect();
            prop_assert_eq!(&seen(&test_city::history(&deleted, SERIES, DAYS), origin), &as_it_was, "deleted");
            prop_assert_eq!(&seen(&history.without_received_after(origin), origin), &as_it_was, "cut off");

            let mut random = test_city::Random(other);
            let scrambled: Vec<_> = states
                .iter()
                .map(|&(series, at, state)| match state.received_at > origin {
                    true => (series, at, Revision { value: random.below(9_000) as f64, parts: Some(random.below(5) as u16), ..state }),
                    false => (series, at, state),
                })
                .collect();
            prop_assert_eq!(&seen(&test_city::history(&scrambled, SERIES, DAYS), origin), &as_it_was, "scrambled");
        }
    }

    #[test]
    fn a_feature_is_what_its_name_says() {
        // One series whose value is 100 + the hour of the day, a tenth more in the last 24 h that are known.
        let start = test_city::start();
        let mut history = History::new(vec!["s".into()], start, TimeDelta::hours(1), 24 * 60).unwrap();
        let origin_step = 24 * 50;
        for step in 0..24 * 60 {
            let at = history.instant(step);
            let base = 100.0 + (step % 24) as f64;
            let value = if (origin_step - 25..origin_step).contains(&step) { base * 1.1 } else { base };
            history.insert(0, at, Revision { value, parts: None, received_at: at + TimeDelta::minutes(90) }).unwrap();
        }
        let origin = history.instant(origin_step);
        let calendar = Calendar::new(origin - TimeDelta::days(10), origin + TimeDelta::days(1));
        let shared = Origin::new(Known::at(&history, origin).unwrap(), &calendar);
        let feature = |horizon: u32, name: &str| {
            let row = shared.row(0, horizon).unwrap();
            f64::from((FEATURES.iter().find(|feature| feature.name == name).unwrap().value)(&row) as f32)
        };
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        // Horizon 6 is the hour from 05:00 of a Thursday; 110 % of 105 came on the Wednesday, which is of its class.
        let log_reference = |usual: f64| (3.0 * (1.0 + usual).ln() + (1.0 + usual * 1.025).ln()) / 4.0;
        near(feature(6, "hour_of_day"), 5.0);
        near(feature(6, "log_reference"), log_reference(105.0));
        near(feature(6, "value_lag_24h_to_reference"), (1.0 + 105.0 * 1.1_f64).ln() - log_reference(105.0));
        near(feature(6, "excess_lag_24h"), (1.0 + 105.0 * 1.1_f64).ln() - 106_f64.ln());
        near(feature(6, "value_lag_168h_to_reference"), 106_f64.ln() - log_reference(105.0));
        near(feature(6, "excess_mean_1h_lag_1h"), (1.0 + 122.0 * 1.1_f64).ln() - 123_f64.ln());
        near(feature(6, "city_excess_mean_1h_lag_1h"), (1.0 + 122.0 * 1.1_f64).ln() - 123_f64.ln());
        let day: f64 =
            (0..24).map(|hour| (1.0 + (100 + (hour + 23) % 24) as f64 * 1.1).ln() - ((101 + (hour + 23) % 24) as f64).ln()).sum();
        near(feature(6, "excess_mean_24h_lag_1h"), day / 24.0);
        near(feature(6, "class_log_deviation_8d"), {
            // Of the last eight workdays at 05:00 the newest is a tenth higher.
            let logs: Vec<f64> = (0..8).map(|back| (1.0 + 105.0 * if back == 0 { 1.1_f64 } else { 1.0 }).ln()).collect();
            let mean = logs.iter().sum::<f64>() / 8.0;
            (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / 8.0).sqrt()
        });
        // The hour before the origin isn't published yet: a day before horizon 24 is not known.
        assert!(feature(24, "value_lag_24h_to_reference").is_nan() && feature(24, "excess_lag_24h").is_nan());
        assert!(feature(24, "city_excess_lag_24h").is_nan());
        near(feature(24, "value_lag_48h_to_reference"), (1.0 + 123.0 * 1.1_f64).ln() - log_reference(123.0));
    }

    #[test]
    fn feature_names_differ() {
        let names: std::collections::BTreeSet<_> = FEATURES.iter().map(|feature| feature.name).collect();
        assert_eq!(names.len(), FEATURES.len());
    }
}
