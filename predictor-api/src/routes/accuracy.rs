//! `/v1/accuracy/{target}`: how good the forecasts have been, by horizon and over all, beside every naive rule.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use catalog::Target;
use chrono::{DateTime, FixedOffset, TimeDelta};
use lake::Lake;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::body::Body;
use crate::edition::Part;
use crate::params::Names;
use crate::problem::Problem;
use crate::routes::target;
use crate::rows::{Rows, instant_literal, text_literal};
use crate::times::kst;

/// Days that are judged if the client doesn't say: each hour of the week once.
const DAYS_DEFAULT: u32 = 7;
/// And at most: a quarter, some ten million met forecasts.
const DAYS_MAX: u32 = 92;

/// The rules that a forecast is measured against, as the columns of `forecast.accuracy` name them.
const NAIVE: [&str; 4] = ["naive_last", "naive_day", "naive_week", "naive_week_mean"];

/// Place of `naive_week` among them.
const WEEK: usize = 2;

#[derive(Serialize, ToSchema)]
pub struct Accuracy {
    #[schema(example = "traffic_volume")]
    target: &'static str,
    /// Unit of `mae`.
    #[schema(example = "vehicles/h")]
    unit: &'static str,
    /// The intervals judged begin at or after this (KST); null before anything has been judged.
    from: Option<DateTime<FixedOffset>>,
    /// And before this (KST): the end of the newest judged interval.
    until: Option<DateTime<FixedOffset>>,
    /// The bundles whose forecasts are judged here, ascending.
    bundles: Vec<String>,
    /// Over all horizons.
    overall: Score,
    /// By horizon, ascending.
    horizons: Vec<HorizonScore>,
}

#[derive(Serialize, ToSchema)]
pub struct HorizonScore {
    /// Steps ahead, from 1.
    horizon: i64,
    #[serde(flatten)]
    score: Score,
}

/// Scores of the median and of the interval. Null where nothing can be said.
#[derive(Serialize, ToSchema)]
pub struct Score {
    /// Forecasts that met what came.
    count: i64,
    /// Mean absolute error of p50, in the target's unit.
    mae: Option<f64>,
    /// Sum of the absolute errors over the sum of what came.
    wape: Option<f64>,
    /// Mean absolute error over that of the value 168 h before (`naive_week`), on those forecasts for which it had one: the same as
    /// 1 − `skill.naive_week`.
    mase: Option<f64>,
    /// Share of what came that lay within p10 and p90, both included; 0.8 is meant.
    coverage: Option<f64>,
    /// 1 − error / naive error, on those forecasts for which the rule had a value; above 0 is better than the rule.
    skill: Skill,
}

/// Skill against each naive rule.
#[derive(Serialize, ToSchema)]
pub struct Skill {
    /// Against the newest value known at the origin.
    naive_last: Option<f64>,
    /// Against the newest value known of that hour of the day.
    naive_day: Option<f64>,
    /// Against the value 168 h before.
    naive_week: Option<f64>,
    /// Against the mean of the last four values known of that hour of the week.
    naive_week_mean: Option<f64>,
}

/// How good the forecasts of the last days have been.
#[utoipa::path(
    get, path = "/v1/accuracy/{target}", tag = "forecasts",
    params(
        ("target" = String, Path, description = "Name of the target", example = "traffic_volume"),
        ("days" = Option<u32>, Query, description = "Days back from the newest judged interval, 7 if left out", minimum = 1, maximum = 92),
        ("bundle" = Option<String>, Query, description = "Only forecasts of this bundle: its id, or `champion` for the one in use")
    ),
    responses(
        (status = 200, body = Accuracy),
        (status = 304, description = "What the client holds is still so"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Unknown target"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The lake can't be read")
    )
)]
pub async fn get(State(app): State<Arc<App>>, Names(name): Names<String>, request: Request) -> Response {
    app.answer(request, &[Part::Accuracy, Part::Forecasts], |mut asked| async move {
        let target = target(&name)?;
        let days = asked.params.integer("days", 1, DAYS_MAX).unwrap_or(DAYS_DEFAULT);
        let bundle = asked.params.text("bundle");
        asked.params.finish()?;
        let bundle = match bundle.as_deref() {
            Some("champion") => {
                let champion = asked.edition.headline(target).champion.as_ref();
                Some(champion.map(|champion| champion.bundle.clone()).ok_or_else(|| Problem::no_champion(target.name))?)
            }
            _ => bundle,
        };
        Ok(Body::json(&judge(&asked.app.lake, target, days, bundle.as_deref()).await?))
    })
    .await
}

async fn judge(lake: &Lake, target: &'static Target, days: u32, bundle: Option<&str>) -> anyhow::Result<Accuracy> {
    let mut accuracy = Accuracy {
        target: target.name,
        unit: target.unit,
        from: None,
        until: None,
        bundles: Vec::new(),
        overall: Sums::default().score(),
        horizons: Vec::new(),
    };
    let filter = match bundle {
        Some(bundle) => format!("target = {} AND bundle = {}", text_literal(target.name), text_literal(bundle)),
        None => format!("target = {}", text_literal(target.name)),
    };
    let rows = Rows::of(lake, &format!("SELECT max(valid_at) AS newest_at FROM forecast.accuracy WHERE {filter}")).await?;
    let newest = rows.instants("newest_at")?;
    let Some(newest) = (rows.count() > 0).then(|| newest.get(0)).flatten() else { return Ok(accuracy) };
    let until = newest + target.step();
    let from = until - TimeDelta::days(days.into());
    accuracy.from = Some(kst(from));
    accuracy.until = Some(kst(until));
    let window = format!("{filter} AND valid_at >= {} AND valid_at < {}", instant_literal(from), instant_literal(until));
    let bundles =
        Rows::of(lake, &format!("SELECT DISTINCT bundle FROM forecast.accuracy WHERE {window} ORDER BY bundle")).await?;
    accuracy.bundles = bundles.texts("bundle")?.iter().flatten().map(str::to_owned).collect();
    let by_horizon = sums(lake, &window).await?;
    accuracy.overall = by_horizon.iter().fold(Sums::default(), |all, (_, sums)| all.plus(sums)).score();
    accuracy.horizons =
        by_horizon.iter().map(|(horizon, sums)| HorizonScore { horizon: *horizon, score: sums.score() }).collect();
    Ok(accuracy)
}

/// What scores are made of, by `forecaster`'s definitions; sums of sums are the sums of all.
#[derive(Clone, Default)]
struct Sums {
    count: i64,
    error: f64,
    actual: f64,
    covered: i64,
    /// For each naive rule: our error and its, where it had a value.
    against: [(f64, f64); NAIVE.len()],
}

impl Sums {
    fn plus(mut self, other: &Sums) -> Sums {
        self.count += other.count;
        self.error += other.error;
        self.actual += other.actual;
        self.covered += other.covered;
        for (mine, (ours, naive)) in self.against.iter_mut().zip(other.against) {
            mine.0 += ours;
            mine.1 += naive;
        }
        self
    }

    fn score(&self) -> Score {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| places(part / whole));
        let skill = |rule: usize| {
            let (ours, naive) = self.against[rule];
            (naive > 0.0).then(|| places(1.0 - ours / naive))
        };
        Score {
            count: self.count,
            mae: share(self.error, self.count as f64),
            wape: share(self.error, self.actual),
            mase: share(self.against[WEEK].0, self.against[WEEK].1),
            coverage: share(self.covered as f64, self.count as f64),
            skill: Skill { naive_last: skill(0), naive_day: skill(1), naive_week: skill(2), naive_week_mean: skill(3) },
        }
    }
}

/// To four places: finer than any of these is known.
fn places(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

async fn sums(lake: &Lake, window: &str) -> anyhow::Result<Vec<(i64, Sums)>> {
    let against: String = NAIVE
        .iter()
        .map(|rule| {
            format!(
                ", sum(CASE WHEN {rule} IS NOT NULL THEN error END) AS ours_{rule}, sum(abs(actual - {rule})) AS theirs_{rule}"
            )
        })
        .collect();
    let sql = format!(
        "SELECT horizon, count(*) AS count, sum(error) AS error, sum(abs(actual)) AS actual, \
         sum(CASE WHEN actual >= p10 AND actual <= p90 THEN 1 ELSE 0 END) AS covered{against} \
         FROM (SELECT *, abs(actual - p50) AS error FROM forecast.accuracy WHERE {window}) GROUP BY horizon ORDER BY horizon"
    );
    let rows = Rows::of(lake, &sql).await?;
    let (horizon, count, covered) = (rows.integers("horizon")?, rows.integers("count")?, rows.integers("covered")?);
    let (error, actual) = (rows.floats("error")?, rows.floats("actual")?);
    let mut against = Vec::new();
    for rule in NAIVE {
        against.push((rows.floats(&format!("ours_{rule}"))?, rows.floats(&format!("theirs_{rule}"))?));
    }
    // A sum over no row is null, and adds nothing.
    let sum = |column: &arrow::array::Float64Array, row: usize| crate::rows::number(column, row).unwrap_or(0.0);
    let sums = (0..horizon.len()).map(|row| {
        let sums = Sums {
            count: count.value(row),
            error: error.value(row),
            actual: actual.value(row),
            covered: covered.value(row),
            against: std::array::from_fn(|rule| (sum(&against[rule].0, row), sum(&against[rule].1, row))),
        };
        (horizon.value(row), sums)
    });
    Ok(sums.collect())
}
