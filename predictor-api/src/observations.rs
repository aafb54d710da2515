//! What came: a target's observed values, read from its rollup.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::Array;
use catalog::{Kind, Target, kst};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use lake::Lake;
use tokio::sync::Mutex;

use crate::rows::{Rows, instant_literal, text_literal};

/// How far back one looks to learn what is usual.
pub const USUAL_DAYS: i64 = 28;
/// The share of a series' steps that are less busy than its busy hour.
pub const BUSY_QUANTILE: f64 = 0.95;
/// An interval counts as there when this share of the series seen lately has a value: late ones may follow.
const THERE_SHARE: f64 = 0.5;
/// What "lately" means.
const LATELY_HOURS: i64 = 48;

/// One interval of a series.
pub struct Observation {
    pub observed_at: DateTime<Utc>,
    pub value: f64,
    /// How many parts it is the sum of, where the target counts them.
    pub parts: Option<i64>,
}

/// A series that has been seen lately.
pub struct Seen {
    pub series: String,
    pub newest_at: DateTime<Utc>,
}

/// Start of the newest interval for which most series have a value; none where nothing has been observed.
pub async fn newest_whole(lake: &Lake, target: &Target) -> anyhow::Result<Option<DateTime<Utc>>> {
    let Some(newest) = newest(lake, target).await? else { return Ok(None) };
    let sql = format!(
        "SELECT observed_at, count(*) AS series FROM {} WHERE observed_at > {} GROUP BY observed_at ORDER BY observed_at DESC",
        table(target),
        instant_literal(newest - TimeDelta::hours(LATELY_HOURS))
    );
    let rows = Rows::of(lake, &sql).await?;
    let (observed_at, counts) = (rows.instants("observed_at")?, rows.integers("series")?);
    let most = counts.values().iter().max().copied().unwrap_or_default();
    let there = counts.values().iter().position(|&count| count as f64 >= THERE_SHARE * most as f64);
    there.map(|row| observed_at.at(row)).transpose()
}

/// The values of one interval, by series.
pub async fn at(lake: &Lake, target: &Target, observed_at: DateTime<Utc>) -> anyhow::Result<HashMap<String, f64>> {
    let sql = format!(
        "SELECT {} AS series, {} AS value FROM {} WHERE observed_at = {}",
        series_sql(target),
        target.value,
        table(target),
        instant_literal(observed_at)
    );
    by_series(&Rows::of(lake, &sql).await?)
}

/// The series of the last weeks, ascending by id.
pub async fn seen_lately(lake: &Lake, target: &Target) -> anyhow::Result<Vec<Seen>> {
    let Some(newest) = newest(lake, target).await? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {} AS series, max(observed_at) AS newest_at FROM {} WHERE observed_at > {} GROUP BY 1 ORDER BY 1",
        series_sql(target),
        table(target),
        instant_literal(newest - TimeDelta::days(USUAL_DAYS))
    );
    let rows = Rows::of(lake, &sql).await?;
    let (series, newest_at) = (rows.texts("series")?, rows.instants("newest_at")?);
    (0..series.len()).map(|row| Ok(Seen { series: series.value(row).to_owned(), newest_at: newest_at.at(row)? })).collect()
}

/// One series from `from` on, ascending. None where the id can't be one of this target's.
pub async fn of_series(
    lake: &Lake,
    target: &Target,
    series: &str,
    from: DateTime<Utc>,
) -> anyhow::Result<Option<Vec<Observation>>> {
    let Some(filter) = series_filter(target, series) else { return Ok(None) };
    let parts = target.parts.unwrap_or("CAST(NULL AS BIGINT)");
    let sql = format!(
        "SELECT observed_at, {} AS value, {parts} AS parts FROM {} WHERE {filter} AND observed_at >= {} ORDER BY observed_at",
        target.value,
        table(target),
        instant_literal(from)
    );
    let rows = Rows::of(lake, &sql).await?;
    let (observed_at, value, parts) = (rows.instants("observed_at")?, rows.floats("value")?, rows.integers("parts")?);
    let observations = (0..value.len()).filter(|&row| value.is_valid(row)).map(|row| {
        let parts = parts.is_valid(row).then(|| parts.value(row));
        Ok(Observation { observed_at: observed_at.at(row)?, value: value.value(row), parts })
    });
    observations.collect::<anyhow::Result<_>>().map(Some)
}

/// How many parts a value usually has: the most frequent count, of equals the greater. A value with fewer speaks of less
/// than the whole.
pub fn usual_parts(observations: &[Observation]) -> Option<i64> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for parts in observations.iter().filter_map(|observation| observation.parts) {
        *counts.entry(parts).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map(|(parts, _)| parts)
}

/// Each series' busy hour: the value that only one step in twenty of the last weeks exceeded. It moves slowly and costs
/// a look at all of them, so it is read once a city day.
#[derive(Default)]
pub struct BusyHours(Mutex<HashMap<&'static str, (NaiveDate, Arc<HashMap<String, f64>>)>>);

impl BusyHours {
    /// As of the day of `observed_at`.
    pub async fn get(
        &self,
        lake: &Lake,
        target: &Target,
        observed_at: DateTime<Utc>,
    ) -> anyhow::Result<Arc<HashMap<String, f64>>> {
        let mut known = self.0.lock().await;
        let day = kst::date_kst(observed_at);
        if let Some((_, hours)) = known.get(target.name).filter(|(known_day, _)| *known_day == day) {
            return Ok(hours.clone());
        }
        let sql = format!(
            "SELECT {} AS series, approx_percentile_cont(CAST({} AS DOUBLE), {BUSY_QUANTILE}) AS value FROM {} \
             WHERE observed_at > {} AND observed_at <= {} GROUP BY 1",
            series_sql(target),
            target.value,
            table(target),
            instant_literal(observed_at - TimeDelta::days(USUAL_DAYS)),
            instant_literal(observed_at)
        );
        let hours = Arc::new(by_series(&Rows::of(lake, &sql).await?)?);
        known.insert(target.name, (day, hours.clone()));
        Ok(hours)
    }
}

async fn newest(lake: &Lake, target: &Target) -> anyhow::Result<Option<DateTime<Utc>>> {
    let rows = Rows::of(lake, &format!("SELECT max(observed_at) AS newest_at FROM {}", table(target))).await?;
    let newest = rows.instants("newest_at")?;
    Ok((rows.count() > 0).then(|| newest.get(0)).flatten())
}

fn table(target: &Target) -> String {
    target.rollup.table().name.to_string()
}

/// The series' id, as an SQL expression.
fn series_sql(target: &Target) -> String {
    target.series.iter().map(|column| format!("CAST({column} AS VARCHAR)")).collect::<Vec<_>>().join(" || '/' || ")
}

/// What picks one series out of the rollup; none where its parts don't fit the columns.
fn series_filter(target: &Target, series: &str) -> Option<String> {
    let parts: Vec<&str> = series.split('/').collect();
    if parts.len() != target.series.len() {
        return None;
    }
    let terms = target.series.iter().zip(parts).map(|(name, part)| {
        let column =
            target.rollup.columns.iter().find(|column| column.name == *name).expect("a target's series are its rollup's columns");
        match column.kind {
            Kind::Text => Some(format!("{name} = {}", text_literal(part))),
            Kind::Int16 | Kind::Int32 | Kind::Int64 => part.parse::<i16>().ok().map(|number| format!("{name} = {number}")),
            _ => None,
        }
    });
    Some(terms.collect::<Option<Vec<_>>>()?.join(" AND "))
}

/// Columns `series` and `value`, nulls left out.
pub fn by_series(rows: &Rows) -> anyhow::Result<HashMap<String, f64>> {
    let (series, value) = (rows.texts("series")?, rows.floats("value")?);
    let valued = (0..series.len()).filter(|&row| value.is_valid(row));
    Ok(valued.map(|row| (series.value(row).to_owned(), value.value(row))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(parts: Option<i64>) -> Observation {
        Observation { observed_at: DateTime::UNIX_EPOCH, value: 1.0, parts }
    }

    #[test]
    fn the_usual_parts_are_the_most_frequent_and_of_equals_the_greater() {
        let of = |parts: &[Option<i64>]| usual_parts(&parts.iter().copied().map(observation).collect::<Vec<_>>());
        assert_eq!(of(&[Some(3), Some(4), Some(4), None, None, None]), Some(4));
        assert_eq!(of(&[Some(4), Some(3)]), Some(4));
        assert_eq!(of(&[None]), None);
    }

    #[test]
    fn only_an_id_of_the_targets_shape_picks_a_series() {
        let target = Target::by_name("traffic_volume").unwrap();
        assert_eq!(series_filter(target, "A-01/1").as_deref(), Some("spot = 'A-01' AND direction = 1"));
        assert_eq!(series_filter(target, "A'01/2").as_deref(), Some("spot = 'A''01' AND direction = 2"));
        assert_eq!(series_filter(target, "A-01"), None);
        assert_eq!(series_filter(target, "A-01/in"), None);
        assert_eq!(series_filter(target, "A-01/1/1"), None);
    }
}
