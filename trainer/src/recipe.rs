//! How a target's trees are grown: the numbers that were found by experiment, each with what it was found to do.
//!
//! Chosen on July and August, confirmed on September and October 2022; later months were not looked at.

/// Days before the moment of training that the first trees don't see: blend and intervals are fitted on them, and the
/// last of them are the gate's.
pub const HOLDOUT_DAYS: i64 = 21;
/// The gate's share of them, the last: a whole week, so that each weekday is judged.
pub const GATE_DAYS: i64 = 7;
/// Least days of history that trees are grown on: four weeks to look back on, three held out, four to learn from.
pub const HISTORY_DAYS_MIN: i64 = forecaster::WARM_UP_DAYS + HOLDOUT_DAYS + 28;
/// Days of history that are read, at most: each season once, and some more.
pub const HISTORY_DAYS_MAX: i64 = 400;

/// Numbers for one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Rows drawn to grow trees on. More changed nothing: rows of one day say much the same. As many drawn from all
    /// origins, few of each, gave 0.705 instead of 0.707 of last week's error, for a third more time.
    pub rows: usize,
    /// Trees of p10, p50 and p90. The outer ones are calibrated afterwards, so they need fewer.
    pub trees: [usize; 3],
    /// Leaves a tree, in the same order.
    pub leaves: [usize; 3],
    pub learning_rate: f64,
    /// Rows a leaf has at least: large, since the days are few.
    pub leaf_rows_min: usize,
    /// Share of the features that each tree may use.
    pub feature_share: f64,
    /// Share of the rows that each tree sees.
    pub row_share: f64,
    /// Origins judged in the holdout.
    pub holdout_origins: usize,
}

impl Default for Recipe {
    fn default() -> Recipe {
        Recipe {
            rows: 300_000,
            trees: [150, 400, 150],
            leaves: [31, 63, 31],
            learning_rate: 0.05,
            leaf_rows_min: 1000,
            feature_share: 0.4,
            row_share: 0.7,
            holdout_origins: 63,
        }
    }
}

impl Recipe {
    /// LightGBM's parameters for the quantile at `index` of [`forecaster::QUANTILES`]. The median is grown by L1, whose
    /// leaves are medians too, and whose steps are steadier than the quantile objective's.
    pub fn parameters(&self, index: usize) -> Vec<(&'static str, String)> {
        let quantile = forecaster::QUANTILES[index];
        let objective = if quantile == 0.5 { "regression_l1" } else { "quantile" };
        vec![
            ("objective", objective.to_owned()),
            ("alpha", quantile.to_string()),
            ("num_leaves", self.leaves[index].to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("min_data_in_leaf", self.leaf_rows_min.to_string()),
            ("feature_fraction", self.feature_share.to_string()),
            ("bagging_fraction", self.row_share.to_string()),
            ("bagging_freq", "1".to_owned()),
        ]
    }
}
