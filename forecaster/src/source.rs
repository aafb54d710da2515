//! Who says a number: the model, a naive rule, or, of a series of which nothing is known, the city.

use std::fmt;

use crate::known::Known;
use crate::naive::Rule;

/// Who said a forecast's median; its name stands in the column `rule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    Model,
    Rule(Rule),
    /// What series usually have at that hour: the median over all series of `week_mean`, else of `day`, else of `last`.
    City,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Model => "model",
            Source::Rule(rule) => rule.name(),
            Source::City => "city",
        }
    }
}

impl Source {
    pub fn by_name(name: &str) -> Option<Source> {
        let rules = Rule::ALL.into_iter().map(Source::Rule);
        [Source::Model, Source::City].into_iter().chain(rules).find(|source| source.name() == name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What series usually have, by horizon from 1; none where nothing at all is known.
pub fn city_profile(known: &Known, horizons: u32) -> Vec<Option<f64>> {
    let of_all = |rule: Rule, horizon: u32| {
        let mut values: Vec<f64> =
            (0..known.history().series().len()).filter_map(|series| rule.value(known, series, horizon)).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let rules = [Rule::WeekMean, Rule::Day, Rule::Last];
    (1..=horizons).map(|horizon| rules.into_iter().find_map(|rule| of_all(rule, horizon))).collect()
}
