//! A checkpoint: what all commits up to a version say, as rows of a Parquet file, an action each.
//!
//! The rows are a commit's lines in columns, so both are read by one parser.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::action::{Action, Line, from_bytes};

/// What a reader of version 1 needs of a checkpoint.
const WANTED: [&str; 5] = ["txn", "add", "remove", "metaData", "protocol"];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let action = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(fields.into()), true);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), text("value")]);
    let entries = Arc::new(Field::new("key_value", DataType::Struct(entries), false));
    let map = |name: &str| Field::new(name, DataType::Map(entries.clone(), false), true);
    let texts = Field::new("partitionColumns", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true);
    let format = Fields::from(vec![text("provider"), map("options")]);
    Arc::new(Schema::new(vec![
        action("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        action(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                map("tags"),
                text("stats"),
            ],
        ),
        action(
            "remove",
            vec![
                text("path"),
                long("deletionTimestamp"),
                flag("dataChange"),
                flag("extendedFileMetadata"),
                map("partitionValues"),
                long("size"),
            ],
        ),
        action(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                Field::new("format", DataType::Struct(format), true),
                text("schemaString"),
                texts,
                map("configuration"),
                long("createdTime"),
            ],
        ),
        action(
            "protocol",
            vec![Field::new("minReaderVersion", DataType::Int32, true), Field::new("minWriterVersion", DataType::Int32, true)],
        ),
    ]))
});

/// The file of a checkpoint that holds `actions`.
pub fn to_bytes(actions: Vec<Action>) -> Result<Bytes, ParquetError> {
    let lines: Vec<Line> = actions.into_iter().map(Line::from).collect();
    let mut decoder = ReaderBuilder::new(SCHEMA.clone()).with_batch_size(lines.len().max(1)).build_decoder()?;
    decoder.serialize(&lines)?;
    let rows = decoder.flush()?.ok_or_else(|| ParquetError::General("a checkpoint without actions".into()))?;
    let level = ZstdLevel::try_new(1).expect("1 is a level");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, SCHEMA.clone(), Some(properties))?;
    writer.write(&rows)?;
    writer.close()?;
    Ok(bytes.into())
}

/// The actions of a checkpoint's file, ours or another writer's; or what is wrong with it.
pub fn from_file(bytes: Bytes) -> Result<Vec<Action>, String> {
    let failed = |error: &dyn std::error::Error| format!("cannot be read: {error}");
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| failed(&error))?;
    let columns = builder.parquet_schema().root_schema().get_fields().iter().enumerate();
    let wanted: Vec<usize> = columns.filter(|(_, column)| WANTED.contains(&column.name())).map(|(index, _)| index).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let mut lines = Vec::new();
    for batch in builder.with_projection(mask).build().map_err(|error| failed(&error))? {
        let mut writer = LineDelimitedWriter::new(&mut lines);
        writer.write(&batch.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
    }
    from_bytes(&lines)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::action::{Add, Format, Metadata, Protocol, Remove, Txn};
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_written() {
        let actions = vec![
            Action::Protocol(Protocol { min_reader_version: 1, min_writer_version: 2 }),
            Action::Metadata(Metadata {
                id: "1".into(),
                name: Some("rollup.traffic_hourly".into()),
                description: None,
                format: Format { provider: "parquet".into(), options: BTreeMap::new() },
                schema_string: "{}".into(),
                partition_columns: vec![],
                created_time: Some(3),
                configuration: BTreeMap::from([("delta.logRetentionDuration".into(), "interval 1 day".into())]),
            }),
            Action::Txn(Txn { app_id: "traffic_volume/0#1".into(), version: i64::MAX }),
            Action::Remove(Remove { path: "b.parquet".into(), deletion_timestamp: Some(4), ..Remove::default() }),
            Action::Add(Add { path: "a b.parquet".into(), size: 5, stats: Some("{\"numRecords\":1}".into()), ..Add::default() }),
        ];
        assert_eq!(from_file(to_bytes(actions.clone()).unwrap()).unwrap(), actions);
    }

    #[test]
    fn a_damaged_one_says_so() {
        assert!(from_file(Bytes::new()).is_err());
        assert!(from_file(Bytes::from_static(b"PAR1 and nothing more")).is_err());
    }
}
