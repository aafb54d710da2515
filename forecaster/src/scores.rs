//! How good forecasts were: MAE, WAPE, MASE, coverage and skill, by horizon and over all.
//!
//! - MAE: mean of |p50 − actual|, in the target's unit. WAPE: sum of |p50 − actual| over the sum of actuals.
//! - Skill against a rule: 1 − MAE / the rule's MAE, over the rows of which both speak.
//! - MASE: MAE over that of `week`, over the rows of which both speak.
//! - Coverage: share of actuals from p10 to p90, ends included.

use serde::{Deserialize, Serialize};

use crate::forecast::Forecast;
use crate::naive::Rule;

/// The score of some forecasts that have met their actuals. Null where no row tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Forecasts with an actual.
    pub rows: u64,
    pub mae: Option<f64>,
    pub wape: Option<f64>,
    pub mase: Option<f64>,
    pub coverage: Option<f64>,
    /// By rule, in the order of [`Rule::ALL`]: its own MAE, and the skill against it.
    pub rules: Vec<RuleScore>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleScore {
    pub rule: Rule,
    /// Rows of which the rule and an actual speak.
    pub rows: u64,
    /// The rule's MAE over those rows.
    pub mae: Option<f64>,
    /// MAE of p50 over the same rows, and 1 − it / the rule's.
    pub mae_beside: Option<f64>,
    pub skill: Option<f64>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    total: f64,
    rows: u64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.total += value;
        self.rows += 1;
    }

    fn mean(self) -> Option<f64> {
        (self.rows > 0).then(|| self.total / self.rows as f64)
    }
}

impl Score {
    pub fn of<'a>(forecasts: impl IntoIterator<Item = &'a Forecast>) -> Score {
        let (mut error, mut actuals, mut inside) = (Sum::default(), Sum::default(), Sum::default());
        let mut rules = [(Sum::default(), Sum::default()); Rule::ALL.len()];
        for forecast in forecasts {
            let Some(actual) = forecast.actual else { continue };
            let miss = (forecast.p50 - actual).abs();
            error.add(miss);
            actuals.add(actual);
            inside.add(f64::from(u8::from(forecast.p10 <= actual && actual <= forecast.p90)));
            for ((rule, beside), said) in rules.iter_mut().zip(forecast.naive) {
                let Some(said) = said else { continue };
                rule.add((said - actual).abs());
                beside.add(miss);
            }
        }
        let ratio = |(rule, beside): (Sum, Sum)| (rule.total > 0.0).then(|| beside.total / rule.total);
        Score {
            rows: error.rows,
            mae: error.mean(),
            wape: (actuals.total > 0.0).then(|| error.total / actuals.total),
            mase: ratio(rules[Rule::Week as usize]),
            coverage: inside.mean(),
            rules: Rule::ALL
                .into_iter()
                .zip(rules)
                .map(|(rule, sums)| RuleScore {
                    rule,
                    rows: sums.0.rows,
                    mae: sums.0.mean(),
                    mae_beside: sums.1.mean(),
                    skill: ratio(sums).map(|ratio| 1.0 - ratio),
                })
                .collect(),
        }
    }

    /// One score a horizon, from 1.
    pub fn by_horizon(forecasts: &[Forecast], horizons: u32) -> Vec<Score> {
        (1..=horizons).map(|horizon| Score::of(forecasts.iter().filter(|forecast| forecast.horizon == horizon))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn forecast(p50: f64, week: Option<f64>, actual: Option<f64>) -> Forecast {
        let at = "2022-09-30T15:00:00Z".parse().unwrap();
        let naive = [None, None, week, None];
        let (p10, p90) = (p50 - 10.0, p50 + 10.0);
        Forecast {
            series: "s".into(),
            issued_at: at,
            valid_at: at,
            horizon: 1,
            p10,
            p50,
            p90,
            naive,
            source: Source::Model,
            actual,
        }
    }

    #[test]
    fn scores_are_what_their_definitions_say() {
        let score = Score::of(&[
            forecast(100.0, Some(120.0), Some(110.0)), // misses by 10, inside at the end; the rule misses by 10
            forecast(200.0, Some(250.0), Some(170.0)), // misses by 30, outside; the rule misses by 80
            forecast(50.0, None, Some(30.0)),          // misses by 20, outside; the rule is silent
            forecast(10.0, Some(1.0), None),           // nothing came
        ]);
        assert_eq!((score.rows, score.mae, score.wape), (3, Some(20.0), Some(60.0 / 310.0)));
        assert_eq!(score.coverage, Some(1.0 / 3.0));
        assert_eq!(score.mase, Some(40.0 / 90.0));
        let week = &score.rules[Rule::Week as usize];
        assert_eq!((week.rows, week.mae, week.mae_beside, week.skill), (2, Some(45.0), Some(20.0), Some(1.0 - 40.0 / 90.0)));
        assert_eq!(score.rules[Rule::Day as usize].skill, None);
    }

    #[test]
    fn nothing_that_came_scores_nothing() {
        let score = Score::of(&[forecast(1.0, None, None)]);
        assert_eq!((score.rows, score.mae, score.coverage, score.mase), (0, None, None, None));
    }
}
