//! A rollup's SQL over rows in hand: open windows come from memory, older ones from the lake, and the query is the same.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::compute::cast;
use arrow::record_batch::RecordBatch;
use catalog::Rollup;
use datafusion::common::config::Dialect;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::LakeError;

/// One part: the rows of some windows are few, and what surrounds a rollup runs beside it.
const PARTITIONS: usize = 1;

static SESSION: LazyLock<SessionContext> = LazyLock::new(|| {
    let mut config = SessionConfig::new().with_target_partitions(PARTITIONS);
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    SessionContext::new_with_config(config)
});
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Runs `rollup` over `observed`: rows of its feed's `observed` schema, every revision. Gives rows of the rollup's
/// table. Whole windows in, whole windows out.
pub async fn run_rollup(rollup: &Rollup, observed: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, LakeError> {
    let source = format!("observed_rows_{}", RUNS.fetch_add(1, Ordering::Relaxed));
    let rows = MemTable::try_new(rollup.feed.observed_schema(), vec![observed])?;
    SESSION.register_table(&source, std::sync::Arc::new(rows))?;
    let rolled = run(rollup, &source).await;
    SESSION.deregister_table(&source)?;
    rolled
}

async fn run(rollup: &Rollup, source: &str) -> Result<Vec<RecordBatch>, LakeError> {
    let batches = SESSION.sql(&rollup.sql(source)).await?.collect().await?;
    batches.iter().filter(|batch| batch.num_rows() > 0).map(|batch| conform(rollup, batch)).collect()
}

/// The query's columns under the names and types of the rollup's table.
fn conform(rollup: &Rollup, batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let table = rollup.table();
    let mismatch = |detail: String| LakeError::schema(&table.name, format!("is not what its query gives: {detail}"));
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| {
        let column = batch.column_by_name(field.name()).ok_or_else(|| mismatch(format!("no column \"{}\"", field.name())))?;
        cast(column, field.data_type()).map_err(|error| mismatch(error.to_string()))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema, columns).map_err(|error| mismatch(error.to_string()))
}
