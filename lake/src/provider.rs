//! One snapshot of a table as DataFusion reads it: files that cannot hold a wanted row are left out by their
//! statistics, and what the statistics answer (`count(*)`, the newest instant) needs no file at all.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::{DFSchema, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::file::DataFile;
use crate::session::store_url;
use crate::table::Table;

/// Bytes at a file's end that hold its metadata, as a first guess: one read instead of two.
const METADATA_BYTES: usize = 32 * 1024;

/// A table at one snapshot.
pub struct SnapshotTable {
    table: Table,
}

impl SnapshotTable {
    pub fn new(table: Table) -> SnapshotTable {
        SnapshotTable { table }
    }

    /// Files that may hold a row for which all of `filters` are true.
    fn wanted(&self, session: &dyn Session, filters: &[Expr]) -> Result<Vec<Arc<DataFile>>, DataFusionError> {
        let files = self.table.snapshot.by_time();
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(files) };
        let schema = self.schema();
        let filter = session.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
        let builder = PruningPredicateBuilder::new().with_file_schema(schema.clone());
        let Some(predicate) = builder.build(filter) else { return Ok(files) };
        let statistics = files.iter().map(|file| file.statistics.clone()).collect();
        let wanted = predicate.prune(&PrunableStatistics::new(statistics, schema))?;
        Ok(files.into_iter().zip(wanted).filter_map(|(file, wanted)| wanted.then_some(file)).collect())
    }

    fn partitioned(&self, file: &DataFile) -> Result<PartitionedFile, DataFusionError> {
        let path = format!("{}/{}", self.table.declared().name.path(), file.path);
        let meta = ObjectMeta {
            location: Path::parse(path)?,
            last_modified: chrono::DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default(),
            size: file.size as u64,
            e_tag: None,
            version: None,
        };
        Ok(PartitionedFile::new_from_meta(meta).with_metadata_size_hint(METADATA_BYTES).with_statistics(file.statistics.clone()))
    }
}

impl std::fmt::Debug for SnapshotTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at version {}", self.table.declared().name, self.table.version())
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Files are left out by a filter, rows are not: DataFusion filters those itself, while it decodes.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = self.schema();
        let mut files = self.wanted(session, filters)?;
        if let (Some(limit), true) = (limit, filters.is_empty()) {
            files = enough(files, limit);
        }
        if files.is_empty() {
            let projected = match projection {
                Some(columns) => Arc::new(schema.project(columns)?),
                None => schema,
            };
            return Ok(Arc::new(EmptyExec::new(projected)));
        }
        let statistics = Statistics::try_merge_iter(files.iter().map(|file| file.statistics.as_ref()), &schema)?;
        let group = files.iter().map(|file| self.partitioned(file)).collect::<Result<Vec<_>, _>>()?;
        let config = FileScanConfigBuilder::new(store_url(), Arc::new(ParquetSource::new(schema)))
            .with_file_group(FileGroup::new(group))
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn statistics(&self) -> Option<Statistics> {
        let files = self.table.snapshot.files.values();
        Statistics::try_merge_iter(files.map(|file| file.statistics.as_ref()), &self.schema()).ok()
    }
}

/// The newest files that together have `limit` rows.
fn enough(files: Vec<Arc<DataFile>>, limit: usize) -> Vec<Arc<DataFile>> {
    let mut rows = 0;
    let newest = files.into_iter().rev();
    newest
        .take_while(|file| {
            let wanted = rows < limit;
            rows += file.rows().unwrap_or(0);
            wanted
        })
        .collect()
}
