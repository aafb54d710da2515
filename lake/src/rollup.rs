//! A rollup's SQL over rows in hand: open windows come from memory, older ones from the lake, and the query is the same.
//!
//! To find each identity's newest revision the query sorts all its rows and opens a window for each identity; but an
//! identity with one row has its newest already. So the rows are parted first, and the query is told.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{cast, filter_record_batch, not};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use catalog::Rollup;
use datafusion::common::config::Dialect;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::LakeError;

/// One part: the rows of some windows are few, and what surrounds a rollup runs beside it.
const PARTITIONS: usize = 1;

static SESSION: LazyLock<SessionContext> = LazyLock::new(|| {
    let mut config = SessionConfig::new().with_target_partitions(PARTITIONS);
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    SessionContext::new_with_config(config)
});

/// Makes each run's names its own: all runs share one catalog.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Runs `rollup` over `observed`: rows of its feed's `observed` schema, every revision. Gives rows of the rollup's
/// table. Whole windows in, whole windows out.
pub async fn run_rollup(rollup: &Rollup, observed: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, LakeError> {
    let (single, repeated) = parts(rollup, observed)?;
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let single = Named::register(format!("single_{run}"), rollup, single)?;
    let repeated = match repeated.is_empty() {
        true => None,
        false => Some(Named::register(format!("repeated_{run}"), rollup, repeated)?),
    };
    let sql = rollup.sql_over_parts(&single.0, repeated.as_ref().map(|named| named.0.as_str()));
    let batches = SESSION.sql(&sql).await?.collect().await?;
    batches.iter().filter(|batch| batch.num_rows() > 0).map(|batch| conform(rollup, batch)).collect()
}

/// Rows under a name, as long as this lives.
struct Named(String);

impl Named {
    fn register(name: String, rollup: &Rollup, rows: Vec<RecordBatch>) -> Result<Named, LakeError> {
        SESSION.register_table(&name, Arc::new(MemTable::try_new(rollup.feed.observed_schema(), vec![rows])?))?;
        Ok(Named(name))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        SESSION.deregister_table(&self.0).expect("a name that was registered can be taken back");
    }
}

/// Rows by whether their identity has others. Identities are told apart by hashes: two that share one are both taken for
/// repeated, which costs time, not truth.
fn parts(rollup: &Rollup, observed: Vec<RecordBatch>) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>), LakeError> {
    let hashes = observed.iter().map(|rows| identities(rollup, rows)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = hashes.concat();
    sorted.sort_unstable();
    let repeated: HashSet<u64> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    if repeated.is_empty() {
        return Ok((observed, Vec::new()));
    }
    let failed = |error: ArrowError| LakeError::from(DataFusionError::from(error));
    let (mut singles, mut repeats) = (Vec::new(), Vec::new());
    for (rows, hashes) in observed.iter().zip(&hashes) {
        let single: BooleanArray = hashes.iter().map(|hash| Some(!repeated.contains(hash))).collect();
        singles.push(filter_record_batch(rows, &single).map_err(failed)?);
        repeats.push(filter_record_batch(rows, &not(&single).map_err(failed)?).map_err(failed)?);
    }
    Ok((singles, repeats))
}

/// Of each row a hash of what it is a revision of: its series and `observed_at`.
fn identities(rollup: &Rollup, rows: &RecordBatch) -> Result<Vec<u64>, LakeError> {
    let columns = rollup.feed.series.iter().chain(&["observed_at"]);
    let columns: Vec<&ArrayRef> =
        columns.map(|name| rows.column_by_name(name).expect("observed has its series and time")).collect();
    let mut hashes = vec![0; rows.num_rows()];
    create_hashes(columns, &RandomState::default(), &mut hashes)?;
    Ok(hashes)
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
