//! What PostgreSQL's clients ask the server about itself: a few functions and the schema `pg_catalog`.
//!
//! As much as psql's `\d`, `\dt`, `\dn`, `\l` and drivers' first questions need: it is read from the session's own
//! catalog at each statement. Whatever is not there is an error (42P01, 42883), never an empty table that looks like
//! an answer; a table that is truly empty here, as of triggers, is empty.

mod functions;
mod tables;

use std::sync::Arc;

pub(super) use tables::is_empty;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::prelude::SessionContext;

/// Name of the one role: everything belongs to it.
pub(super) const OWNER: &str = "hangang";

/// The session with `pg_catalog` and PostgreSQL's functions, for one client.
pub(super) fn extend(session: SessionContext, user: &str, pid: i32) -> SessionContext {
    for function in functions::all(user, pid) {
        session.register_udf(function);
    }
    if let Some(inner) = session.catalog(crate::CATALOG) {
        session.register_catalog(crate::CATALOG, Arc::new(Extended { inner }));
    }
    session
}

/// The lake's catalog and one schema more.
#[derive(Debug)]
struct Extended {
    inner: Arc<dyn CatalogProvider>,
}

impl CatalogProvider for Extended {
    fn schema_names(&self) -> Vec<String> {
        let mut names = self.inner.schema_names();
        names.push("pg_catalog".to_owned());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            "pg_catalog" => Some(Arc::new(PgCatalog { lake: Arc::clone(&self.inner) })),
            // Where a name without a schema is looked for, as PostgreSQL looks in pg_catalog first.
            "public" => Some(Arc::new(Public {
                pg_catalog: PgCatalog { lake: Arc::clone(&self.inner) },
                public: self.inner.schema(name)?,
            })),
            name => self.inner.schema(name),
        }
    }
}

#[derive(Debug)]
struct PgCatalog {
    lake: Arc<dyn CatalogProvider>,
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        tables::NAMES.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        tables::table(name, &*self.lake).await
    }

    fn table_exist(&self, name: &str) -> bool {
        tables::NAMES.contains(&name)
    }
}

#[derive(Debug)]
struct Public {
    pg_catalog: PgCatalog,
    public: Arc<dyn SchemaProvider>,
}

#[async_trait]
impl SchemaProvider for Public {
    fn table_names(&self) -> Vec<String> {
        self.public.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.pg_catalog.table(name).await? {
            Some(table) => Ok(Some(table)),
            None => self.public.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.pg_catalog.table_exist(name) || self.public.table_exist(name)
    }
}
