//! A bundle: all that a forecast needs but the data, fitted, named and kept in one file.
//!
//! A naive rule is a bundle like any other (design decision 10). Only what was fitted can be a [`Bundle`], and only a
//! [`Bundle`] forecasts. Its file is zstd-compressed JSON; equal fits give equal bytes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::blend::Blend;
use crate::features::FEATURES;
use crate::intervals::{StandIns, Stretch};
use crate::judged::Judged;
use crate::model::{TreeTexts, Trees, TreesError};
use crate::source::Source;

/// Version of the file's layout.
const FORMAT: u32 = 1;
const ZSTD_LEVEL: i32 = 6;
/// Greatest uncompressed file that is read: three forests of a few megabytes each, with room.
const FILE_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("this is not a bundle's file: {0}")]
    NotABundle(String),
    #[error("the bundle's file has layout {found}, this program reads {FORMAT}; train again")]
    Format { found: u32 },
    #[error(transparent)]
    Trees(#[from] TreesError),
    #[error("bundle \"{bundle}\" is of target \"{found}\", not of \"{expected}\"")]
    Target { bundle: String, found: String, expected: String },
    #[error("there is too little history to fit on: no value came of anything that could be forecast until {known_at}")]
    TooLittle { known_at: DateTime<Utc> },
}

/// A fitted bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    file: File,
    trees: Option<Trees>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct File {
    format: u32,
    id: String,
    target: String,
    horizons: u32,
    known_at: DateTime<Utc>,
    fingerprint: String,
    features: Vec<String>,
    stand_ins: StandIns,
    model: Option<Model>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Model {
    blend: Blend,
    stretch: Stretch,
    trees: TreeTexts,
}

/// What a bundle says of one row, in the target's unit: low ≤ median ≤ high, none below nought where the target can't.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    pub source: Source,
    pub p10: f64,
    pub p50: f64,
    pub p90: f64,
}

impl Bundle {
    /// The best naive rule as a bundle, fitted on judged rows.
    pub fn naive(
        target: &str,
        horizons: u32,
        known_at: DateTime<Utc>,
        fingerprint: &str,
        rows: &[Judged],
    ) -> Result<Bundle, BundleError> {
        let stand_ins = StandIns::fit(rows).ok_or(BundleError::TooLittle { known_at })?;
        Ok(Bundle::new(target, horizons, known_at, fingerprint, stand_ins, None, None))
    }

    /// Grown trees as a bundle: blended and calibrated on rows judged with them or with their like.
    pub fn trees(
        target: &str,
        horizons: u32,
        known_at: DateTime<Utc>,
        fingerprint: &str,
        rows: &[Judged],
        texts: TreeTexts,
    ) -> Result<Bundle, BundleError> {
        let stand_ins = StandIns::fit(rows).ok_or(BundleError::TooLittle { known_at })?;
        let trees = Trees::parse(&texts)?;
        let blend = Blend::fit(rows, horizons);
        let stretch = Stretch::fit(rows, &blend);
        let model = Model { blend, stretch, trees: texts };
        Ok(Bundle::new(target, horizons, known_at, fingerprint, stand_ins, Some(model), Some(trees)))
    }

    fn new(
        target: &str,
        horizons: u32,
        known_at: DateTime<Utc>,
        fingerprint: &str,
        stand_ins: StandIns,
        model: Option<Model>,
        trees: Option<Trees>,
    ) -> Bundle {
        let features =
            if model.is_some() { FEATURES.iter().map(|feature| feature.name.to_owned()).collect() } else { Vec::new() };
        let mut file = File {
            format: FORMAT,
            id: String::new(),
            target: target.to_owned(),
            horizons,
            known_at,
            fingerprint: fingerprint.to_owned(),
            features,
            stand_ins,
            model,
        };
        // The id ends in what the fit is made of: two programs that fit differently on the same data don't share one.
        let digest = Sha256::digest(serde_json::to_vec(&file).expect("a bundle is plain data"));
        let digest: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let kind = if file.model.is_some() { "lightgbm" } else { file.stand_ins.best().name() };
        file.id = format!("{target}-{}-{kind}-{digest}", known_at.format("%Y%m%dT%H%MZ"));
        Bundle { file, trees }
    }

    pub fn id(&self) -> &str {
        &self.file.id
    }

    pub fn target(&self) -> &str {
        &self.file.target
    }

    /// `lightgbm`, or the naive rule's name.
    pub fn kind(&self) -> &'static str {
        if self.trees.is_some() { "lightgbm" } else { self.file.stand_ins.best().name() }
    }

    /// It was fitted on what was known then.
    pub fn known_at(&self) -> DateTime<Utc> {
        self.file.known_at
    }

    /// SHA-256 of what it was fitted on.
    pub fn fingerprint(&self) -> &str {
        &self.file.fingerprint
    }

    pub fn horizons(&self) -> u32 {
        self.file.horizons
    }

    pub(crate) fn forests(&self) -> Option<&Trees> {
        self.trees.as_ref()
    }

    /// What the bundle says of a row judged (or made) with its trees. None only where nothing is known of the city.
    pub fn say(&self, row: &Judged) -> Option<Said> {
        let (source, median) = match &self.file.model {
            Some(model) if !row.trees[1].is_nan() => (Source::Model, model.blend.median(row)),
            _ => self.file.stand_ins.median(row)?,
        };
        let median = median.max(0.0);
        let (low, high) = match &self.file.model {
            Some(model) if source == Source::Model => model.stretch.interval(row, median),
            _ => self.file.stand_ins.interval(source, row.horizon, median),
        };
        Some(Said { source, p10: low.max(0.0), p50: median, p90: high })
    }

    /// The bundle's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_vec(&self.file).expect("a bundle is plain data");
        zstd::bulk::compress(&json, ZSTD_LEVEL).expect("compression into memory has nothing to fail on")
    }

    /// Reads a bundle's file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Bundle, BundleError> {
        let not = |error: &dyn std::fmt::Display| BundleError::NotABundle(error.to_string());
        let json = zstd::bulk::decompress(bytes, FILE_BYTES_MAX).map_err(|error| not(&error))?;
        #[derive(Deserialize)]
        struct Layout {
            format: u32,
        }
        let layout: Layout = serde_json::from_slice(&json).map_err(|error| not(&error))?;
        if layout.format != FORMAT {
            return Err(BundleError::Format { found: layout.format });
        }
        let file: File = serde_json::from_slice(&json).map_err(|error| not(&error))?;
        let trees = file.model.as_ref().map(|model| Trees::parse(&model.trees)).transpose()?;
        Ok(Bundle { file, trees })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::history::{History, Revision};
    use crate::judged::judge;
    use crate::table::spread_origins;
    use crate::test_city;

    const DAYS: i64 = 60;

    fn known_at() -> DateTime<Utc> {
        test_city::start() + TimeDelta::days(DAYS)
    }

    /// Six series of the test city; 4 died three weeks ago, 5 was never heard of.
    fn history() -> History {
        let states = test_city::states(7, 5, DAYS);
        let died = known_at() - TimeDelta::days(21);
        let states: Vec<_> = states.into_iter().filter(|&(series, at, _)| series != 4 || at < died).collect();
        test_city::history(&states, 6, DAYS)
    }

    fn naive(history: &History) -> Bundle {
        let origins = spread_origins(history, known_at() - TimeDelta::days(14), known_at(), 30);
        let rows = judge(history, &origins, 24, known_at(), None).unwrap();
        Bundle::naive("traffic_volume", 24, known_at(), "f", &rows).unwrap()
    }

    #[test]
    fn every_series_gets_numbers_in_order_and_says_whose() {
        let history = history();
        let forecasts = naive(&history).forecast(&history, &[known_at()], known_at()).unwrap();
        assert_eq!(forecasts.len(), 6 * 24);
        for forecast in &forecasts {
            assert!(0.0 <= forecast.p10 && forecast.p10 <= forecast.p50 && forecast.p50 <= forecast.p90, "{forecast:?}");
            assert!(forecast.p10 < forecast.p90, "{forecast:?}");
        }
        let sources = |series: usize| {
            let of_series = forecasts.iter().filter(|forecast| forecast.series == history.series()[series]);
            of_series.map(|forecast| forecast.source.name()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(sources(5), ["city"].into(), "of which nothing is known");
        assert!(!sources(4).contains("city"), "a dead series has its own past");
    }

    #[test]
    fn nine_in_ten_are_on_the_inner_side_of_each_end() {
        let history = history();
        let bundle = naive(&history);
        let origins = spread_origins(&history, known_at() - TimeDelta::days(14), known_at(), 30);
        let forecasts = bundle.forecast(&history, &origins, known_at()).unwrap();
        let coverage = crate::Score::of(&forecasts).coverage.unwrap();
        assert!((0.77..=0.83).contains(&coverage), "{coverage}");
    }

    #[test]
    fn a_file_brings_back_the_same_bundle_and_nothing_else_is_taken_for_one() {
        let history = history();
        let bundle = naive(&history);
        let bytes = bundle.to_bytes();
        let back = Bundle::from_bytes(&bytes).unwrap();
        assert_eq!(back.to_bytes(), bytes);
        assert_eq!(back.id(), bundle.id());
        let forecast = |bundle: &Bundle| bundle.forecast(&history, &[known_at()], known_at()).unwrap();
        assert_eq!(forecast(&back), forecast(&bundle));
        assert!(matches!(Bundle::from_bytes(b"tree"), Err(BundleError::NotABundle(_))));
        assert!(matches!(Bundle::from_bytes(&bytes[..bytes.len() - 9]), Err(BundleError::NotABundle(_))));
        let other = zstd::bulk::compress(br#"{"format":2}"#, 1).unwrap();
        let message = Bundle::from_bytes(&other).unwrap_err().to_string();
        assert_eq!(message, "the bundle's file has layout 2, this program reads 1; train again");
    }

    #[test]
    fn where_nothing_came_nothing_is_fitted_and_nothing_forecast() {
        let empty = test_city::history(&[], 2, DAYS);
        let rows = judge(&empty, &[known_at()], 24, known_at(), None).unwrap();
        assert!(matches!(Bundle::naive("t", 24, known_at(), "f", &rows), Err(BundleError::TooLittle { .. })));
        let bundle = naive(&history());
        let error = bundle.forecast(&empty, &[known_at()], known_at()).unwrap_err().to_string();
        assert_eq!(error, "nothing is known of any series at 2022-07-30 15:00:00 UTC: there is nothing to forecast from");
    }

    #[test]
    fn a_stuck_sensor_is_not_believed() {
        let states: Vec<_> = test_city::states(7, 3, DAYS)
            .into_iter()
            .map(|(series, at, state)| match series == 1 && at > known_at() - TimeDelta::hours(20) {
                true => (series, at, Revision { value: 777.0, parts: Some(4), ..state }),
                false => (series, at, state),
            })
            .collect();
        let history = test_city::history(&states, 3, DAYS);
        let known = crate::Known::at(&history, known_at()).unwrap();
        assert_eq!(crate::Condition::of(&known, 1), crate::Condition::Stuck);
        assert_eq!(crate::Condition::of(&known, 0), crate::Condition::Alive);
    }
}
