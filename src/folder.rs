//! The data folder: one process at a time, one city for ever, and nothing in it deleted that we did not make.
//!
//! A marker in it says that it is ours. It is written before anything else, and never where something stands already that
//! has one of our names and is not ours: so whatever has one of our names in a marked folder was made by us.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::config::{Config, Source};

const MARKER: &str = "hangang-data";
const MARKER_TEXT: &str = "Hangang keeps a city here. `hangang reset` deletes what it made, and nothing else.\n";
/// The line that says whose city it is.
const CITY: &str = "city";

/// What we make at the top of a data folder, and the names that it has below; none for a file, or a folder whose every
/// entry is ours.
const MADE: [(&str, &[&str]); 8] = [
    ("history", &["traffic_spots.csv", "traffic_volume.csv.gz"]),
    ("imported", &[]),
    ("asked", &[]),
    ("broker", &["topics", "node.json", "producer-ids", "offsets", "lock"]),
    ("lake", &["observed", "rollup", "forecast", "ops", "models", "imports"]),
    ("clock", &[]),
    (CITY, &[]),
    ("lock", &[]),
];

/// A data folder that this process holds alone.
pub struct Folder {
    path: PathBuf,
    /// It was no data folder before, and nothing has been kept in it yet.
    is_new: bool,
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is new, and takes it for this process.
    pub fn hold(path: &Path) -> anyhow::Result<Folder> {
        let is_new = mark(path)?;
        let lock = File::create(path.join("lock")).with_context(|| format!("cannot write to \"{}\"", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { path: path.to_owned(), is_new, _lock: lock }),
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

    /// Refuses a city that is not the one that the folder belongs to. Says whether it belongs to none yet.
    pub fn accept(&self, config: &Config) -> anyhow::Result<bool> {
        let (file, city) = (self.path.join(CITY), identity(config)?);
        let kept = match std::fs::read(&file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error).with_context(|| format!("cannot read \"{}\"", file.display())),
        };
        if kept == city {
            return Ok(false);
        }
        if !is_identity(&kept) {
            tracing::warn!(file = %file.display(), "the line that says whose city this is is damaged; it is taken for {city}, and kept anew");
            durable::replace(&file, format!("{city}\n").as_bytes())
                .with_context(|| format!("cannot write \"{}\"", file.display()))?;
            return Ok(false);
        }
        bail!("\"{}\" belongs to another city ({kept}, not {city}); {}", self.path.display(), way_on(&kept, config))
    }

    /// Remembers the city that the folder belongs to from now on.
    pub fn belong(&mut self, config: &Config) -> anyhow::Result<()> {
        self.is_new = false;
        let file = self.path.join(CITY);
        if file.exists() {
            return Ok(());
        }
        durable::replace(&file, format!("{}\n", identity(config)?).as_bytes())
            .with_context(|| format!("cannot write \"{}\"", file.display()))
    }

    /// Whether a folder holds, or held, a city of ours.
    pub fn is_ours(path: &Path) -> bool {
        path.join(MARKER).is_file() || is_older(path)
    }

    /// Deletes what we made in it. Says what stays: it was put there by somebody else.
    pub fn forget(self) -> anyhow::Result<Vec<PathBuf>> {
        for (name, below) in MADE.into_iter().chain([(MARKER, &[][..])]) {
            let entry = self.path.join(name);
            match below {
                [] => remove(&entry)?,
                below => below.iter().try_for_each(|name| remove(&entry.join(name)))?,
            }
            // Only where nothing of anybody's is left in it.
            match std::fs::remove_dir(&entry) {
                Err(error)
                    if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory) =>
                {
                    return Err(error).with_context(|| format!("cannot remove \"{}\"", entry.display()));
                }
                _ => {}
            }
        }
        let mut stays = Vec::new();
        for (name, _) in MADE {
            stays.extend(std::fs::read_dir(self.path.join(name)).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        Ok(stays)
    }
}

impl Drop for Folder {
    /// A start that was refused leaves nothing behind.
    fn drop(&mut self) {
        if !self.is_new {
            return;
        }
        for name in ["clock", "lock", MARKER] {
            let _ = std::fs::remove_file(self.path.join(name));
        }
        // Others' files, or a folder that was there before, stay.
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// Makes a folder ours, before anything is made in it; refuses one that holds something of another's by one of our names.
/// Says whether it was not ours before.
pub fn mark(path: &Path) -> anyhow::Result<bool> {
    let hint = "choose another with --data DIR";
    durable::make_folder(path).with_context(|| format!("cannot make the data folder \"{}\"; {hint}", path.display()))?;
    if path.join(MARKER).is_file() {
        return Ok(false);
    }
    let is_older = is_older(path);
    let others: Vec<&str> = MADE.iter().map(|(name, _)| *name).filter(|name| path.join(name).exists()).collect();
    if !is_older && !others.is_empty() {
        bail!(
            "\"{}\" holds \"{}\", which Hangang did not make, and it would keep its own by that name; {hint}",
            path.display(),
            others.join("\", \"")
        );
    }
    durable::replace(&path.join(MARKER), MARKER_TEXT.as_bytes())
        .with_context(|| format!("cannot write to \"{}\"; {hint}", path.display()))?;
    Ok(!is_older)
}

/// Whether the lake lies in the data folder.
pub fn holds_lake(config: &Config) -> bool {
    let lake = config.lake_url.to_file_path();
    lake.is_ok_and(|lake| std::path::absolute(&config.data).is_ok_and(|data| lake.starts_with(data)))
}

/// Whether a folder without a marker was kept by a version that had none: by its city, its broker or its tables.
fn is_older(path: &Path) -> bool {
    let city = std::fs::read_to_string(path.join(CITY)).is_ok_and(|city| is_identity(city.trim()));
    city || path.join("broker/node.json").is_file() || path.join("lake/observed/traffic_volume/_delta_log").is_dir()
}

fn remove(entry: &Path) -> anyhow::Result<()> {
    let removed = if entry.is_dir() { std::fs::remove_dir_all(entry) } else { std::fs::remove_file(entry) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::NotADirectory => {
            Err(error).with_context(|| format!("cannot remove \"{}\"", entry.display()))
        }
        _ => Ok(()),
    }
}

const SYNTHETIC: &str = "synthetic seed ";
const ARCHIVE: &str = "archive ";
const REAL: &str = "the real Seoul";

/// What makes a city this one and no other.
fn identity(config: &Config) -> anyhow::Result<String> {
    Ok(match &config.city.source {
        Source::Synthetic { seed } => {
            format!("{SYNTHETIC}{seed} from {} with {} days before", config.city.start.to_rfc3339(), config.city.history_days)
        }
        Source::Archive { folder } => {
            let folder = folder.canonicalize().with_context(|| format!("cannot find the archive \"{}\"", folder.display()))?;
            format!("{ARCHIVE}{} from {}", folder.display(), config.city.start.to_rfc3339())
        }
        Source::Real => REAL.to_owned(),
    })
}

/// Whether a kept line says whose city it is.
fn is_identity(line: &str) -> bool {
    line == REAL || (line.contains(" from ") && (line.starts_with(SYNTHETIC) || line.starts_with(ARCHIVE)))
}

/// How to go on with the folder's own city, before how to forget it.
fn way_on(kept: &str, config: &Config) -> String {
    let words: Vec<&str> = kept.split_whitespace().collect();
    let after = |word: &str| words.iter().position(|found| *found == word).and_then(|at| words.get(at + 1)).copied();
    let own = match (kept.strip_prefix(ARCHIVE).and_then(|rest| rest.rsplit_once(" from ")), after("seed"), after("from")) {
        (Some((folder, start)), ..) => format!("--archive {folder} --start {start}"),
        (None, Some(seed), Some(start)) => {
            let days = after("with").filter(|days| *days != config.city.history_days.to_string());
            let days = days.map(|days| format!(" --set city.history_days={days}")).unwrap_or_default();
            format!("--seed {seed} --start {start}{days}")
        }
        _ => "--set city.source=real".to_owned(),
    };
    format!("go on with it by {own}, choose another folder with --data DIR, or forget this one with `hangang reset`")
}
