//! The history of a target, read from the lake: every state of every cell, and when it was known.
//!
//! What was known at an instant is the rollup's query over the rows of `observed` received by then (design decision 4).
//! So the query runs once for each moment at which a window's rows came ([`Rollup::sql_by`] with `known_at` leading its
//! keys), over `observed` alone: the rollup's own table holds the newest revision only, and would leak. A panel follows
//! the table: a refresh reads what was added, and re-reads just the windows that it touches.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use catalog::{Rollup, Target, record};
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use forecaster::{History, Revision};
use lake::{Lake, Table, Windows};

/// Stretch of `observed` that is read and queried at a time: a week of lanes is some 200,000 rows.
const CHUNK_DAYS: i64 = 7;
/// Room behind the last step, so that a panel that follows the table is made anew once in so long.
const ROOM_DAYS: i64 = 7;

/// A target's history and how far it has followed the lake.
pub struct Panel {
    lake: Lake,
    target: &'static Target,
    from: DateTime<Utc>,
    history: Arc<History>,
    observed_version: i64,
    newest_received_at: Option<DateTime<Utc>>,
}

/// One state of one cell.
struct State {
    series: u32,
    observed_at: DateTime<Utc>,
    revision: Revision,
}

impl Panel {
    /// Reads the steps from `from` (rounded down to the grid) up to `to`, and leaves room for some days more.
    pub async fn load(lake: &Lake, target: &'static Target, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Panel> {
        let (rollup, feed) = (target.rollup, target.rollup.feed);
        ensure!(
            rollup.window_seconds == feed.interval_seconds && target.step_seconds == rollup.window_seconds,
            "target \"{}\": its step, its rollup's window and its feed's interval are not the same; such a panel is not known yet",
            target.name
        );
        let from = catalog::kst::floor(from, target.step());
        let to = to.max(from) + TimeDelta::days(ROOM_DAYS);
        let table =
            lake.table(&feed.observed().name).await.with_context(|| format!("reading the history of \"{}\"", target.name))?;
        let (mut numbers, mut states) = (HashMap::new(), Vec::new());
        let mut begin = from;
        while begin < to {
            let end = (begin + TimeDelta::days(CHUNK_DAYS)).min(to);
            read_states(target, &table, &Windows::one(begin, end), &mut numbers, &mut states).await?;
            begin = end;
        }
        let mut names: Vec<String> = vec![String::new(); numbers.len()];
        numbers.into_iter().for_each(|(name, number): (String, u32)| names[number as usize] = name);
        let seconds = u64::try_from((to - from).num_seconds()).context("a history ends after its beginning")?;
        let steps = usize::try_from(seconds.div_ceil(target.step_seconds as u64))?;
        let mut history = History::new(names.clone(), from, target.step(), steps)?;
        let places: Vec<usize> = names.iter().map(|name| history.index_of(name).expect("it was just given")).collect();
        let mut newest_received_at = None;
        for state in states {
            newest_received_at = newest_received_at.max(Some(state.revision.received_at));
            history.insert(places[state.series as usize], state.observed_at, state.revision)?;
        }
        let history = Arc::new(history);
        Ok(Panel { lake: lake.clone(), target, from, history, observed_version: table.version(), newest_received_at })
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    /// The same, shared with work beside the runtime.
    pub fn shared_history(&self) -> Arc<History> {
        self.history.clone()
    }

    /// Version of `observed` that the panel has read.
    pub fn observed_version(&self) -> i64 {
        self.observed_version
    }

    /// When the newest of its rows was received; none where there are none.
    pub fn newest_received_at(&self) -> Option<DateTime<Utc>> {
        self.newest_received_at
    }

    /// Reads what was added to the table since. `until` is up to where forecasts will reach; the panel keeps `days`
    /// behind it. Gives the starts of the windows that were touched.
    pub async fn refresh(&mut self, until: DateTime<Utc>, days: i64) -> Result<BTreeSet<DateTime<Utc>>> {
        let feed = self.target.rollup.feed;
        let table = self.lake.table(&feed.observed().name).await?;
        let added = table.added_since(self.observed_version).await?;
        let mut touched = BTreeSet::new();
        for batch in &added {
            let observed_at = column(batch, "observed_at")?;
            for &micros in observed_at.as_primitive::<TimestampMicrosecondType>().values() {
                touched.insert(self.target.rollup.window_of(instant(micros)?));
            }
        }
        let end = self.history.instant(self.history.steps() as i64);
        let inside: BTreeSet<DateTime<Utc>> = touched.range(self.from..).copied().collect();
        if until > end || inside.last().is_some_and(|&last| last >= end) || !self.take(&table, &inside).await? {
            *self = Panel::load(&self.lake, self.target, until - TimeDelta::days(days), until).await?;
        }
        self.observed_version = self.observed_version.max(table.version());
        Ok(touched)
    }

    /// Reads some windows anew. False where they hold a series that the history doesn't know; then nothing is changed.
    async fn take(&mut self, table: &Table, touched: &BTreeSet<DateTime<Utc>>) -> Result<bool> {
        if touched.is_empty() {
            return Ok(true);
        }
        let (mut numbers, mut states) = (HashMap::new(), Vec::new());
        let windows = Windows::starting_at(touched.iter().copied(), self.target.step());
        read_states(self.target, table, &windows, &mut numbers, &mut states).await?;
        let mut places = vec![0; numbers.len()];
        for (name, number) in numbers {
            let Some(place) = self.history.index_of(&name) else { return Ok(false) };
            places[number as usize] = place;
        }
        let history = Arc::make_mut(&mut self.history);
        for &observed_at in touched {
            history.forget(observed_at)?;
        }
        for state in states {
            self.newest_received_at = self.newest_received_at.max(Some(state.revision.received_at));
            history.insert(places[state.series as usize], state.observed_at, state.revision)?;
        }
        Ok(true)
    }
}

/// The instants of the first and the last row of a target's feed; none where there is none.
pub async fn extent(lake: &Lake, target: &Target) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>> {
    let table = target.rollup.feed.observed().name;
    let batches = lake.query(&format!("SELECT min(observed_at) AS first, max(observed_at) AS last FROM {table}")).await?;
    let Some(batch) = batches.first().filter(|batch| batch.num_rows() > 0 && batch.column(0).is_valid(0)) else {
        return Ok(None);
    };
    let at = |index: usize| -> Result<DateTime<Utc>> {
        let micros = cast(batch.column(index), &catalog::Kind::Instant.data_type())?;
        instant(micros.as_primitive::<TimestampMicrosecondType>().value(0))
    };
    Ok(Some((at(0)?, at(1)?)))
}

async fn read_states(
    target: &Target,
    table: &Table,
    windows: &Windows,
    numbers: &mut HashMap<String, u32>,
    states: &mut Vec<State>,
) -> Result<()> {
    let rows = table.scan(Some(windows)).await?;
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(());
    }
    for batch in revisions(target.rollup, rows).await? {
        collect(target, &batch, numbers, states)?;
    }
    Ok(())
}

/// The rollup as it was known at each moment at which rows of its windows came: its columns behind `known_at`.
async fn revisions(rollup: &Rollup, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let schema = rows[0].schema();
    session.register_table("observed_rows", Arc::new(MemTable::try_new(schema, vec![rows])?))?;
    let keys = rollup.keys.join(", ");
    let same = rollup.keys.iter().map(|key| format!("one.{key} = moment.{key}")).collect::<Vec<_>>().join(" AND ");
    let known = format!(
        "(SELECT one.*, moment.known_at FROM observed_rows one \
          JOIN (SELECT DISTINCT {keys}, received_at AS known_at FROM observed_rows) moment ON {same} \
          WHERE one.received_at <= moment.known_at) AS known"
    );
    let sql = rollup.sql_by(&known, &["known_at"]);
    Ok(session.sql(&sql).await.with_context(|| format!("planning {sql}"))?.collect().await?)
}

fn collect(target: &Target, batch: &RecordBatch, numbers: &mut HashMap<String, u32>, states: &mut Vec<State>) -> Result<()> {
    let series = target.series.iter().map(|name| Ok(cast(column(batch, name)?, &DataType::Utf8)?)).collect::<Result<Vec<_>>>()?;
    let series: Vec<_> = series.iter().map(|column| column.as_string::<i32>()).collect();
    let values = cast(column(batch, target.value)?, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    let parts = target.parts.map(|name| Ok::<_, anyhow::Error>(cast(column(batch, name)?, &DataType::Int64)?)).transpose()?;
    let parts = parts.as_ref().map(|parts| parts.as_primitive::<Int64Type>());
    let observed_at = column(batch, "observed_at")?.as_primitive::<TimestampMicrosecondType>();
    let known_at = column(batch, "known_at")?.as_primitive::<TimestampMicrosecondType>();
    let mut name = String::new();
    for row in 0..batch.num_rows() {
        if values.is_null(row) {
            continue;
        }
        name.clear();
        for (index, column) in series.iter().enumerate() {
            name.push_str(if index > 0 { record::SERIES_SEPARATOR } else { "" });
            name.push_str(column.value(row));
        }
        let number = match numbers.get(&name) {
            Some(&number) => number,
            None => {
                let number = u32::try_from(numbers.len()).context("fewer series than four thousand million")?;
                numbers.insert(name.clone(), number);
                number
            }
        };
        let parts = match parts.filter(|parts| parts.is_valid(row)) {
            Some(parts) => Some(u16::try_from(parts.value(row)).context("a count of parts")?),
            None => None,
        };
        let revision = Revision { value: values.value(row), parts, received_at: instant(known_at.value(row))? };
        states.push(State { series: number, observed_at: instant(observed_at.value(row))?, revision });
    }
    Ok(())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Arc<dyn Array>> {
    match batch.column_by_name(name) {
        Some(column) => Ok(column),
        None => {
            bail!("no column \"{name}\" among {:?}", batch.schema().fields().iter().map(|field| field.name()).collect::<Vec<_>>())
        }
    }
}

fn instant(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).with_context(|| format!("{micros} µs is no instant"))
}
