//! `hangang sql`: one question to the lake, answered on standard output.

use std::io::Write;

use anyhow::{Context, anyhow};
use arrow::array::RecordBatch;
use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::stages;

#[derive(Args)]
pub struct SqlArgs {
    /// The question, as "SELECT * FROM rollup.traffic_hourly LIMIT 5"
    query: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

pub async fn run(config: Config, args: SqlArgs) -> anyhow::Result<()> {
    let lake = stages::open_lake(&config).await?;
    let batches = lake.query(&args.query).await.map_err(|error| anyhow!(lake::postgres::told(error)))?;
    let mut out = std::io::stdout().lock();
    match write(&mut out, &batches, args.format) {
        // Whoever reads may stop reading, as `head` does.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        result => result.context("cannot write the answer"),
    }
}

fn write(out: &mut impl Write, batches: &[RecordBatch], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => {
            if !batches.is_empty() {
                writeln!(out, "{}", arrow::util::pretty::pretty_format_batches(batches)?)?;
            }
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            writeln!(out, "{rows} row{}", if rows == 1 { "" } else { "s" })?;
        }
        Format::Csv => {
            let mut writer = arrow::csv::Writer::new(&mut *out);
            for batch in batches {
                writer.write(batch)?;
            }
        }
        Format::Json => {
            let mut writer = arrow::json::ArrayWriter::new(&mut *out);
            for batch in batches {
                writer.write(batch)?;
            }
            writer.finish()?;
            writeln!(out)?;
        }
    }
    Ok(out.flush()?)
}
