//! Small files that are replaced in one step, and folders whose entries are to outlive a power cut.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file so that a kill or a power cut leaves the old or the new one whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&temporary, path)?;
    sync_folder(path.parent().expect("a file lies in a folder"))
}

/// Makes a folder's list of files durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
