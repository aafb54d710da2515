//! The data folder: one process at a time, and one city for ever.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::config::{Config, Source};

/// A data folder that this process holds alone.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is new, and takes it for this process.
    pub fn hold(path: &Path) -> anyhow::Result<Folder> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("cannot make the data folder \"{}\"; choose another with --data DIR", path.display()))?;
        let lock = File::create(path.join("lock")).with_context(|| format!("cannot write to \"{}\"", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another hangang runs on \"{}\"; stop it, or choose another folder with --data DIR", path.display())
            }
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the data folder"),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the city's time is kept.
    pub fn clock(&self) -> PathBuf {
        self.path.join("clock")
    }

    /// Remembers the city at the first start, and refuses another one later. Says whether the folder is new.
    pub fn belong(&self, config: &Config) -> anyhow::Result<bool> {
        let file = self.path.join("city");
        let city = identity(config)?;
        match std::fs::read_to_string(&file) {
            Ok(kept) if kept.trim() == city => Ok(false),
            Ok(kept) => bail!(
                "\"{}\" belongs to another city ({}, not {city}); choose another folder with --data DIR, or forget this one with `hangang reset`",
                self.path.display(),
                kept.trim()
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::write(&file, format!("{city}\n")).with_context(|| format!("cannot write \"{}\"", file.display()))?;
                Ok(true)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read \"{}\"", file.display())),
        }
    }
}

/// What makes a city this one and no other.
fn identity(config: &Config) -> anyhow::Result<String> {
    Ok(match &config.city.source {
        Source::Synthetic { seed } => {
            format!("synthetic seed {seed} from {} with {} days before", config.city.start.to_rfc3339(), config.city.history_days)
        }
        Source::Archive { folder } => {
            let folder = folder.canonicalize().with_context(|| format!("cannot find the archive \"{}\"", folder.display()))?;
            format!("archive {} from {}", folder.display(), config.city.start.to_rfc3339())
        }
        Source::Real => "the real Seoul".to_owned(),
    })
}
