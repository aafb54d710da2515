//! SQL over the lake: schemas `observed`, `current`, `rollup`, `forecast` and `ops`, read only.
//!
//! A table is looked up when a statement is planned, and is then at its newest snapshot; the statement keeps it to its
//! end. All sessions of a process share one bounded memory; what does not fit spills to disk.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use catalog::{TableName, View, views};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::config::Dialect;
use datafusion::datasource::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::TableType;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::place::Place;
use crate::provider::SnapshotTable;
use crate::{Lake, LakeError, ops};

/// Name of the one catalog: what a PostgreSQL client calls the database.
pub const CATALOG: &str = "hangang";
/// Memory that all queries of a process share, in bytes: with it, a loaded `up` stays under 400 MB.
const MEMORY_BYTES: usize = 128 * 1024 * 1024;
/// Parts that a query is cut into, at most: each holds buffers, and the tables are small.
const PARTITIONS_MAX: usize = 4;
/// Rows that move through a query at once.
const BATCH_ROWS: usize = 8192;

/// Where DataFusion finds the lake's files: a name of our own, as paths of all stores begin at the lake's root.
pub(crate) fn store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("lake://root").expect("it is a URL")
}

pub(crate) fn runtime(place: &Place) -> Result<Arc<RuntimeEnv>, LakeError> {
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES))).build_arc()?;
    runtime.register_object_store(store_url().as_ref(), place.store().clone());
    Ok(runtime)
}

impl Lake {
    /// A session over the whole lake, for one client. It sees each table's newest snapshot at every statement.
    pub fn session(&self) -> SessionContext {
        let partitions = std::thread::available_parallelism().map_or(1, usize::from).min(PARTITIONS_MAX);
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, "public")
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true)
            .with_target_partitions(partitions)
            .with_batch_size(BATCH_ROWS);
        config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
        let session = SessionContext::new_with_config_rt(config, self.runtime().clone());
        session.register_catalog(CATALOG, Arc::new(LakeCatalog { lake: self.clone() }));
        session
    }

    /// The rows of one statement that reads. Whatever would change something is refused.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, LakeError> {
        let frame = self.session().sql_with_options(sql, read_only()).await?;
        Ok(frame.collect().await?)
    }
}

/// What a statement may do: read.
pub fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

#[derive(Debug)]
struct LakeCatalog {
    lake: Lake,
}

impl CatalogProvider for LakeCatalog {
    fn schema_names(&self) -> Vec<String> {
        ["public", "observed", "current", "rollup", "forecast", "ops"].map(str::to_owned).to_vec()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let name = self.schema_names().into_iter().find(|known| known == name)?;
        Some(Arc::new(LakeSchema { lake: self.lake.clone(), name }))
    }
}

#[derive(Debug)]
struct LakeSchema {
    lake: Lake,
    name: String,
}

impl LakeSchema {
    fn stored(&self, table: &str) -> Option<TableName> {
        self.lake.names().find(|name| name.schema == self.name && name.table == table).cloned()
    }

    fn view(&self, table: &str) -> Option<View> {
        views::all().into_iter().find(|view| view.name.schema == self.name && view.name.table == table)
    }

    fn computed(&self, table: &str) -> Option<Arc<dyn TableProvider>> {
        ops::computed(&self.lake, table).filter(|_| self.name == "ops")
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        let stored = self.lake.names().filter(|name| name.schema == self.name).map(|name| name.table.to_owned());
        let views = views::all().into_iter().filter(|view| view.name.schema == self.name).map(|view| view.name.table.to_owned());
        let computed = ops::NAMES.iter().filter(|_| self.name == "ops").map(|&name| name.to_owned());
        stored.chain(views).chain(computed).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(stored) = self.stored(name) {
            let table = self.lake.table(&stored).await?;
            return Ok(Some(Arc::new(SnapshotTable::new(table))));
        }
        if let Some(view) = self.view(name) {
            let plan = self.lake.session().state().create_logical_plan(&view.sql).await?;
            return Ok(Some(Arc::new(ViewTable::new(plan, Some(view.sql)))));
        }
        Ok(self.computed(name))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        let kind = if self.view(name).is_some() { TableType::View } else { TableType::Base };
        Ok(self.table_exist(name).then_some(kind))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.stored(name).is_some() || self.view(name).is_some() || self.computed(name).is_some()
    }
}
