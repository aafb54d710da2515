//! How much of the model, the reference, the usual and each naive rule goes into the median, by horizon.
//!
//! Weights are found on judged origins that the trees have not seen: by moving a twentieth from one part to another for
//! as long as the error falls. Near the origin persistence has its say; far from it the usual has.

use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::judged::Judged;
use crate::naive::Rule;

/// Horizons that share weights and intervals, by their last: few enough that each has thousands of rows.
const BANDS: [u32; 5] = [1, 3, 6, 12, u32::MAX];

/// What is moved from one part to another at a time.
const MOVE: f64 = 0.05;
/// A move must lower the error by this share of it, or it is noise.
const GAIN_MIN: f64 = 5e-4;
/// Rows of a band that are looked at: more change no weight by a move.
const ROWS_MAX: usize = 40_000;
/// Fewer judged rows than this in a band and the trees speak alone.
const ROWS_MIN: usize = 200;

/// The parts of a blend: the trees, the reference, the usual, the rules.
const PARTS: usize = 3 + Rule::ALL.len();

/// Which band a horizon is in.
pub(crate) fn band(horizon: u32) -> usize {
    BANDS.iter().position(|&last| horizon <= last).expect("the last band has no end")
}

pub(crate) const BAND_COUNT: usize = BANDS.len();

/// Weights by horizon, from 1. Each horizon's sum to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blend {
    weights: Vec<Weights>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Weights {
    trees: Exact,
    reference: Exact,
    usual: Exact,
    /// In the order of [`Rule::ALL`].
    rules: [Exact; Rule::ALL.len()],
}

impl Blend {
    /// Finds the weights on judged rows.
    pub fn fit(rows: &[Judged], horizons: u32) -> Blend {
        let bands: Vec<Weights> = (0..BAND_COUNT)
            .map(|wanted| {
                let usable = |row: &&Judged| band(row.horizon) == wanted && !row.actual.is_nan() && !row.trees[1].is_nan();
                let count = rows.iter().filter(usable).count();
                let rows = rows.iter().filter(usable).step_by(count / ROWS_MAX + 1);
                let rows: Vec<([f64; PARTS], f64)> = rows.map(|row| (parts(row), row.actual)).collect();
                if rows.len() < ROWS_MIN { TREES_ALONE } else { descend(&rows) }
            })
            .map(from_array)
            .collect();
        Blend { weights: (1..=horizons).map(|horizon| bands[band(horizon)]).collect() }
    }

    /// The blended median of a row that the trees speak of, in the target's unit. What is missing leaves its weight to
    /// the trees.
    pub fn median(&self, row: &Judged) -> f64 {
        mix(&to_array(self.weights[row.horizon as usize - 1]), &parts(row))
    }
}

const TREES_ALONE: [f64; PARTS] = {
    let mut weights = [0.0; PARTS];
    weights[0] = 1.0;
    weights
};

fn parts(row: &Judged) -> [f64; PARTS] {
    let [last, day, week, week_mean] = row.rules;
    [row.trees[1].exp_m1(), row.reference, row.usual, last, day, week, week_mean]
}

fn to_array(weights: Weights) -> [f64; PARTS] {
    let [last, day, week, week_mean] = weights.rules;
    [weights.trees, weights.reference, weights.usual, last, day, week, week_mean].map(|Exact(weight)| weight)
}

fn from_array(weights: [f64; PARTS]) -> Weights {
    let [trees, reference, usual, last, day, week, week_mean] = weights.map(Exact);
    Weights { trees, reference, usual, rules: [last, day, week, week_mean] }
}

fn mix(weights: &[f64; PARTS], parts: &[f64; PARTS]) -> f64 {
    let trees = parts[0];
    weights.iter().zip(parts).map(|(weight, &part)| weight * if part.is_nan() { trees } else { part }).sum()
}

/// Steepest descent of the mean absolute error over the simplex, in steps of [`MOVE`].
fn descend(rows: &[([f64; PARTS], f64)]) -> [f64; PARTS] {
    let error = |weights: &[f64; PARTS]| rows.iter().map(|(parts, actual)| (mix(weights, parts) - actual).abs()).sum::<f64>();
    let mut weights = TREES_ALONE;
    let mut least = error(&weights);
    loop {
        let mut best = None;
        for from in 0..PARTS {
            for to in (0..PARTS).filter(|&to| to != from && weights[from] > MOVE / 2.0) {
                let mut moved = weights;
                moved[from] = (moved[from] - MOVE).max(0.0);
                moved[to] += weights[from] - moved[from];
                let error = error(&moved);
                if error < least * (1.0 - GAIN_MIN) && best.as_ref().is_none_or(|(least, _)| error < *least) {
                    best = Some((error, moved));
                }
            }
        }
        match best {
            Some((error, moved)) => (least, weights) = (error, moved),
            None => return weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_follow_whoever_was_right() {
        let rows: Vec<_> = (0..1000)
            .map(|index| {
                let truth = f64::from(index % 97) + 100.0;
                let noise = f64::from((index * 31) % 17) - 8.0;
                ([truth + noise, f64::NAN, truth - noise, 0.0, 0.0, 0.0, 0.0], truth)
            })
            .collect();
        let weights = descend(&rows);
        assert!((weights[0] - 0.5).abs() < 1e-9 && (weights[2] - 0.5).abs() < 1e-9, "{weights:?}");
    }

    #[test]
    fn what_is_missing_leaves_its_weight_to_the_trees() {
        assert_eq!(mix(&[0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0], &[10.0, f64::NAN, 1.0, 1.0, 1.0, 1.0, 1.0]), 10.0);
    }
}
