//! `ops.commits` and `ops.feeds`: what the tables' logs tell an operator. Computed when asked for, stored nowhere.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use catalog::column::schema;
use catalog::{Column, FEEDS, Kind};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use crate::delta::action::Action;
use crate::table::Shared;
use crate::{Lake, LakeError, statistics};

/// The computed tables of schema `ops`.
pub(crate) const NAMES: [&str; 2] = ["commits", "feeds"];
/// Commits of one table that are shown, the newest: some hours at the city's default speed, 200 bytes each.
const COMMITS_MAX: i64 = 2000;
/// Commits that are fetched at once.
const READ_AHEAD: usize = 16;

static COMMITS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema([
        Column::new("table_name", Kind::Text, "table, as observed.traffic_volume"),
        Column::new("version", Kind::Int64, "version of the table that the commit made"),
        Column::new("committed_at", Kind::Instant, "real time (UTC) of the commit, not city time").nullable(),
        Column::new("operation", Kind::Text, "WRITE adds or replaces rows, OPTIMIZE joins files, CREATE TABLE"),
        Column::new(
            "rows_added",
            Kind::Int64,
            "rows in the files that it added; a compaction or a replacement writes kept rows anew",
        )
        .nullable(),
        Column::new("files_added", Kind::Int64, "files that it added"),
        Column::new("files_removed", Kind::Int64, "files that it took out"),
        Column::new("marks", Kind::Text, "how far its sources are landed with it, as JSON: topic/partition to next offset"),
    ])
});

static FRESHNESS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema([
        Column::new("feed", Kind::Text, "name of the feed"),
        Column::new("title", Kind::Text, "what it is"),
        Column::new("rows", Kind::Int64, "rows in observed, every revision counted").nullable(),
        Column::new("newest_observed_at", Kind::Instant, "start (UTC) of the newest interval that was observed").nullable(),
        Column::new("newest_received_at", Kind::Instant, "city time (UTC) at which the newest row was received").nullable(),
        Column::new("version", Kind::Int64, "version of observed.<feed>"),
        Column::new("files", Kind::Int64, "files of observed.<feed>"),
    ])
});

/// The computed table of that name.
pub(crate) fn computed(lake: &Lake, name: &str) -> Option<Arc<dyn TableProvider>> {
    let what = match name {
        "commits" => What::Commits,
        "feeds" => What::Feeds,
        _ => return None,
    };
    Some(Arc::new(Computed { lake: lake.clone(), what }))
}

#[derive(Clone, Copy, Debug)]
enum What {
    Commits,
    Feeds,
}

#[derive(Debug)]
struct Computed {
    lake: Lake,
    what: What,
}

#[async_trait]
impl TableProvider for Computed {
    fn schema(&self) -> SchemaRef {
        match self.what {
            What::Commits => COMMITS.clone(),
            What::Feeds => FRESHNESS.clone(),
        }
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let rows = match self.what {
            What::Commits => commits(&self.lake).await?,
            What::Feeds => feeds(&self.lake).await?,
        };
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema(), projection.cloned())?)
    }
}

async fn feeds(lake: &Lake) -> Result<RecordBatch, LakeError> {
    let mut tables = Vec::new();
    for feed in FEEDS {
        tables.push((feed, lake.table(&feed.observed().name).await?));
    }
    let newest = |column: &str| -> ArrayRef {
        let newest = tables.iter().map(|(_, table)| {
            let column = table.schema().index_of(column).expect("every feed has it");
            table.snapshot.files.values().filter_map(|file| statistics::newest(&file.statistics, column)).max()
        });
        Arc::new(newest.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(tables.iter().map(|(feed, _)| feed.name))),
        Arc::new(StringArray::from_iter_values(tables.iter().map(|(feed, _)| feed.title))),
        Arc::new(tables.iter().map(|(_, table)| table.rows().map(|rows| rows as i64)).collect::<Int64Array>()),
        newest("observed_at"),
        newest("received_at"),
        Arc::new(Int64Array::from_iter_values(tables.iter().map(|(_, table)| table.version()))),
        Arc::new(Int64Array::from_iter_values(tables.iter().map(|(_, table)| table.file_count() as i64))),
    ];
    batch(&FRESHNESS, columns)
}

/// The newest [`COMMITS_MAX`] commits of every table, as far as the logs still have them, in order.
async fn commits(lake: &Lake) -> Result<RecordBatch, LakeError> {
    let mut rows: Vec<(String, i64, Commit)> = Vec::new();
    for (name, shared) in lake.tables() {
        let known = shared.commits.of(shared).await?;
        rows.extend(known.into_iter().map(|(version, commit)| (name.to_string(), version, commit)));
    }
    let long = |of: &dyn Fn(&Commit) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(|(_, _, commit)| of(commit)).collect::<Int64Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(name, _, _)| name))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, version, _)| *version))),
        Arc::new(
            rows.iter().map(|(_, _, commit)| commit.committed_at).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, _, commit)| &commit.operation))),
        long(&|commit| commit.rows_added),
        long(&|commit| Some(commit.files_added)),
        long(&|commit| Some(commit.files_removed)),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, _, commit)| &commit.marks))),
    ];
    batch(&COMMITS, columns)
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, LakeError> {
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| LakeError::of("reading the logs", "ops", &error))
}

/// What one commit did.
#[derive(Clone, Debug)]
struct Commit {
    /// Microseconds.
    committed_at: Option<i64>,
    operation: String,
    rows_added: Option<i64>,
    files_added: i64,
    files_removed: i64,
    marks: String,
}

/// A table's commits as far as they have been asked for. A commit never changes, so each is read once.
#[derive(Default)]
pub(crate) struct Commits(Mutex<BTreeMap<i64, Commit>>);

impl Commits {
    async fn of(&self, shared: &Shared) -> Result<BTreeMap<i64, Commit>, LakeError> {
        let newest = shared.refresh().await?.version;
        let missing: Vec<i64> = {
            let known = self.0.lock().expect("no holder of the commits panics");
            let from = known.keys().next_back().map_or(0, |newest| newest + 1);
            (from.max(newest - COMMITS_MAX + 1)..=newest).rev().collect()
        };
        // From the newest back to where the log begins.
        let reads = futures::stream::iter(missing)
            .map(|version| async move { shared.log.read(version).await.map(|actions| (version, actions)) });
        let reads = reads.buffered(READ_AHEAD).try_take_while(|(_, actions)| futures::future::ready(Ok(actions.is_some())));
        let read: Vec<(i64, Commit)> = reads
            .try_filter_map(|(version, actions)| async move { Ok(actions.map(|actions| (version, Commit::of(&actions)))) })
            .try_collect()
            .await?;
        let mut known = self.0.lock().expect("no holder of the commits panics");
        known.extend(read);
        *known = known.split_off(&(newest - COMMITS_MAX + 1));
        Ok(known.clone())
    }
}

impl Commit {
    fn of(actions: &[Action]) -> Commit {
        let mut commit = Commit {
            committed_at: None,
            operation: String::new(),
            rows_added: Some(0),
            files_added: 0,
            files_removed: 0,
            marks: String::new(),
        };
        let mut marks = BTreeMap::new();
        for action in actions {
            match action {
                Action::Add(add) => {
                    let stats: Option<Value> = add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok());
                    let rows = stats.and_then(|stats| stats["numRecords"].as_i64());
                    commit.rows_added = commit.rows_added.zip(rows).map(|(sum, rows)| sum + rows);
                    commit.files_added += 1;
                }
                Action::Remove(_) => commit.files_removed += 1,
                Action::Txn(mark) => {
                    marks.insert(mark.app_id.clone(), Value::from(mark.version));
                }
                Action::CommitInfo(info) => {
                    commit.committed_at = info.timestamp.map(|millis| millis * 1000);
                    commit.operation = info.operation.clone().unwrap_or_default();
                }
                _ => {}
            }
        }
        commit.marks = Value::from_iter(marks).to_string();
        commit
    }
}
