//! Training and forecasting over the lake: history → fit → gate → registry → forecasts → accuracy, on schedule.
//!
//! Steps 9 to 11 of a record's life, with their I/O. How a forecast is made is in `forecaster`; here it is fed from the
//! lake, fitted with LightGBM (whose C++ stays behind this crate), judged and kept. It never serves a request.

mod panel;

mod backtest;
mod fit;
mod gate;
mod lightgbm;
mod recipe;
mod registry;
mod train;

mod issue;
mod rows;
mod schedule;
mod score;

pub use backtest::{BacktestReport, backtest};
pub use fit::{Fit, Progress, fit, fit_naive};
pub use gate::Verdict;
pub use issue::{Issued, issue, issued_through};
pub use lightgbm::{Binned, Booster, LightGbmError, Rows, grow};
pub use panel::{Panel, extent};
pub use recipe::{HISTORY_DAYS_MIN, Recipe};
pub use registry::{Entry, Registry, Standing};
pub use schedule::{
    Following, ForecastConfig, LandedThrough, Train, TrainingConfig, forecast_round, run_forecasts, run_training,
};
pub use score::{Scored, score};
pub use train::{TrainOptions, TrainReport, ensure_champion, train_once};

// One test binary: what users of the crate see is tested beside its own parts.
#[cfg(test)]
#[path = "../tests/trainer.rs"]
mod tests;
