//! The fitted trees of a bundle: one forest for each quantile of the ratio to the reference.

use serde::{Deserialize, Serialize};

use crate::features::FEATURES;
use crate::trees::{Forest, ParseError};

/// The quantiles that are forecast, in their order everywhere.
pub const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

/// LightGBM's text models, one a quantile, in the order of [`QUANTILES`]: what a bundle's file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeTexts(pub [String; 3]);

#[derive(Debug, thiserror::Error)]
pub enum TreesError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(
        "the trees were grown on other features than this program's: number {index} is \"{found}\" instead of \"{expected}\"; \
         train again"
    )]
    Features { index: usize, found: String, expected: &'static str },
}

/// The forests, ready to predict.
#[derive(Clone, Debug)]
pub struct Trees {
    forests: [Forest; 3],
}

impl Trees {
    pub fn parse(texts: &TreeTexts) -> Result<Trees, TreesError> {
        let [low, middle, high] = &texts.0;
        let forests = [Forest::parse(low)?, Forest::parse(middle)?, Forest::parse(high)?];
        for forest in &forests {
            for index in 0..FEATURES.len().max(forest.features().len()) {
                let expected = FEATURES.get(index).map_or("", |feature| feature.name);
                let found = forest.features().get(index).map_or("", String::as_str);
                if found != expected {
                    return Err(TreesError::Features { index, found: found.to_owned(), expected });
                }
            }
        }
        Ok(Trees { forests })
    }

    /// For each row its quantiles of ln(1 + value) − ln(1 + reference), in the order of [`QUANTILES`]; they may cross.
    pub fn predict(&self, columns: &[f32]) -> Vec<[f64; 3]> {
        let [low, middle, high] = self.forests.each_ref().map(|forest| forest.predict(columns));
        low.into_iter().zip(middle).zip(high).map(|((low, middle), high)| [low, middle, high]).collect()
    }
}
