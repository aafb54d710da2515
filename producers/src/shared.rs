//! Where tests find the recordings that are not part of the project: `HANGANG_SHARED`, or `../shared` beside the
//! workspace. Without them a test says that it is skipped; with `HANGANG_DEMAND_SHARED=1` it fails instead.

use std::path::{Path, PathBuf};

pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("HANGANG_SHARED").map_or_else(beside, PathBuf::from).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("HANGANG_DEMAND_SHARED").is_none_or(|demand| demand != "1"),
        "{} is demanded and absent",
        folder.display()
    );
    eprintln!("SKIPPED: {} is absent; set HANGANG_SHARED to the folder that has it", folder.display());
    None
}
