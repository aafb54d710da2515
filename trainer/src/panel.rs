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

/// Every state of the cells in some windows.
#[derive(Default)]
struct States {
    /// Ids of the series, each with its number among these states.
    numbers: HashMap<String, u32>,
    states: Vec<State>,
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
        // Asked after the snapshot was taken, so that it names every series of it.
        let names = series(lake, target, from, to).await?;
        let seconds = u64::try_from((to - from).num_seconds()).context("a history ends after its beginning")?;
        let steps = usize::try_from(seconds.div_ceil(target.step_seconds as u64))?;
        let mut history = History::new(names, from, target.step(), steps)?;
        let mut newest_received_at = None;
        let mut begin = from;
        // Stretch by stretch into its place, so that nothing but the history holds the whole.
        while begin < to {
            let end = (begin + TimeDelta::days(CHUNK_DAYS)).min(to);
            let states = States::read(target, &table, &Windows::one(begin, end)).await?;
            let places = states.places(&history).context("a series came into a snapshot that was taken before")?;
            newest_received_at = newest_received_at.max(states.insert(&places, &mut history)?);
            begin = end;
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
        let windows = Windows::starting_at(touched.iter().copied(), self.target.step());
        let states = States::read(self.target, table, &windows).await?;
        let Some(places) = states.places(&self.history) else { return Ok(false) };
        let history = Arc::make_mut(&mut self.history);
        for &observed_at in touched {
            history.forget(observed_at)?;
        }
        self.newest_received_at = self.newest_received_at.max(states.insert(&places, history)?);
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

/// Ids of the series of which there are rows in a stretch.
async fn series(lake: &Lake, target: &Target, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<String>> {
    let columns = target.series.join(", ");
    let sql = format!(
        "SELECT DISTINCT {columns} FROM {} WHERE observed_at >= TIMESTAMP '{}' AND observed_at < TIMESTAMP '{}'",
        target.rollup.feed.observed().name,
        from.to_rfc3339(),
        to.to_rfc3339()
    );
    let batches = lake.query(&sql).await.with_context(|| format!("asking for the series of \"{}\"", target.name))?;
    let mut series = Vec::new();
    for batch in &batches {
        let ids = Ids::of(target, batch)?;
        for row in 0..batch.num_rows() {
            let mut id = String::new();
            ids.write(row, &mut id);
            series.push(id);
        }
    }
    Ok(series)
}

impl States {
    async fn read(target: &Target, table: &Table, windows: &Windows) -> Result<States> {
        let rows = table.scan(Some(windows)).await?;
        let mut states = States::default();
        if rows.iter().any(|batch| batch.num_rows() > 0) {
            for batch in revisions(target.rollup, rows).await? {
                states.collect(target, &batch)?;
            }
        }
        Ok(states)
    }

    /// Where a history has these series, by number; none where it lacks one.
    fn places(&self, history: &History) -> Option<Vec<usize>> {
        let mut places = vec![0; self.numbers.len()];
        for (id, &number) in &self.numbers {
            places[number as usize] = history.index_of(id)?;
        }
        Some(places)
    }

    /// Puts all into their places, and gives when the newest was received.
    fn insert(self, places: &[usize], history: &mut History) -> Result<Option<DateTime<Utc>>> {
        let newest = self.states.iter().map(|state| state.revision.received_at).max();
        for State { series, observed_at, revision } in self.states {
            history.insert(places[series as usize], observed_at, revision)?;
        }
        Ok(newest)
    }

    fn collect(&mut self, target: &Target, batch: &RecordBatch) -> Result<()> {
        let ids = Ids::of(target, batch)?;
        let values = cast(column(batch, target.value)?, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let parts = target.parts.map(|name| Ok::<_, anyhow::Error>(cast(column(batch, name)?, &DataType::Int64)?)).transpose()?;
        let parts = parts.as_ref().map(|parts| parts.as_primitive::<Int64Type>());
        let observed_at = column(batch, "observed_at")?.as_primitive::<TimestampMicrosecondType>();
        let known_at = column(batch, "known_at")?.as_primitive::<TimestampMicrosecondType>();
        let mut id = String::new();
        for row in (0..batch.num_rows()).filter(|&row| values.is_valid(row)) {
            ids.write(row, &mut id);
            let series = match self.numbers.get(&id) {
                Some(&number) => number,
                None => {
                    let number = u32::try_from(self.numbers.len()).context("fewer series than four thousand million")?;
                    self.numbers.insert(id.clone(), number);
                    number
                }
            };
            let parts = match parts.filter(|parts| parts.is_valid(row)) {
                Some(parts) => Some(u16::try_from(parts.value(row)).context("a count of parts")?),
                None => None,
            };
            let revision = Revision { value: values.value(row), parts, received_at: instant(known_at.value(row))? };
            self.states.push(State { series, observed_at: instant(observed_at.value(row))?, revision });
        }
        Ok(())
    }
}

/// The columns that name a series.
struct Ids(Vec<Arc<dyn Array>>);

impl Ids {
    fn of(target: &Target, batch: &RecordBatch) -> Result<Ids> {
        Ok(Ids(target.series.iter().map(|name| Ok(cast(column(batch, name)?, &DataType::Utf8)?)).collect::<Result<_>>()?))
    }

    /// Makes `id` the id of a row's series.
    fn write(&self, row: usize, id: &mut String) {
        id.clear();
        for (index, column) in self.0.iter().enumerate() {
            id.push_str(if index > 0 { record::SERIES_SEPARATOR } else { "" });
            id.push_str(column.as_string::<i32>().value(row));
        }
    }
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
