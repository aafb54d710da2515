//! What the lake says and does when its store fails: faults are put in at the store's edge.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Compaction, Lake, LakeError, Mark, Outcome, Place, Windows};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};

use super::rows::*;

#[derive(Clone)]
enum Fault {
    /// The write is done, and its answer is lost.
    AnswerLost,
    /// The write is not done, for this reason of the operating system.
    Errno(i32),
    /// The write is done after something else has been.
    Meanwhile(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault")
    }
}

/// A store whose next writes of files ending in `suffix` fail.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    suffix: &'static str,
    fault: Fault,
    left: Arc<AtomicU32>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a faulty {}", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let struck = location.as_ref().ends_with(self.suffix)
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !struck {
            return self.inner.put_opts(location, payload, options).await;
        }
        let errno = match &self.fault {
            Fault::Errno(errno) => *errno,
            Fault::Meanwhile(something) => {
                something().await;
                return self.inner.put_opts(location, payload, options).await;
            }
            Fault::AnswerLost => {
                self.inner.put_opts(location, payload, options).await?;
                104 // connection reset by peer
            }
        };
        Err(object_store::Error::Generic { store: "faulty", source: Box::new(std::io::Error::from_raw_os_error(errno)) })
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A lake whose store fails `left` times, once told so.
async fn faulty(suffix: &'static str, fault: Fault) -> (tempfile::TempDir, Lake, Arc<AtomicU32>) {
    let folder = tempfile::tempdir().unwrap();
    let (lake, left) = faulty_in(&folder, suffix, fault).await;
    (folder, lake, left)
}

async fn faulty_in(folder: &tempfile::TempDir, suffix: &'static str, fault: Fault) -> (Lake, Arc<AtomicU32>) {
    let left = Arc::new(AtomicU32::new(0));
    let decorate = |inner: Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
        Arc::new(Faulty { inner, suffix, fault: fault.clone(), left: left.clone() })
    };
    let place = Place::open(&url(folder)).unwrap().decorated(decorate);
    (Lake::open_at(place).await.unwrap(), left)
}

fn marks() -> [Mark; 1] {
    [Mark { app_id: "traffic_volume/0".into(), from: None, to: 1 }]
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_recognised() {
    let (_folder, lake, left) = faulty("1.json", Fault::AnswerLost).await;
    left.store(1, Ordering::SeqCst);
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let outcome = table.append(&[observed(&[("A-01", 1, 0, 5, 0)])], &marks()).await.unwrap();
    assert_eq!((outcome, left.load(Ordering::SeqCst)), (Outcome::Committed { version: 1 }, 0));
    table.reload().await.unwrap();
    assert_eq!((table.version(), offsets(&table.scan(None).await.unwrap())), (1, vec![0]));
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_tried_again() {
    let (_folder, lake, left) = faulty("1.json", Fault::Errno(110)).await; // connection timed out
    left.store(2, Ordering::SeqCst);
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let outcome = table.append(&[observed(&[("A-01", 1, 0, 5, 0)])], &marks()).await.unwrap();
    assert_eq!((outcome, left.load(Ordering::SeqCst)), (Outcome::Committed { version: 1 }, 0));
}

#[tokio::test]
async fn a_store_that_stays_away_is_told_as_such_and_nothing_is_committed() {
    let (_folder, lake, left) = faulty("1.json", Fault::Errno(110)).await;
    left.store(u32::MAX, Ordering::SeqCst);
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let error = table.append(&[observed(&[("A-01", 1, 0, 5, 0)])], &marks()).await.unwrap_err();
    assert!(matches!(error, LakeError::Unreachable { .. }) && error.is_passing(), "{error:?}");
    left.store(0, Ordering::SeqCst);
    let outcome = table.append(&[observed(&[("A-01", 1, 0, 5, 0)])], &marks()).await.unwrap();
    assert_eq!((outcome, offsets(&table.scan(None).await.unwrap())), (Outcome::Committed { version: 1 }, vec![0]));
}

#[tokio::test]
async fn no_room_on_the_disk_is_told_and_goes_on_when_there_is() {
    for suffix in [".parquet", "1.json"] {
        let (folder, lake, left) = faulty(suffix, Fault::Errno(28)).await;
        left.store(1, Ordering::SeqCst);
        let mut table = lake.table(&OBSERVED).await.unwrap();
        let error = table.append(&[observed(&[("A-01", 1, 0, 5, 0)])], &marks()).await.unwrap_err();
        assert!(matches!(error, LakeError::NoRoom { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("/observed/traffic_volume/") && message.contains("free some space"), "{message}");
        let outcome = table.append(&[observed(&[("A-01", 1, 0, 5, 0)])], &marks()).await.unwrap();
        assert_eq!((outcome, table.rows()), (Outcome::Committed { version: 1 }, Some(1)));
        assert_eq!(super::commits::parquet_files(&folder), 1, "a commit that found no room leaves no file behind");
    }
}

#[tokio::test]
async fn a_place_that_may_not_be_written_is_told_as_such() {
    let (_folder, lake, left) = faulty(".parquet", Fault::Errno(13)).await;
    left.store(1, Ordering::SeqCst);
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let error = table.append(&[observed(&[("A-01", 1, 0, 5, 0)])], &marks()).await.unwrap_err();
    assert!(matches!(error, LakeError::Denied { .. }) && error.to_string().contains("not allowed"), "{error:?}");
}

#[tokio::test]
async fn a_place_of_an_unknown_kind_is_refused_with_an_example() {
    let error = Lake::open(&"ftp://host/lake".parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("\"ftp\"") && error.contains("file:///srv/lake"), "{error}");
}

#[tokio::test]
async fn a_compaction_gives_way_to_a_replacement_that_was_quicker() {
    let (folder, quick) = lake().await;
    let mut table = quick.table(&HOURLY).await.unwrap();
    for hours in 0..4 {
        table.append(&[hourly(&[(hours, 1)])], &[]).await.unwrap();
    }
    let replace = move || {
        let mut table = table.clone();
        let replacing = async move { table.replace(&Windows::one(hour(0), hour(1)), &[hourly(&[(0, 100)])], &[]).await };
        replacing.map(|outcome| assert_eq!(outcome.unwrap(), Outcome::Committed { version: 5 })).boxed()
    };
    let (slow, left) = faulty_in(&folder, ".parquet", Fault::Meanwhile(Arc::new(replace))).await;
    left.store(1, Ordering::SeqCst);
    let mut table = slow.table(&HOURLY).await.unwrap();
    let compacted = table.compact(&Compaction { small_files_max: 1, fresh_times: 1, ..Default::default() }).await.unwrap();
    assert_eq!((compacted.files_before, compacted.gave_way), (0, 1));
    assert_eq!(hours_and_volumes(&table.scan(None).await.unwrap()), [(0, 100), (1, 1), (2, 1), (3, 1)]);
}

#[tokio::test]
async fn a_replacement_takes_out_what_was_added_to_its_windows_meanwhile() {
    let (folder, quick) = lake().await;
    let table = quick.table(&HOURLY).await.unwrap();
    let append = move || {
        let mut table = table.clone();
        let appending = async move { table.append(&[hourly(&[(0, 7), (5, 7)])], &[]).await };
        appending.map(|outcome| assert_eq!(outcome.unwrap(), Outcome::Committed { version: 1 })).boxed()
    };
    let (slow, left) = faulty_in(&folder, ".parquet", Fault::Meanwhile(Arc::new(append))).await;
    left.store(1, Ordering::SeqCst);
    let mut table = slow.table(&HOURLY).await.unwrap();
    let outcome = table.replace(&Windows::one(hour(0), hour(2)), &[hourly(&[(1, 100)])], &[]).await.unwrap();
    assert_eq!(outcome, Outcome::Committed { version: 2 });
    assert_eq!(hours_and_volumes(&table.scan(None).await.unwrap()), [(1, 100), (5, 7)]);
}
