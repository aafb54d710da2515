//! Reads everything that the lake keeps, and says what of it is damaged; and puts damaged files of a log aside.
//!
//! It reads the tables' folders as they lie, and opens no table: one that is damaged may not open.

use catalog::TableName;
use url::Url;

use crate::lake::{log_and_files, tables};
use crate::log::Log;
use crate::place::Place;
use crate::{Lake, LakeError};

/// A damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub table: TableName,
    pub kind: DamageKind,
    /// Its path, for people.
    pub file: String,
    /// What is wrong with it.
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// What this version of the table changed is not known, so no later version is either.
    Commit { version: i64 },
    /// Needed only where the commits before it are gone.
    Checkpoint { version: i64 },
    /// Its rows are not known; which they were, is: the path below the table's folder.
    Data { path: String },
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub commits: usize,
    pub checkpoints: usize,
    pub files: usize,
    pub rows: u64,
    pub damaged: Vec<Damage>,
}

/// Reads every commit, checkpoint and row of every table in the lake at `url`, and changes nothing.
pub async fn check(url: &Url) -> Result<Checked, LakeError> {
    let place = Place::open(url)?;
    let mut checked = Checked::default();
    for declared in tables() {
        let name = declared.name.clone();
        let (log, files) = log_and_files(&place, &declared);
        let versions = log.versions().await?;
        let mut note = |kind: DamageKind, error: LakeError| match error {
            LakeError::Damaged { file, detail, .. } => {
                let damage = Damage { table: name.clone(), kind, file, detail };
                if checked.damaged.iter().all(|known| known.file != damage.file) {
                    checked.damaged.push(damage);
                }
                Ok(())
            }
            other => Err(other),
        };
        for &version in &versions.commits {
            checked.commits += 1;
            if let Err(error) = log.read(version).await {
                note(DamageKind::Commit { version }, error)?;
            }
        }
        for &version in &versions.checkpoints {
            checked.checkpoints += 1;
            if let Err(error) = log.read_checkpoint(version).await {
                note(DamageKind::Checkpoint { version }, error)?;
            }
        }
        let snapshot = match log.load().await {
            Ok(snapshot) => snapshot,
            // A commit between two others is gone: the log ends before it.
            Err(error) => {
                let version = versions.gap().unwrap_or(0);
                note(DamageKind::Commit { version }, error)?;
                continue;
            }
        };
        for file in snapshot.files.values() {
            checked.files += 1;
            let damage = match files.read(file, None).await {
                Ok(Some(batches)) => {
                    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
                    checked.rows += rows as u64;
                    let promised = file.rows().filter(|&promised| promised != rows);
                    promised.map(|promised| files.damaged(file, format!("holds {rows} of its {promised} rows")))
                }
                Ok(None) => Some(files.damaged(file, "is gone")),
                Err(error) => Some(error),
            };
            if let Some(error) = damage {
                note(DamageKind::Data { path: file.path.clone() }, error)?;
            }
        }
    }
    Ok(checked)
}

impl Damage {
    /// Puts a damaged commit aside, and what builds on it, or a damaged checkpoint: the table is then as it was before.
    /// The files stay beside the log, named `….damaged`. Says how many. Nobody may be writing to the table.
    ///
    /// # Panics
    /// Where it is a data file that is damaged: the log is whole.
    pub async fn put_aside(&self, url: &Url) -> Result<usize, LakeError> {
        let place = Place::open(url)?;
        let declared = tables().find(|declared| declared.name == self.table).expect("a damaged table is one of the catalog's");
        let (log, _) = log_and_files(&place, &declared);
        match self.kind {
            DamageKind::Commit { version } => log.put_aside(|at, _| at >= version).await,
            DamageKind::Checkpoint { version } => log.put_aside(|at, is_checkpoint| at == version && is_checkpoint).await,
            DamageKind::Data { .. } => panic!("{} is no file of a log", self.file),
        }
    }
}

impl Lake {
    /// What is damaged of this lake as it lies.
    pub async fn check(&self) -> Result<Checked, LakeError> {
        check(self.url()).await
    }
}

/// The versions that a log has files of.
pub(crate) struct Versions {
    pub commits: Vec<i64>,
    pub checkpoints: Vec<i64>,
}

impl Versions {
    /// The first version after the newest checkpoint whose commit is missing below a later one.
    fn gap(&self) -> Option<i64> {
        let first = self.checkpoints.last().map_or(0, |version| version + 1);
        let newest = *self.commits.last()?;
        (first..newest).find(|version| self.commits.binary_search(version).is_err())
    }
}

impl Log {
    async fn versions(&self) -> Result<Versions, LakeError> {
        let listing = self.list().await?;
        let mut commits: Vec<i64> = listing
            .files
            .iter()
            .filter(|(_, file)| file.location.as_ref().ends_with(".json"))
            .map(|(version, _)| *version)
            .collect();
        commits.sort_unstable();
        Ok(Versions { commits, checkpoints: listing.checkpoints.into_iter().collect() })
    }
}
