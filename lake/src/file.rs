//! One Parquet file of a table: written whole and sorted by the table's time, read whole or by windows.
//!
//! A file is never changed. Which files are a table's is the log's business ([`crate::snapshot`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{cast, concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::Statistics;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics as ColumnChunkStatistics;
use parquet::schema::types::ColumnPath;

use crate::delta::action::Add;
use crate::snapshot::Declared;
use crate::{LakeError, Windows, statistics};

/// Rows of a row group: small enough that a window of a compacted file costs one or two groups.
const ROW_GROUP_ROWS: usize = 64 * 1024;
/// Rows of one file at most: about 10 MB of traffic, and what one writer holds in memory.
pub(crate) const FILE_ROWS_MAX: usize = 1024 * 1024;
/// Files that are encoded at once, when many rows come together.
const WRITE_AT_ONCE: usize = 2;
/// Rows of a batch as read.
const BATCH_ROWS: usize = 32 * 1024;

/// A file that a snapshot holds.
#[derive(Debug)]
pub(crate) struct DataFile {
    /// Below the table's folder.
    pub path: String,
    pub size: i64,
    pub modified_ms: i64,
    /// The statistics as the log has them.
    stats: Option<String>,
    /// In the order of the table's columns.
    pub statistics: Arc<Statistics>,
    /// Least and greatest time, in microseconds, both included; none where another writer did not say.
    pub times: Option<(i64, i64)>,
    /// The one value of the column that keeps files apart; none where there is no such column, or another writer put
    /// several values together.
    pub part: Option<String>,
}

impl DataFile {
    pub fn new(add: &Add, declared: &Declared) -> DataFile {
        let statistics = statistics::from_json(&declared.schema, add.stats.as_deref());
        DataFile {
            path: add.path.clone(),
            size: add.size,
            modified_ms: add.modification_time,
            stats: add.stats.clone(),
            times: statistics::times(&statistics, declared.time),
            part: declared.apart.and_then(|column| statistics::only_text(&statistics, column)),
            statistics: Arc::new(statistics),
        }
    }

    /// The action that adds it, as a checkpoint has it.
    pub fn add(&self) -> Add {
        Add {
            path: self.path.clone(),
            size: self.size,
            modification_time: self.modified_ms,
            stats: self.stats.clone(),
            ..Add::default()
        }
    }

    pub fn rows(&self) -> Option<usize> {
        self.statistics.num_rows.get_value().copied()
    }

    /// Whether any of its rows may lie in `windows`.
    pub fn touches(&self, windows: &Windows) -> bool {
        self.times.is_none_or(|(least, greatest)| windows.overlap_micros(least, greatest))
    }

    /// Whether any of its rows may be of `part`; every row is where nothing is kept apart.
    pub fn may_hold(&self, part: Option<&str>) -> bool {
        part.zip(self.part.as_deref()).is_none_or(|(wanted, held)| wanted == held)
    }
}

/// What a table's files have in common.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub store: Arc<dyn ObjectStore>,
    /// The table's name and place, for messages.
    pub name: String,
    pub at: String,
    pub schema: SchemaRef,
    /// Position of the table's time column.
    pub time: usize,
    /// Position of the column whose values never share a file.
    pub apart: Option<usize>,
}

impl Files {
    /// Writes rows as files of at most [`FILE_ROWS_MAX`], each sorted by time, and gives the actions that add them.
    /// No rows, no file.
    pub async fn write(&self, rows: &[RecordBatch], data_change: bool) -> Result<Vec<Add>, LakeError> {
        let mut files = Vec::new();
        for rows in self.parted(rows)? {
            files.extend(chunks(&rows, FILE_ROWS_MAX).into_iter().map(|chunk| self.write_one(chunk, data_change)));
        }
        futures::stream::iter(files).buffered(WRITE_AT_ONCE).try_collect().await
    }

    /// Rows by the value of the column that keeps files apart.
    fn parted(&self, rows: &[RecordBatch]) -> Result<Vec<Vec<RecordBatch>>, LakeError> {
        let Some(apart) = self.apart else { return Ok(vec![rows.to_vec()]) };
        let mut parts: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        for batch in rows {
            let values = batch.column(apart).as_string::<i32>();
            for value in values.iter().flatten().collect::<BTreeSet<_>>() {
                let of_part = self.of_part(batch, value)?;
                parts.entry(value.to_owned()).or_default().push(of_part);
            }
        }
        Ok(parts.into_values().collect())
    }

    /// The rows of one part.
    fn of_part(&self, rows: &RecordBatch, part: &str) -> Result<RecordBatch, LakeError> {
        let values = rows.column(self.apart.expect("only such tables have parts")).as_string::<i32>();
        let mask: BooleanArray = values.iter().map(|value| Some(value == Some(part))).collect();
        filter_record_batch(rows, &mask).map_err(|error| self.failed("parting rows", &error))
    }

    async fn write_one(&self, rows: Vec<RecordBatch>, data_change: bool) -> Result<Add, LakeError> {
        let files = self.clone();
        let encoded = tokio::task::spawn_blocking(move || files.encode(&rows)).await.expect("writing a file does not panic");
        let (bytes, stats) = encoded?;
        let path = format!("part-{}.zstd.parquet", uuid::Uuid::new_v4());
        let size = bytes.len() as i64;
        self.store.put(&Path::from(path.as_str()), bytes.into()).await.map_err(|error| self.failed("writing a file", &error))?;
        let modification_time = chrono::Utc::now().timestamp_millis();
        Ok(Add { path, size, modification_time, data_change, stats: Some(stats), ..Add::default() })
    }

    fn encode(&self, rows: &[RecordBatch]) -> Result<(Bytes, String), LakeError> {
        let sorted = self.sorted(rows)?;
        let stats = statistics::to_json(&self.schema, &statistics::of(&sorted));
        let mut bytes = Vec::with_capacity(sorted.num_rows() * 8);
        let mut writer = ArrowWriter::try_new(&mut bytes, self.schema.clone(), Some(properties(&self.schema)))
            .map_err(|error| self.failed("writing a file", &error))?;
        writer.write(&sorted).and_then(|()| writer.close()).map_err(|error| self.failed("writing a file", &error))?;
        Ok((bytes.into(), stats))
    }

    /// All rows as one batch of the table's schema, stably sorted by time.
    pub fn sorted(&self, rows: &[RecordBatch]) -> Result<RecordBatch, LakeError> {
        let rows = concat_batches(&self.schema, rows).map_err(|error| self.failed("joining rows", &error))?;
        let times = self.times(&rows);
        if times.is_sorted() {
            return Ok(rows);
        }
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by_key(|&row| times[row as usize]);
        take_record_batch(&rows, &UInt32Array::from(order)).map_err(|error| self.failed("sorting rows", &error))
    }

    /// The time of each row, in microseconds.
    pub fn times<'a>(&self, rows: &'a RecordBatch) -> &'a [i64] {
        rows.column(self.time).as_primitive::<TimestampMicrosecondType>().values()
    }

    /// Reads a file's rows: all of them, or those in `windows`. None where the file is gone.
    pub async fn read(&self, file: &DataFile, windows: Option<&Windows>) -> Result<Option<Vec<RecordBatch>>, LakeError> {
        let path = Path::parse(&file.path).map_err(|error| self.failed("reading a file", &error))?;
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map_err(|error| self.failed("reading a file", &error))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("reading a file", &error)),
        };
        if bytes.len() as i64 != file.size {
            return Err(self.damaged(file, format!("has {} of its {} bytes", bytes.len(), file.size)));
        }
        let files = self.clone();
        let windows = windows.cloned();
        let decoded = tokio::task::spawn_blocking(move || files.decode(bytes, windows.as_ref()))
            .await
            .expect("reading a file does not panic");
        decoded.map(Some).map_err(|error| match error {
            LakeError::Other { detail, .. } => self.damaged(file, format!("cannot be read: {detail}")),
            other => other,
        })
    }

    pub fn damaged(&self, file: &DataFile, detail: impl Into<String>) -> LakeError {
        LakeError::Damaged { file: format!("{}{}", self.at, file.path), table: self.name.clone(), detail: detail.into() }
    }

    fn decode(&self, bytes: Bytes, windows: Option<&Windows>) -> Result<Vec<RecordBatch>, LakeError> {
        let failed = |error: parquet::errors::ParquetError| self.failed("reading a file", &error);
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?.with_batch_size(BATCH_ROWS);
        if let Some(windows) = windows {
            let time = builder.schema().index_of(self.schema.field(self.time).name()).ok();
            let wanted = (0..builder.metadata().num_row_groups()).filter(|&group| {
                let bounds = time.and_then(|time| builder.metadata().row_group(group).column(time).statistics());
                match bounds {
                    Some(ColumnChunkStatistics::Int64(bounds)) => match (bounds.min_opt(), bounds.max_opt()) {
                        (Some(&least), Some(&greatest)) => windows.overlap_micros(least, greatest),
                        _ => true,
                    },
                    _ => true,
                }
            });
            let wanted = wanted.collect();
            builder = builder.with_row_groups(wanted);
        }
        let mut rows = Vec::new();
        for batch in builder.build().map_err(failed)? {
            let batch = self.conform(&batch.map_err(|error| self.failed("reading a file", &error))?)?;
            let batch = match windows {
                Some(windows) => self.filter(&batch, |time| windows.contains_micros(time))?,
                None => batch,
            };
            if batch.num_rows() > 0 {
                rows.push(batch);
            }
        }
        Ok(rows)
    }

    /// The rows that are of another part than `part`, or lie outside of `windows`.
    pub fn outside(&self, rows: &RecordBatch, part: Option<&str>, windows: &Windows) -> Result<RecordBatch, LakeError> {
        let values = self.apart.map(|column| rows.column(column).as_string::<i32>());
        let is_of = |row: usize| part.zip(values).is_none_or(|(part, values)| values.is_valid(row) && values.value(row) == part);
        let times = self.times(rows);
        let mask = (0..rows.num_rows()).map(|row| Some(!(is_of(row) && windows.contains_micros(times[row]))));
        self.masked(rows, &mask.collect())
    }

    /// The rows whose time is wanted.
    pub fn filter(&self, rows: &RecordBatch, wanted: impl Fn(i64) -> bool) -> Result<RecordBatch, LakeError> {
        self.masked(rows, &self.times(rows).iter().map(|&time| Some(wanted(time))).collect())
    }

    fn masked(&self, rows: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch, LakeError> {
        if mask.true_count() == mask.len() {
            return Ok(rows.clone());
        }
        filter_record_batch(rows, mask).map_err(|error| self.failed("filtering rows", &error))
    }

    /// The same rows under the table's schema: columns by name, other writers' text and instants as ours.
    pub fn conform(&self, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
        if rows.schema_ref() == &self.schema {
            return Ok(rows.clone());
        }
        let columns = self.schema.fields().iter().map(|field| {
            let column = rows
                .column_by_name(field.name())
                .ok_or_else(|| LakeError::schema(&self.at, format!("has rows without column \"{}\"", field.name())))?;
            if column.data_type() == field.data_type() {
                return Ok(column.clone());
            }
            cast(column, field.data_type()).map_err(|error| {
                LakeError::schema(&self.at, format!("has rows whose \"{}\" is no {}: {error}", field.name(), field.data_type()))
            })
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| LakeError::schema(&self.at, format!("got rows that do not fit it: {error}")))
    }

    /// Takes back files that no commit names.
    pub async fn forget(&self, adds: &[Add]) {
        for add in adds {
            if let Err(error) = self.store.delete(&Path::from(add.path.as_str())).await {
                tracing::debug!(%error, path = add.path, "an unneeded file stays until the next vacuum");
            }
        }
    }

    pub fn failed(&self, doing: &'static str, error: &(dyn std::error::Error + 'static)) -> LakeError {
        LakeError::of(doing, self.at.as_str(), error)
    }
}

/// How a file is written. Counts, offsets and instants are near to the ones before them and seldom the same: packed
/// differences are smaller than a dictionary of them, and writing them looks nothing up.
fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level")))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    for field in schema.fields() {
        if matches!(field.data_type(), DataType::Int32 | DataType::Int64 | DataType::Timestamp(..)) {
            let column = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}

/// Cuts batches, in their order, into pieces of at most `rows_max` rows.
fn chunks(rows: &[RecordBatch], rows_max: usize) -> Vec<Vec<RecordBatch>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut room) = (Vec::new(), rows_max);
    for batch in rows {
        let mut start = 0;
        while start < batch.num_rows() {
            let length = room.min(batch.num_rows() - start);
            chunk.push(batch.slice(start, length));
            start += length;
            room -= length;
            if room == 0 {
                chunks.push(std::mem::take(&mut chunk));
                room = rows_max;
            }
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}
