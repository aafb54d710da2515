//! The lake itself: its place, its tables, and small files beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use catalog::TableName;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use url::Url;

use crate::delta::action::{Action, Format, Metadata, Protocol, READER_VERSION, WRITER_VERSION};
use crate::delta::schema;
use crate::file::Files;
use crate::log::{Log, Operation};
use crate::place::Place;
use crate::session;
use crate::snapshot::Declared;
use crate::table::{Shared, Table};
use crate::{LakeError, maintain};

/// Tables that are opened at once.
const OPEN_AT_ONCE: usize = 8;

/// All tables in one place. Cheap to clone; all clones of a process share what they know of the tables' logs.
#[derive(Clone)]
pub struct Lake(Arc<Inner>);

struct Inner {
    place: Place,
    tables: BTreeMap<TableName, Arc<Shared>>,
    runtime: Arc<RuntimeEnv>,
}

impl Lake {
    /// Opens the lake at `url` (`file:///srv/lake`); makes the folder, and the tables of the catalog that are not there
    /// yet. A table whose columns are not the catalog's is refused.
    pub async fn open(url: &Url) -> Result<Lake, LakeError> {
        Lake::open_at(Place::open(url)?).await
    }

    /// The same in a [`Place`] of one's own making.
    pub async fn open_at(place: Place) -> Result<Lake, LakeError> {
        let runtime = session::runtime(&place)?;
        let opening = tables().map(|declared| {
            let place = &place;
            async move { Ok::<_, LakeError>((declared.name.clone(), Arc::new(open_table(place, declared).await?))) }
        });
        let tables = futures::stream::iter(opening).buffer_unordered(OPEN_AT_ONCE).try_collect().await?;
        Ok(Lake(Arc::new(Inner { place, tables, runtime })))
    }

    pub fn url(&self) -> &Url {
        self.0.place.url()
    }

    /// A table at its newest snapshot.
    pub async fn table(&self, name: &TableName) -> Result<Table, LakeError> {
        let shared = self.shared(name)?.clone();
        let snapshot = shared.refresh().await?;
        Ok(Table { shared, snapshot })
    }

    /// The stored tables' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &TableName> {
        self.0.tables.keys()
    }

    /// Keeps a small file at `path` below the lake's root; one that is there already is replaced in one step.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let path = self.path(path)?;
        let put = self.0.place.store().put(&path, bytes.into()).await;
        put.map(|_| ()).map_err(|error| LakeError::of("keeping a file", self.at(&path), &error))
    }

    /// What was put at `path`.
    pub async fn get(&self, path: &str) -> Result<Bytes, LakeError> {
        let path = self.path(path)?;
        let failed = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => LakeError::NotFound {
                what: path.to_string(),
                at: self.url().to_string(),
                hint: "it was never put there, or has been removed since",
            },
            error => LakeError::of("reading a file", self.at(&path), &error),
        };
        self.0.place.store().get(&path).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    /// Paths of the small files below a folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let folder = self.path(folder)?;
        let entries = self.0.place.store().list(Some(&folder)).map_ok(|entry| entry.location.to_string());
        entries.try_collect().await.map_err(|error| LakeError::of("listing files", self.at(&folder), &error))
    }

    /// Removes a small file; one that is not there is no error.
    pub async fn remove(&self, path: &str) -> Result<(), LakeError> {
        let path = self.path(path)?;
        match self.0.place.store().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(LakeError::of("removing a file", self.at(&path), &error)),
        }
    }

    pub(crate) fn shared(&self, name: &TableName) -> Result<&Arc<Shared>, LakeError> {
        self.0.tables.get(name).ok_or_else(|| LakeError::NotFound {
            what: name.to_string(),
            at: self.url().to_string(),
            hint: "only the catalog's tables are",
        })
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (&TableName, &Arc<Shared>)> {
        self.0.tables.iter()
    }

    pub(crate) fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.0.runtime
    }

    fn path(&self, path: &str) -> Result<Path, LakeError> {
        Path::parse(path).map_err(|error| LakeError::of("naming a file", path, &error))
    }

    fn at(&self, path: &Path) -> String {
        format!("{}{path}", self.url())
    }
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lake({})", self.url())
    }
}

async fn open_table(place: &Place, declared: catalog::Table) -> Result<Shared, LakeError> {
    let (log, files) = log_and_files(place, &declared);
    let mut snapshot = log.load().await?;
    if snapshot.version < 0 {
        create(&log, &declared).await?;
        snapshot = log.load().await?;
    }
    Ok(Shared::new(declared, log, files, snapshot))
}

/// The tables that a lake holds.
pub(crate) fn tables() -> impl Iterator<Item = catalog::Table> {
    catalog::tables::all().into_iter()
}

/// What reads a table's log, and what reads its files.
pub(crate) fn log_and_files(place: &Place, declared: &catalog::Table) -> (Log, Files) {
    let store = place.table(&declared.name);
    let at = place.at(&declared.name);
    let schema = declared.schema();
    let time = schema.index_of(declared.time).expect("a table's time is one of its columns");
    let apart = declared.apart.map(|column| schema.index_of(column).expect("what keeps a table's files apart is a column"));
    let replayed = Declared { name: declared.name.to_string(), schema: schema.clone(), time, apart };
    let name = declared.name.to_string();
    let log = Log { store: store.clone(), declared: replayed, at: at.clone() };
    (log, Files { store, name, at, schema, time, apart })
}

/// Commits version 0. Where another process did so meanwhile, that one's is taken.
async fn create(log: &Log, declared: &catalog::Table) -> Result<(), LakeError> {
    let protocol = Protocol { min_reader_version: READER_VERSION, min_writer_version: WRITER_VERSION };
    let metadata = Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        name: Some(declared.name.to_string()),
        description: Some(declared.comment.to_owned()),
        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string: schema::to_json(&declared.schema()),
        partition_columns: Vec::new(),
        created_time: Some(chrono::Utc::now().timestamp_millis()),
        configuration: maintain::table_properties().map(|(key, value)| (key.to_owned(), value)).into(),
    };
    let actions = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
    let commit = log.prepare(actions, &Operation::Create, BTreeMap::new());
    log.write(0, &commit).await.map(|_| ())
}
