//! How a forecast is made: features, models, fitted bundles and intervals, one code for training and serving.
//!
//! Steps 9 to 11 of a record's life, without their I/O: what was known at an origin → feature rows → quantiles. Pure:
//! no lake, no clock, no C++. The trainer fills a [`History`], grows trees on a [`Table`] and makes a [`Bundle`]; the
//! bundle alone forecasts.

mod history;
mod known;

mod calendar;
mod condition;
mod naive;
mod source;

mod features;
mod table;

mod model;
mod trees;

mod blend;
mod bundle;
mod exact;
mod forecast;
mod intervals;
mod judged;
mod scores;

#[cfg(test)]
mod test_city;

pub use bundle::{Bundle, BundleError, Said};
pub use condition::Condition;
pub use features::{FEATURES, Feature};
pub use forecast::{Forecast, ForecastError};
pub use history::{History, HistoryError, Revision};
pub use judged::{Judged, judge};
pub use known::Known;
pub use model::{QUANTILES, TreeTexts, Trees, TreesError};
pub use naive::Rule;
pub use scores::{RuleScore, Score};
pub use source::Source;
pub use table::{Table, WARM_UP_DAYS, spread_origins};
pub use trees::{Forest, ParseError};
