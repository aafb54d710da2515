//! Bulk history into `observed.*` without a broker: files → values → what is new of them → lake and rollups.
//!
//! A file is recognised by its header. All files are read to their end before anything is committed, so that a damaged
//! file or a line that makes no sense imports nothing. Then month after month is landed, one commit each, while the month
//! before is rolled up. An imported row has no topic; a running number stands for its offset, and the mark `import`
//! says the next one.

mod fresh;
mod lines;
mod projection;
mod spots;
mod volume;

use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use catalog::feed::AHEAD_MINUTES_MAX;
use catalog::feeds::{traffic_spot, traffic_volume};
use catalog::{Feed, kst};
use chrono::{DateTime, Datelike, Months, SecondsFormat, TimeDelta, Utc};
use lake::{Lake, LakeError, Mark, Outcome, Table, Windows};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::lines::Lines;
use self::spots::Spot;
use self::volume::{Spots, Value, Volumes};
use crate::land::Landed;
use crate::roll_up::RollUp;

/// How an import dates what it brings. Times are city times, UTC.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions {
    /// Rows that would have been received later are left out; none: all are imported.
    pub received_until: Option<DateTime<Utc>>,
    /// The import's own time: a value that differs from what is there was received now.
    pub now: DateTime<Utc>,
}

/// What an import came to, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Lines read, headers aside.
    pub lines: u64,
    /// Lines without a value: no observation.
    pub empty: u64,
    /// Received after `received_until`.
    pub left_out: u64,
    /// Given again by a later line, which counts instead.
    pub repeated: u64,
    /// There already, with the same value.
    pub known: u64,
    /// Of these the identity was new …
    pub added: u64,
    /// … and of these it had another value.
    pub revised: u64,
    /// Commits of `observed` tables.
    pub commits: u64,
    /// Rollup windows replaced.
    pub windows: u64,
}

type Tally = ImportReport;

/// Called with what is done and the total, in bytes of the files: a part for reading them, the rest for landing.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read \"{path}\": {source}")]
    Open { path: String, source: io::Error },
    #[error("\"{path}\" is damaged, {}: {source}; nothing was imported: get the file anew", after(*line))]
    Damaged { path: String, line: u64, source: io::Error },
    #[error(
        "\"{path}\" line 1: expected the header \"{}\" or \"{}\", found \"{found}\"; nothing was imported",
        volume::HEADER,
        spots::HEADER
    )]
    Header { path: String, found: String },
    #[error("\"{path}\" line {line}: expected {expected}, found \"{found}\"; nothing was imported")]
    Line { path: String, line: u64, expected: String, found: String },
    #[error("{0}; the import has ended: give the same files again, what is landed already is not landed twice")]
    Lake(#[from] LakeError),
}

/// A file is unpacked piece by piece, so where it is torn is known only to lie after what was read.
fn after(line: u64) -> String {
    if line == 0 { "at or soon after its beginning".to_owned() } else { format!("somewhere after line {line}") }
}

impl ImportError {
    fn line(line: u64, expected: String, found: &[u8]) -> ImportError {
        ImportError::Line { path: String::new(), line, expected, found: shown(found) }
    }

    fn of(self, file: &Path) -> ImportError {
        match self {
            ImportError::Line { line, expected, found, .. } => {
                ImportError::Line { path: file.display().to_string(), line, expected, found }
            }
            other => other,
        }
    }
}

/// A line as a message quotes it.
fn shown(line: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 160;
    let text = String::from_utf8_lossy(line);
    let cut: String = text.chars().filter(|character| !character.is_control()).take(CHARACTERS_MAX).collect();
    if cut.len() < text.trim_end().len() { format!("{cut}…") } else { cut }
}

/// Which times an import takes.
#[derive(Clone, Copy)]
struct Within {
    received_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

impl Within {
    /// Whether a row is taken or left out; none: it speaks of a time that has not come yet.
    fn keeps(&self, observed_at: DateTime<Utc>, received_at: DateTime<Utc>) -> Option<bool> {
        if self.received_until.is_some_and(|until| received_at > until) {
            return Some(false);
        }
        (observed_at <= self.now + TimeDelta::minutes(AHEAD_MINUTES_MAX)).then_some(true)
    }

    fn expected(&self) -> String {
        format!("a time that is not ahead of the city's clock ({})", self.now.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// Imports files, in the given order: of two that speak of the same value the later counts.
pub async fn import(
    lake: &Lake,
    files: &[PathBuf],
    options: ImportOptions,
    progress: Progress<'_>,
) -> Result<ImportReport, ImportError> {
    let mut tally = Tally::default();
    let meter = Meter::new(files, progress)?;
    let mut contents = tokio::task::block_in_place(|| read_all(files, options, &meter, &mut tally))?;
    contents.volumes.sort(&mut tally);
    land_spots(lake, &contents.spots, &options, &mut tally).await?;
    land_volumes(lake, &contents.volumes, &options, &meter, &mut tally).await?;
    meter.landed(1, 1);
    Ok(tally)
}

/// Share of the whole that reading is.
const READING_SHARE: f64 = 0.3;

struct Meter<'a> {
    total: u64,
    progress: Progress<'a>,
}

impl Meter<'_> {
    fn new<'a>(files: &[PathBuf], progress: Progress<'a>) -> Result<Meter<'a>, ImportError> {
        let mut total = 0;
        for file in files {
            total +=
                std::fs::metadata(file).map_err(|source| ImportError::Open { path: file.display().to_string(), source })?.len();
        }
        Ok(Meter { total, progress })
    }

    fn read(&self, bytes: u64) {
        (self.progress)((bytes as f64 * READING_SHARE) as u64, self.total);
    }

    fn landed(&self, done: usize, of: usize) {
        let share = READING_SHARE + (1.0 - READING_SHARE) * done as f64 / of as f64;
        (self.progress)((self.total as f64 * share) as u64, self.total);
    }
}

/// All that the files hold.
#[derive(Default)]
struct Contents {
    spots: Vec<Spot>,
    volumes: Volumes,
}

fn read_all(files: &[PathBuf], options: ImportOptions, meter: &Meter<'_>, tally: &mut Tally) -> Result<Contents, ImportError> {
    let within = Within { received_until: options.received_until, now: options.now };
    let mut contents = Contents::default();
    let mut before = 0;
    for file in files {
        before +=
            read_one(file, within, &mut contents, &|bytes| meter.read(before + bytes), tally).map_err(|error| error.of(file))?;
    }
    Ok(contents)
}

/// Reads one file; gives its size in bytes.
fn read_one(
    file: &Path,
    within: Within,
    contents: &mut Contents,
    read: &dyn Fn(u64),
    tally: &mut Tally,
) -> Result<u64, ImportError> {
    let path = || file.display().to_string();
    let mut lines = Lines::open(file).map_err(|source| ImportError::Open { path: path(), source })?;
    let mut line = 0;
    let damaged = |line| move |source| ImportError::Damaged { path: path(), line, source };
    let first = lines.next().transpose().map_err(damaged(line))?.unwrap_or_default();
    let (header, rest) = first.split_at(first.iter().position(|&byte| byte == b'\n').map_or(first.len(), |end| end + 1));
    line += 1;
    match header.strip_prefix("\u{feff}".as_bytes()).unwrap_or(header).trim_ascii_end() {
        header if header == volume::HEADER.as_bytes() => {
            let mut reader = volume::Reader::new(within, &mut contents.volumes);
            reader.read(rest, &mut line, tally)?;
            while let Some(block) = lines.next() {
                reader.read(&block.map_err(damaged(line))?, &mut line, tally)?;
                read(lines.read_bytes());
            }
        }
        header if header == spots::HEADER.as_bytes() => {
            let mut text = rest.to_vec();
            for block in lines.by_ref() {
                text.extend_from_slice(&block.map_err(damaged(line))?);
            }
            contents.spots.extend(spots::read(&text, &mut line, tally)?);
        }
        found => return Err(ImportError::Header { path: path(), found: shown(found) }),
    }
    read(lines.read_bytes());
    Ok(lines.read_bytes())
}

impl Volumes {
    /// Into the table's order; of values of the same hour, spot and direction the last stays.
    fn sort(&mut self, tally: &mut Tally) {
        if !self.values.is_sorted_by_key(|value| value.key) {
            self.values.sort_by_key(|value| value.key);
        }
        let before = self.values.len();
        self.values.dedup_by(|later, earlier| {
            let same = later.key == earlier.key;
            if same {
                *earlier = *later;
            }
            same
        });
        tally.repeated += (before - self.values.len()) as u64;
    }

    /// The values month by month (KST).
    fn months(&self) -> impl Iterator<Item = &[Value]> {
        self.values.chunk_by({
            let mut end = i64::MIN;
            move |earlier, later| {
                if earlier.hour() >= end {
                    end = month_end(earlier.hour());
                }
                later.hour() < end
            }
        })
    }
}

/// Number of the hour with which the month of `hour` has ended, in KST.
fn month_end(hour: i64) -> i64 {
    let date = kst::date_kst(volume::start(hour));
    let first = date.with_day(1).expect("every month has a first day");
    kst::midnight_kst(first + Months::new(1)).timestamp() / 3600
}

/// The mark that says the next running number.
const APP_ID: &str = "import";

async fn land_spots(lake: &Lake, spots: &[Spot], options: &ImportOptions, tally: &mut Tally) -> Result<(), ImportError> {
    if spots.is_empty() {
        return Ok(());
    }
    let mut table = lake.table(&traffic_spot::FEED.observed().name).await?;
    let landed = land(&mut table, &Brought::Spots(spots), options, tally).await?;
    for mut rollup in RollUp::of(lake, &traffic_spot::FEED).await? {
        tally.windows += rollup.advance(&table, landed.as_ref()).await? as u64;
    }
    Ok(())
}

async fn land_volumes(
    lake: &Lake,
    volumes: &Volumes,
    options: &ImportOptions,
    meter: &Meter<'_>,
    tally: &mut Tally,
) -> Result<(), ImportError> {
    let feed: &'static Feed = &traffic_volume::FEED;
    let mut table = lake.table(&feed.observed().name).await?;
    // The set ends the other task when this one is given up.
    let mut rolling = JoinSet::new();
    let (sender, landed) = mpsc::channel(MONTHS_WAITING_MAX);
    rolling.spawn(roll_up_all(RollUp::of(lake, feed).await?, table.clone(), landed));
    let mut done = 0;
    for month in volumes.months() {
        let brought = Brought::Month { values: month, spots: &volumes.spots };
        if let Some(landed) = land(&mut table, &brought, options, tally).await?
            && sender.send((table.clone(), landed)).await.is_err()
        {
            break; // The other task has failed, and says below how.
        }
        done += month.len();
        meter.landed(done, volumes.values.len());
    }
    drop(sender);
    while let Some(windows) = rolling.join_next().await {
        tally.windows += windows.expect("rolling up does not panic")?;
    }
    Ok(())
}

/// Months landed that wait to be rolled up at most: it bounds the rows in memory.
const MONTHS_WAITING_MAX: usize = 1;

/// Rolls up what an earlier import may have left, then each month as it is landed.
async fn roll_up_all(
    mut rollups: Vec<RollUp>,
    observed: Table,
    mut landed: mpsc::Receiver<(Table, Landed)>,
) -> Result<u64, LakeError> {
    let mut windows = 0;
    for rollup in &mut rollups {
        windows += rollup.advance(&observed, None).await? as u64;
    }
    while let Some((observed, landed)) = landed.recv().await {
        for rollup in &mut rollups {
            windows += rollup.advance(&observed, Some(&landed)).await? as u64;
        }
    }
    Ok(windows)
}

/// From the first value's hour to the end of the last one's.
fn stretch(values: &[Value]) -> Windows {
    match values {
        [first, .., last] => Windows::one(volume::start(first.hour()), volume::start(last.hour() + 1)),
        [only] => Windows::one(volume::start(only.hour()), volume::start(only.hour() + 1)),
        [] => Windows::default(),
    }
}

/// What is landed in one commit.
enum Brought<'a> {
    Spots(&'a [Spot]),
    Month { values: &'a [Value], spots: &'a Spots },
}

impl Brought<'_> {
    /// The rows that are new against a table's snapshot, numbered from `number` on.
    async fn rows(
        &self,
        table: &Table,
        options: &ImportOptions,
        number: i64,
        tally: &mut Tally,
    ) -> Result<RecordBatch, LakeError> {
        match self {
            Brought::Spots(spots) => Ok(spots::rows(spots, &spots::known(&table.scan(None).await?), options, number, tally)),
            Brought::Month { values, spots } => {
                let there = table.scan(Some(&stretch(values))).await?;
                Ok(tokio::task::block_in_place(|| {
                    fresh::rows(values, spots, &fresh::known(&there, spots), options, number, tally)
                }))
            }
        }
    }
}

/// One commit of what is new; none if nothing is. It is looked at anew whenever another import was faster.
async fn land(
    table: &mut Table,
    brought: &Brought<'_>,
    options: &ImportOptions,
    tally: &mut Tally,
) -> Result<Option<Landed>, LakeError> {
    loop {
        let mark = table.mark(APP_ID);
        let number = mark.unwrap_or(0);
        let mut counted = *tally;
        let rows = brought.rows(table, options, number, &mut counted).await?;
        if rows.num_rows() == 0 {
            *tally = counted;
            return Ok(None);
        }
        let before = table.clone();
        let to = number + rows.num_rows() as i64;
        match table.append(std::slice::from_ref(&rows), &[Mark { app_id: APP_ID.to_owned(), from: mark, to }]).await? {
            Outcome::Committed { .. } => {
                counted.commits += 1;
                *tally = counted;
                return Ok(Some(Landed { before, rows, places: Vec::new() }));
            }
            Outcome::Superseded => table.reload().await?,
        }
    }
}
