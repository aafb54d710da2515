//! Files that outlive a power cut: written beside their place, synced, put there in one step, and their folder synced.
//!
//! A kill or a power cut at any moment leaves the old file or the new one, whole; what was answered for is on the disk.
//! The one way to keep a file in this project. It never reads one: what a file should hold is its reader's business.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a file is called until it is whole: its name, this, and a number.
const UNFINISHED: char = '#';

/// Puts a file at `path`, in the place of the one that may be there. Missing folders are made.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, Place::Replace, |file| file.write_all(bytes))
}

/// Puts a file at `path` where none is; [`ErrorKind::AlreadyExists`] where one is. Of several that try, one succeeds.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, Place::Create, |file| file.write_all(bytes))
}

/// How a written file gets to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Replace,
    Create,
}

/// The same for what `fill` writes. Where it fails, nothing is left behind.
pub fn write(path: &Path, place: Place, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (mut file, unfinished) = begin(path, folder)?;
    let placed = fill(&mut file).and_then(|()| file.sync_data()).and_then(|()| match place {
        Place::Replace => std::fs::rename(&unfinished, path),
        Place::Create => std::fs::hard_link(&unfinished, path),
    });
    if placed.is_err() || place == Place::Create {
        // What could not be removed is swept up later.
        let _ = std::fs::remove_file(&unfinished);
    }
    placed.and_then(|()| sync_folder(folder))
}

/// Makes a folder's list of files durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and those above it, so that they outlive a power cut.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(parent)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    sync_folder(parent)
}

/// Removes unfinished files below `folder` that nobody has written to for `age`: a kill left them. Says how many.
pub fn sweep(folder: &Path, age: Duration) -> io::Result<usize> {
    let mut swept = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            swept += sweep(&entry.path(), age)?;
        } else if is_unfinished(&entry.file_name()) {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = written.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed > age));
            if is_old && std::fs::remove_file(entry.path()).is_ok() {
                swept += 1;
            }
        }
    }
    Ok(swept)
}

/// Whether a file of that name is one that [`write()`] has not finished.
pub fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.rsplit_once(UNFINISHED)).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A new file beside `path`. Several may be begun at once, by several processes.
fn begin(path: &Path, folder: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 1;
    loop {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!("{UNFINISHED}{number}"));
        match OpenOptions::new().write(true).create_new(true).open(&unfinished) {
            Ok(file) => return Ok((file, unfinished.into())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == ErrorKind::NotFound && !folder.is_dir() => make_folder(folder)?,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_or_created_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(create(&path, b"three").unwrap_err().kind(), ErrorKind::AlreadyExists);
        create(&path.with_file_name("other"), b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["file", "other"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        let failed = write(&path, Place::Replace, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from_raw_os_error(28))
        });
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(28));
        assert_eq!((std::fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["file".to_owned()]));
    }

    #[test]
    fn what_a_kill_left_is_swept_up_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("observed");
        std::fs::create_dir(&below).unwrap();
        for name in ["part-1.parquet#1", "part-1.parquet", "a#b", "notes#"] {
            std::fs::write(below.join(name), "x").unwrap();
        }
        assert_eq!(sweep(folder.path(), Duration::from_secs(3600)).unwrap(), 0, "somebody may be writing it");
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(sweep(folder.path(), Duration::ZERO).unwrap(), 1);
        assert_eq!(names(&below), ["a#b", "notes#", "part-1.parquet"]);
    }
}
