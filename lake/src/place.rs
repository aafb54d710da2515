//! Where the lake lies: the one module that knows object stores and log stores.
//!
//! `file://` today. A further store is one more arm of [`Place::open`]: an [`ObjectStore`] rooted at the lake, whose
//! `put` with `PutMode::Create` is atomic, is all that the rest of the lake asks for.

use std::sync::Arc;

use catalog::TableName;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::LakeError;

/// The lake's root.
#[derive(Clone, Debug)]
pub struct Place {
    url: Url,
    /// Its paths begin at the lake's root.
    store: Arc<dyn ObjectStore>,
    /// Its paths begin where `url`'s path begins: the kernel builds absolute paths from URLs.
    whole: Arc<dyn ObjectStore>,
}

impl Place {
    /// Opens the place that `url` names; a folder is made where it is missing.
    pub fn open(url: &Url) -> Result<Place, LakeError> {
        match url.scheme() {
            "file" => Place::folder(url),
            scheme => Err(LakeError::Other {
                doing: "opening the lake",
                at: url.to_string(),
                detail: format!("no store for \"{scheme}\" is built in; give a folder, as file:///srv/lake"),
            }),
        }
    }

    fn folder(url: &Url) -> Result<Place, LakeError> {
        let failed = |error: &(dyn std::error::Error + 'static)| LakeError::of("opening the lake", url.as_str(), error);
        let path = url.to_file_path().map_err(|()| LakeError::Other {
            doing: "opening the lake",
            at: url.to_string(),
            detail: "it is no absolute path; write it as file:///srv/lake".into(),
        })?;
        std::fs::create_dir_all(&path).map_err(|error| failed(&error))?;
        let store = LocalFileSystem::new_with_prefix(&path).map_err(|error| failed(&error))?;
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Place { url, store: Arc::new(store), whole: Arc::new(LocalFileSystem::new()) })
    }

    /// The same place, with its store seen through `decorate`: tests put faults there.
    pub fn decorated(mut self, decorate: impl Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Place {
        self.store = decorate(self.store);
        self
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// What names a table's folder in messages.
    pub(crate) fn at(&self, table: &TableName) -> String {
        self.table_url(table).to_string()
    }

    /// A table's folder: the store of its files, and the log store over it.
    pub(crate) fn table(&self, table: &TableName) -> (Arc<dyn ObjectStore>, LogStoreRef) {
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(self.store.clone(), table.path()));
        let log = default_logstore(store.clone(), self.whole.clone(), &self.table_url(table), &StorageConfig::default());
        (store, log)
    }

    fn table_url(&self, table: &TableName) -> Url {
        self.url.join(&format!("{}/", table.path())).expect("a table's path is made of plain words")
    }
}
