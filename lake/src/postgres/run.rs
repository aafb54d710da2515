//! Running a planned read, on threads of its own.
//!
//! A join can compute for seconds before it yields. On threads that nothing else uses it holds up neither the
//! connection that wants to cancel it nor the stages that share the process.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::SqlError;

/// The threads on which queries run.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    pub fn new() -> std::io::Result<Threads> {
        Builder::new_multi_thread().thread_name("sql").enable_all().build().map(|runtime| Threads(Some(runtime)))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken on drop only").handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Without waiting, which must not be done on a thread that serves others.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Batches that wait to be sent: one is made while another is written.
const BATCHES_AHEAD: usize = 1;

/// A running query. Dropped, it stops at its next yield.
pub(super) struct Running {
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    task: AbortOnDropHandle<()>,
}

impl Running {
    pub fn start(plan: &Arc<dyn ExecutionPlan>, context: Arc<TaskContext>, threads: &Threads) -> Running {
        let plan = Arc::clone(plan);
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let task = threads.handle().spawn(async move {
            let mut stream = match execute_stream(plan, context) {
                Ok(stream) => stream,
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            while let Some(batch) = stream.next().await {
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    return;
                }
            }
        });
        Running { batches, task: AbortOnDropHandle::new(task) }
    }

    /// The next batch, or `None` after the last.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        if let Some(batch) = self.batches.recv().await {
            return Some(batch.map_err(SqlError::from));
        }
        // An end without a word is not the end of the rows.
        match (&mut self.task).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, "a query panicked");
                Some(Err(
                    SqlError::new("XX000", "the query ended unexpectedly").hint("this is a defect: please report the statement")
                ))
            }
        }
    }
}

/// The plan with yields behind whatever can make many rows of few: DataFusion itself yields where files are read.
pub(super) fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let expands = |name: &str| name.ends_with("JoinExec") || name == "UnnestExec";
    let wrapped = plan.transform_up(|node| match expands(node.name()) {
        true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)),
        false => Ok(Transformed::no(node)),
    })?;
    Ok(wrapped.data)
}
