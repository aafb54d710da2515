//! Where the lake lies: the one module that knows which object stores there are.
//!
//! `file://` today. A further store is one more arm of [`Place::open`]: an [`ObjectStore`] rooted at the lake, whose
//! `put` with `PutMode::Create` is atomic, is all that the rest of the lake asks for.

mod folder;

use std::sync::Arc;
use std::time::Duration;

use catalog::TableName;
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::LakeError;

/// An unfinished file that nobody has written to for this long was left by a kill.
const UNFINISHED_AGE: Duration = Duration::from_secs(3600);

/// The lake's root.
#[derive(Clone, Debug)]
pub struct Place {
    url: Url,
    /// Its paths begin at the lake's root.
    store: Arc<dyn ObjectStore>,
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
        durable::make_folder(&path).map_err(|error| failed(&error))?;
        if let Err(error) = durable::sweep(&path, UNFINISHED_AGE) {
            tracing::debug!(%error, path = %path.display(), "unfinished files stay until the next start");
        }
        let store = folder::Folder::new(&path).map_err(|error| failed(&error))?;
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Place { url, store: Arc::new(store) })
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

    /// A table's folder, files and log.
    pub(crate) fn table(&self, table: &TableName) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(self.store.clone(), table.path()))
    }

    fn table_url(&self, table: &TableName) -> Url {
        self.url.join(&format!("{}/", table.path())).expect("a table's path is made of plain words")
    }
}
