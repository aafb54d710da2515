//! Intervals that hold what they promise: conformal calibration on judged origins.
//!
//! Raw quantile models cover less than they say. So the distance from the median to each raw quantile is stretched by
//! the factor with which nine in ten of the judged actuals would have been inside, on each side apart; all in logarithms,
//! ln(1 + value). A naive rule's interval is that of its own errors. p10 ≤ p50 ≤ p90 always.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::blend::{BAND_COUNT, Blend, band};
use crate::exact::Exact;
use crate::judged::Judged;
use crate::naive::Rule;
use crate::source::Source;

/// Share of the actuals that lie on the inner side of each end of an interval.
const INNER: f64 = 0.9;
/// Least distance of a raw quantile from the median: half a percent. Thinner ones can't be stretched to anything.
const WIDTH_MIN: f64 = 0.005;
/// Fewer judged rows than this don't make an interval of their own; the next wider group's is taken.
const ROWS_MIN: usize = 100;

/// Factors by which the trees' intervals are stretched, by band of horizons: below, above.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch(Vec<(Exact, Exact)>);

impl Stretch {
    /// Fits the factors on judged rows with the blend that will be used.
    pub fn fit(rows: &[Judged], blend: &Blend) -> Stretch {
        let mut below = vec![Vec::new(); BAND_COUNT];
        let mut above = vec![Vec::new(); BAND_COUNT];
        for row in rows.iter().filter(|row| !row.actual.is_nan() && !row.trees[1].is_nan()) {
            let miss = row.actual.ln_1p() - blend.median(row).max(0.0).ln_1p();
            let (low, high) = widths(row);
            below[band(row.horizon)].push(-miss / low);
            above[band(row.horizon)].push(miss / high);
        }
        let all = |sides: &[Vec<f64>]| quantile(sides.concat(), INNER).unwrap_or(1.0);
        let (all_below, all_above) = (all(&below), all(&above));
        let of = |side: Vec<f64>, all: f64| if side.len() < ROWS_MIN { all } else { quantile(side, INNER).unwrap_or(all) };
        let pairs = below.into_iter().zip(above);
        let side = |misses, all| Exact(of(misses, all).max(0.0));
        Stretch(pairs.map(|(below, above)| (side(below, all_below), side(above, all_above))).collect())
    }

    /// p10 and p90 of a row that the trees speak of, around its blended median, in the target's unit.
    pub fn interval(&self, row: &Judged, median: f64) -> (f64, f64) {
        let (low, high) = widths(row);
        let (Exact(below), Exact(above)) = self.0[band(row.horizon)];
        around(median, -below * low, above * high)
    }
}

/// Distances of the trees' raw quantiles from their median, as logarithms.
fn widths(row: &Judged) -> (f64, f64) {
    let [low, middle, high] = row.trees;
    ((middle - low).max(WIDTH_MIN), (high - middle).max(WIDTH_MIN))
}

/// What stands in where no trees speak: the rules from the best to the worst, and how far off each has been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandIns {
    /// From the least error to the greatest, on judged rows that all rules speak of.
    ranking: Vec<Rule>,
    /// By source, by band of horizons: tenth and ninetieth percentile of ln(1 + actual) − ln(1 + said).
    spread: BTreeMap<String, Vec<(Exact, Exact)>>,
}

impl StandIns {
    /// Ranks the rules and measures their errors. None where no judged row has an actual.
    pub fn fit(rows: &[Judged]) -> Option<StandIns> {
        let mut errors = [0.0; Rule::ALL.len()];
        for row in rows.iter().filter(|row| !row.actual.is_nan() && row.rules.iter().all(|said| !said.is_nan())) {
            errors.iter_mut().zip(row.rules).for_each(|(error, said)| *error += (said - row.actual).abs());
        }
        let mut ranking: Vec<(f64, Rule)> = errors.into_iter().zip(Rule::ALL).collect();
        ranking.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let ranking: Vec<Rule> = ranking.into_iter().map(|(_, rule)| rule).collect();

        type Says = Box<dyn Fn(&Judged) -> f64>;
        let said: Vec<(Source, Says)> = (0..Rule::ALL.len())
            .map(|index| {
                (Source::Rule(Rule::ALL[index]), Box::new(move |row: &Judged| row.rules[index]) as Box<dyn Fn(&Judged) -> f64>)
            })
            .chain([(Source::City, Box::new(|row: &Judged| row.city) as Box<dyn Fn(&Judged) -> f64>)])
            .collect();
        let misses = |said: &dyn Fn(&Judged) -> f64| {
            let mut misses = vec![Vec::new(); BAND_COUNT];
            for row in rows {
                let miss = row.actual.ln_1p() - said(row).ln_1p();
                if !miss.is_nan() {
                    misses[band(row.horizon)].push(miss);
                }
            }
            misses
        };
        // Whoever has said too little to be measured gets the widest there is: the city's.
        let widest = spread(misses(&said.last().expect("the city is the last").1).concat())?;
        let spread = said
            .iter()
            .map(|(source, said)| {
                let bands = misses(said);
                let all = Some(bands.concat()).filter(|all| all.len() >= ROWS_MIN).and_then(spread).unwrap_or(widest);
                let of = |band: Vec<f64>| if band.len() < ROWS_MIN { all } else { spread(band).unwrap_or(all) };
                let exact = |(low, high)| (Exact(low), Exact(high));
                (source.name().to_owned(), bands.into_iter().map(of).map(exact).collect())
            })
            .collect();
        Some(StandIns { ranking, spread })
    }

    pub fn best(&self) -> Rule {
        self.ranking[0]
    }

    /// The best that anyone can say of a row: who, and the median. None where nothing is known of the whole city.
    pub fn median(&self, row: &Judged) -> Option<(Source, f64)> {
        let rules = self.ranking.iter().map(|&rule| (Source::Rule(rule), row.rules[rule as usize]));
        rules.chain([(Source::City, row.city)]).find(|(_, said)| !said.is_nan())
    }

    /// p10 and p90 around what a source said.
    pub fn interval(&self, source: Source, horizon: u32, median: f64) -> (f64, f64) {
        let (Exact(low), Exact(high)) = self.spread[source.name()][band(horizon)];
        around(median, low.min(0.0), high.max(0.0))
    }
}

fn spread(misses: Vec<f64>) -> Option<(f64, f64)> {
    Some((-quantile(misses.iter().map(|miss| -miss).collect(), INNER)?, quantile(misses, INNER)?))
}

/// An interval from `low` ≤ 0 to `high` ≥ 0 around a median, in logarithms.
fn around(median: f64, low: f64, high: f64) -> (f64, f64) {
    let log = median.ln_1p();
    // Rounding may pass the median by a unit in the last place: hold it.
    ((log + low).exp_m1().min(median), (log + high).exp_m1().max(median))
}

/// The conformal quantile: the ⌈(n + 1)·share⌉-th least, so that a new one of the same kind lies below it with at least
/// that probability. None of nothing.
fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    let rank = ((values.len() + 1) as f64 * share).ceil() as usize;
    let index = rank.min(values.len()).checked_sub(1)?;
    Some(*values.select_nth_unstable_by(index, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conformal_quantile_is_one_of_the_values() {
        assert_eq!(quantile((1..=9).map(f64::from).collect(), 0.9), Some(9.0));
        assert_eq!(quantile((1..=19).map(f64::from).collect(), 0.9), Some(18.0));
        assert_eq!(quantile(vec![], 0.9), None);
    }

    #[test]
    fn an_interval_never_crosses_its_median() {
        for median in [0.0, 0.1, 7.0, 12_345.678] {
            let (low, high) = around(median, 0.0, 0.0);
            assert!(low <= median && median <= high);
        }
    }
}
