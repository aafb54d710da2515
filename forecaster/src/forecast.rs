//! From a bundle and an origin to a forecast of every series and horizon.

use chrono::{DateTime, Utc};

use crate::bundle::Bundle;
use crate::history::{History, HistoryError};
use crate::judged::{Judged, judge};
use crate::naive::Rule;
use crate::source::Source;

/// One row of a forecast; p10 ≤ p50 ≤ p90, all ≥ 0, in the target's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    pub series: String,
    pub issued_at: DateTime<Utc>,
    pub valid_at: DateTime<Utc>,
    /// Steps ahead, from 1.
    pub horizon: u32,
    pub p10: f64,
    pub p50: f64,
    pub p90: f64,
    /// In the order of [`Rule::ALL`].
    pub naive: [Option<f64>; Rule::ALL.len()],
    /// Who said the median.
    pub source: Source,
    /// What had come by `seen_at`, where asked for.
    pub actual: Option<f64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("nothing is known of any series at {origin}: there is nothing to forecast from")]
    NothingKnown { origin: DateTime<Utc> },
}

impl Bundle {
    /// Forecasts every series of the history at each origin. `seen_at`, at or after the origins, is when actuals are
    /// looked up; pass an origin itself to forecast only.
    pub fn forecast(
        &self,
        history: &History,
        origins: &[DateTime<Utc>],
        seen_at: DateTime<Utc>,
    ) -> Result<Vec<Forecast>, ForecastError> {
        let rows = judge(history, origins, self.horizons(), seen_at, self.forests())?;
        rows.iter().map(|row| self.forecast_row(history, row)).collect()
    }

    /// Judges past origins with this bundle's own trees.
    pub fn judge(
        &self,
        history: &History,
        origins: &[DateTime<Utc>],
        seen_at: DateTime<Utc>,
    ) -> Result<Vec<Judged>, HistoryError> {
        judge(history, origins, self.horizons(), seen_at, self.forests())
    }

    fn forecast_row(&self, history: &History, row: &Judged) -> Result<Forecast, ForecastError> {
        let said = self.say(row).ok_or(ForecastError::NothingKnown { origin: row.origin })?;
        let known = |value: f64| (!value.is_nan()).then_some(value);
        Ok(Forecast {
            series: history.series()[row.series as usize].clone(),
            issued_at: row.origin,
            valid_at: row.origin + history.step() * (row.horizon as i32 - 1),
            horizon: row.horizon,
            p10: said.p10,
            p50: said.p50,
            p90: said.p90,
            naive: row.rules.map(known),
            source: said.source,
            actual: known(row.actual),
        })
    }
}
