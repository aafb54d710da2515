//! A rollup's SQL over rows at hand: what [`lake::run_rollup`] gives, quicker where most rows have no second revision.
//!
//! To find each identity's newest revision the query sorts all its rows and opens a window for each identity; but an
//! identity with one row has its newest already. So the rows are parted first, and the query is told. The property test
//! holds what comes out against the plain query over the whole of `observed`.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, not};
use arrow::error::ArrowError;
use catalog::Rollup;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use lake::LakeError;

/// The query runs on the thread that lands; what else there is to do has the other cores.
const PARTITIONS: usize = 1;

static SESSION: LazyLock<SessionContext> =
    LazyLock::new(|| SessionContext::new_with_config(SessionConfig::new().with_target_partitions(PARTITIONS)));

/// Rows of the rollup's table from rows of its feed's `observed`, every revision. Whole windows in, whole windows out.
pub(super) async fn run(rollup: &Rollup, observed: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, LakeError> {
    let (single, repeated) = parts(rollup, observed)?;
    // A context of its own for each run: names in it are nobody else's.
    let context = SessionContext::new_with_state(SESSION.state());
    let sql = rollup.sql_over_parts("single", (!repeated.is_empty()).then_some("repeated"));
    for (name, rows) in [("single", single), ("repeated", repeated)] {
        context.register_table(name, Arc::new(MemTable::try_new(rollup.feed.observed_schema(), vec![rows])?))?;
    }
    let rolled = context.sql(&sql).await?.collect().await?;
    let rolled = rolled.iter().filter(|rows| rows.num_rows() > 0).map(|rows| conform(rollup, rows));
    rolled.collect::<Result<_, _>>().map_err(failed)
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
fn conform(rollup: &Rollup, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rollup.table().schema();
    let columns = schema.fields().iter().map(|field| {
        let column = rows.column_by_name(field.name()).expect("a rollup's query gives the columns that it declares");
        cast(column, field.data_type())
    });
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema, columns)
}

fn failed(error: ArrowError) -> LakeError {
    LakeError::from(DataFusionError::from(error))
}
