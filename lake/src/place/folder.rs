//! A lake on the local disk: what was answered for is there after a power cut.
//!
//! Reading and deleting are `object_store`'s; its writing never syncs. A file that comes back after its deletion is one
//! that nobody asks for.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::Path as FilePath;

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A folder as an object store.
#[derive(Debug)]
pub(super) struct Folder {
    files: LocalFileSystem,
}

impl Folder {
    /// The folder must exist.
    pub fn new(folder: &FilePath) -> Result<Folder> {
        Ok(Folder { files: LocalFileSystem::new_with_prefix(folder)? })
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Folder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let place = match options.mode {
            PutMode::Overwrite => durable::Place::Replace,
            PutMode::Create => durable::Place::Create,
            PutMode::Update(_) => return self.files.put_opts(location, payload, options).await,
        };
        let path = self.files.path_to_filesystem(location)?;
        let written = tokio::task::spawn_blocking(move || {
            let written = durable::write(&path, place, |file| payload.iter().try_for_each(|bytes| file.write_all(bytes)));
            written.map_err(|source| match source.kind() {
                ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.display().to_string(), source: source.into() },
                _ => Error::Generic { store: "folder", source: source.into() },
            })
        });
        written.await??;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}
