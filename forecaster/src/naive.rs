//! The naive rules that every model is measured against, and that stand in where no model can speak (decision 4).
//!
//! `last`: the newest value known. `day`: the newest known of that hour of the day. `week`: exactly 168 h before, else
//! null. `week_mean`: the mean of the last four known of that hour of the week. None of them looks at a step at or after
//! the origin.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::known::Known;

const DAY_SECONDS: i64 = 24 * 3600;

/// How many values of an hour of the week `week_mean` takes (decision 4).
const WEEK_MEAN_COUNT: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Last,
    Day,
    Week,
    WeekMean,
}

impl Rule {
    pub const ALL: [Rule; 4] = [Rule::Last, Rule::Day, Rule::Week, Rule::WeekMean];

    pub fn name(self) -> &'static str {
        match self {
            Rule::Last => "last",
            Rule::Day => "day",
            Rule::Week => "week",
            Rule::WeekMean => "week_mean",
        }
    }

    pub fn by_name(name: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// What the rule says at the origin about the step that begins `horizon − 1` steps after it.
    pub fn value(self, known: &Known, series: usize, horizon: u32) -> Option<f64> {
        let origin = known.origin_step();
        let step = origin + i64::from(horizon) - 1;
        let day = (DAY_SECONDS / known.history().step().num_seconds()).max(1);
        let before = |period: i64| {
            // The first multiple of the period before the step that lies before the origin.
            let first = step - period * ((step - origin).div_euclid(period) + 1);
            (0..).map(move |back| first - back * period).take_while(|&step| step >= 0)
        };
        match self {
            Rule::Last => before(1).find_map(|step| known.value(series, step)),
            Rule::Day => before(day).find_map(|step| known.value(series, step)),
            Rule::Week => (step - 7 * day < origin).then(|| known.value(series, step - 7 * day)).flatten(),
            Rule::WeekMean => {
                let values = before(7 * day).filter_map(|step| known.value(series, step)).take(WEEK_MEAN_COUNT);
                let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
                (count > 0).then(|| sum / f64::from(count))
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::history::{History, Revision};

    /// Step n has the value n, known half an hour after its end; `absent` steps have none.
    fn history(absent: &[i64]) -> History {
        let start: DateTime<Utc> = "2022-08-31T15:00:00Z".parse().unwrap();
        let mut history = History::new(vec!["s".into()], start, TimeDelta::hours(1), 24 * 50).unwrap();
        for step in (0..24 * 50).filter(|step| !absent.contains(step)) {
            let at = history.instant(step);
            history
                .insert(0, at, Revision { value: step as f64, parts: None, received_at: at + TimeDelta::minutes(90) })
                .unwrap();
        }
        history
    }

    fn check(absent: &[i64], rule: Rule, horizon: u32) -> Option<f64> {
        let history = history(absent);
        let known = Known::at(&history, history.instant(24 * 40)).unwrap();
        rule.value(&known, 0, horizon)
    }

    const O: i64 = 24 * 40;

    #[test]
    fn last_is_the_newest_value_known() {
        assert_eq!(check(&[], Rule::Last, 1), Some((O - 2) as f64), "the hour before the origin is not known yet");
        assert_eq!(check(&[O - 2, O - 3], Rule::Last, 24), Some((O - 4) as f64));
    }

    #[test]
    fn day_is_the_newest_known_of_that_hour_of_the_day() {
        assert_eq!(check(&[], Rule::Day, 1), Some((O - 24) as f64));
        assert_eq!(check(&[], Rule::Day, 24), Some((O + 23 - 48) as f64), "that of the day before is not known yet");
        assert_eq!(check(&[O - 24, O - 48], Rule::Day, 1), Some((O - 72) as f64));
    }

    #[test]
    fn week_is_exactly_168_h_before_or_null() {
        assert_eq!(check(&[], Rule::Week, 3), Some((O + 2 - 168) as f64));
        assert_eq!(check(&[O + 2 - 168], Rule::Week, 3), None);
    }

    #[test]
    fn week_mean_is_that_of_the_last_four_known_of_that_hour_of_the_week() {
        let step = |weeks: i64| O + 2 - 168 * weeks;
        assert_eq!(check(&[], Rule::WeekMean, 3), Some((step(1) + step(2) + step(3) + step(4)) as f64 / 4.0));
        assert_eq!(check(&[step(2)], Rule::WeekMean, 3), Some((step(1) + step(3) + step(4) + step(5)) as f64 / 4.0));
        assert_eq!(
            check(&[step(1), step(2), step(3), step(4)], Rule::WeekMean, 3),
            Some(step(5) as f64),
            "fewer than four are averaged as they are"
        );
        assert_eq!(check(&(1..6).map(step).collect::<Vec<_>>(), Rule::WeekMean, 3), None);
    }

    #[test]
    fn a_name_and_its_rule_are_one() {
        for rule in Rule::ALL {
            assert_eq!(Rule::by_name(rule.name()), Some(rule));
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
    }
}
