//! Forecasts as rows of the lake's tables, and back.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int32Type, SchemaRef, TimestampMicrosecondType};
use catalog::{Target, tables};
use chrono::{DateTime, Utc};
use forecaster::{Forecast, Rule};

/// Columns of the naive rules, in the order of [`Rule::ALL`].
const NAIVE: [&str; Rule::ALL.len()] = ["naive_last", "naive_day", "naive_week", "naive_week_mean"];

/// Rows of `forecast.forecasts`.
pub fn of_forecasts(target: &Target, forecasts: &[Forecast], bundle: &str, computed_at: DateTime<Utc>) -> Result<RecordBatch> {
    let bundles = vec![bundle; forecasts.len()];
    let mut columns = shared_columns(target, forecasts, &bundles);
    columns.push(instants(forecasts.iter().map(|_| computed_at)));
    Ok(RecordBatch::try_new(tables::forecasts().schema(), columns)?)
}

/// Rows of `forecast.accuracy`: those forecasts that have an actual. `bundles` are theirs, one a forecast.
pub fn of_accuracy(target: &Target, forecasts: &[Forecast], bundles: &[String]) -> Result<RecordBatch> {
    let met = || forecasts.iter().zip(bundles).filter(|(forecast, _)| forecast.actual.is_some());
    let bundles: Vec<&str> = met().map(|(_, bundle)| bundle.as_str()).collect();
    let met: Vec<Forecast> = met().map(|(forecast, _)| forecast.clone()).collect();
    let mut columns = shared_columns(target, &met, &bundles);
    columns.push(Arc::new(Float64Array::from_iter(met.iter().map(|forecast| forecast.actual))));
    Ok(RecordBatch::try_new(tables::accuracy().schema(), columns)?)
}

/// Rows of a backtest's file: the forecasts with their actuals, null where nothing came.
pub fn of_backtest(target: &Target, forecasts: &[Forecast], bundles: &[&str]) -> Result<RecordBatch> {
    let mut columns = shared_columns(target, forecasts, bundles);
    columns.push(Arc::new(Float64Array::from_iter(forecasts.iter().map(|forecast| forecast.actual))));
    Ok(RecordBatch::try_new(backtest_schema(), columns)?)
}

/// Columns of a backtest's file: those of `forecast.accuracy`, with a nullable actual.
pub fn backtest_schema() -> SchemaRef {
    let accuracy = tables::accuracy();
    catalog::column::schema(
        accuracy.columns.into_iter().map(|column| if column.name == "actual" { column.nullable() } else { column }),
    )
}

/// The columns that every table of forecasts begins with, in their order.
fn shared_columns(target: &Target, forecasts: &[Forecast], bundles: &[&str]) -> Vec<ArrayRef> {
    let numbers = |of: fn(&Forecast) -> f64| Arc::new(Float64Array::from_iter_values(forecasts.iter().map(of))) as ArrayRef;
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(forecasts.iter().map(|_| target.name))),
        Arc::new(StringArray::from_iter_values(forecasts.iter().map(|forecast| &forecast.series))),
        instants(forecasts.iter().map(|forecast| forecast.issued_at)),
        instants(forecasts.iter().map(|forecast| forecast.valid_at)),
        Arc::new(Int32Array::from_iter_values(forecasts.iter().map(|forecast| forecast.horizon as i32))),
        numbers(|forecast| forecast.p10),
        numbers(|forecast| forecast.p50),
        numbers(|forecast| forecast.p90),
    ];
    for rule in 0..NAIVE.len() {
        columns.push(Arc::new(Float64Array::from_iter(forecasts.iter().map(|forecast| forecast.naive[rule]))));
    }
    columns.push(Arc::new(StringArray::from_iter_values(forecasts.iter().map(|forecast| forecast.source.name()))));
    columns.push(Arc::new(StringArray::from_iter_values(bundles)));
    columns
}

fn instants(values: impl Iterator<Item = DateTime<Utc>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.map(|at| at.timestamp_micros())).with_timezone("UTC"))
}

/// Forecasts out of rows of `forecast.forecasts`, each with its bundle; those of other targets are left out.
pub fn read_forecasts(target: &Target, batch: &RecordBatch) -> Result<Vec<(Forecast, String)>> {
    let (targets, series, rule, bundle) =
        (text(batch, "target")?, text(batch, "series")?, text(batch, "rule")?, text(batch, "bundle")?);
    let (issued_at, valid_at) = (instant(batch, "issued_at")?, instant(batch, "valid_at")?);
    let horizon = batch.column_by_name("horizon").context("no column \"horizon\"")?.as_primitive::<Int32Type>();
    let quantiles = (number(batch, "p10")?, number(batch, "p50")?, number(batch, "p90")?);
    let naive = NAIVE.map(|name| number(batch, name));
    let mut forecasts = Vec::with_capacity(batch.num_rows());
    for row in (0..batch.num_rows()).filter(|&row| targets[row].as_deref() == Some(target.name)) {
        let must = |value: Option<f64>| value.context("a forecast lacks a quantile");
        let mut said = [None; NAIVE.len()];
        for (said, column) in said.iter_mut().zip(&naive) {
            *said = column.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?[row];
        }
        let rule = rule[row].as_deref().context("a forecast lacks its rule")?;
        let forecast = Forecast {
            series: series[row].clone().context("a forecast lacks its series")?,
            issued_at: issued_at[row].context("a forecast lacks its origin")?,
            valid_at: valid_at[row].context("a forecast lacks its time")?,
            horizon: u32::try_from(horizon.value(row)).context("a horizon counts from 1")?,
            p10: must(quantiles.0[row])?,
            p50: must(quantiles.1[row])?,
            p90: must(quantiles.2[row])?,
            naive: said,
            source: forecaster::Source::by_name(rule).with_context(|| format!("\"{rule}\" is no rule"))?,
            actual: None,
        };
        forecasts.push((forecast, bundle[row].clone().context("a forecast lacks its bundle")?));
    }
    Ok(forecasts)
}

pub fn text(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let column = arrow::compute::cast(column(batch, name)?, &arrow::datatypes::DataType::Utf8)?;
    Ok(column.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect())
}

pub fn number(batch: &RecordBatch, name: &str) -> Result<Vec<Option<f64>>> {
    let column = column(batch, name)?;
    ensure!(column.as_primitive_opt::<Float64Type>().is_some(), "column \"{name}\" holds {}, not numbers", column.data_type());
    Ok(column.as_primitive::<Float64Type>().iter().collect())
}

pub fn instant(batch: &RecordBatch, name: &str) -> Result<Vec<Option<DateTime<Utc>>>> {
    let column = column(batch, name)?;
    ensure!(
        column.as_primitive_opt::<TimestampMicrosecondType>().is_some(),
        "column \"{name}\" holds {}, not instants",
        column.data_type()
    );
    Ok(column
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|micros| micros.and_then(DateTime::from_timestamp_micros))
        .collect())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).with_context(|| format!("no column \"{name}\""))
}
