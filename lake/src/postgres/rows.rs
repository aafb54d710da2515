//! Arrow batches to rows on the wire: the type, text and binary form of each column.
//!
//! Ours for the types that tables have, so that every value reads as PostgreSQL writes it (`09:00:00+09`, `Infinity`,
//! `1e+20`) and each column is looked at once a batch; arrow-pg's encoder for the rest: intervals, lists, structs.
//! Formats: <https://www.postgresql.org/docs/17/datatype.html>, `float8out`, `timestamptz_out` in PostgreSQL's source.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::FormatOptions;
use arrow_pg::datatypes::field_into_pg_type;
use arrow_pg::encoder::encode_value;
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike};
use pgwire::api::Type;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use pgwire::error::ErrorInfo;
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};

use super::error::SqlError;

/// One column of a result.
#[derive(Clone, Debug)]
pub(super) struct Column {
    name: String,
    of: Type,
    /// What the batches' array is cast to before it is written.
    wire: DataType,
}

impl Column {
    /// The type that clients are told.
    pub fn of(&self) -> &Type {
        &self.of
    }
}

/// The columns of a result. `names` are those that PostgreSQL would give, where they differ from the schema's.
pub(super) fn columns(schema: &Schema, names: &[Option<String>]) -> Result<Vec<Column>, SqlError> {
    let column = |(index, field): (usize, &Arc<Field>)| {
        let wire = wire(field.data_type());
        let of = match wire {
            DataType::Null | DataType::Utf8View => Type::TEXT,
            _ => field_into_pg_type(&Arc::new(Field::new(field.name(), wire.clone(), true))).map_err(|_| {
                SqlError::not_supported(format!("column \"{}\" of type {}", field.name(), field.data_type()))
                    .hint("cast it to text")
            })?,
        };
        let name = names.get(index).cloned().flatten().unwrap_or_else(|| field.name().clone());
        Ok(Column { name, of, wire })
    };
    schema.fields().iter().enumerate().map(column).collect()
}

/// Formats of a Bind message, one for each column.
///
/// # Errors
/// 08P01 where there are neither none, one, nor as many as columns; 22023 for a code that is no format.
pub(super) fn formats(codes: &[i16], columns: usize) -> Result<Vec<FieldFormat>, SqlError> {
    let format = |code: &i16| match code {
        0 => Ok(FieldFormat::Text),
        1 => Ok(FieldFormat::Binary),
        code => Err(SqlError::new("22023", format!("{code} is no format: 0 is text, 1 is binary"))),
    };
    match codes {
        [] => Ok(vec![FieldFormat::Text; columns]),
        [one] => Ok(vec![format(one)?; columns]),
        each if each.len() == columns => each.iter().map(format).collect(),
        each => Err(SqlError::protocol(format!("{} formats were given for {columns} columns", each.len()))),
    }
}

pub(super) fn description(columns: &[Column], formats: &[FieldFormat]) -> RowDescription {
    let field = |(column, format): (&Column, &FieldFormat)| {
        FieldDescription::new(column.name.clone(), 0, 0, column.of.oid(), type_bytes(&column.of), -1, format.value())
    };
    RowDescription::new(columns.iter().zip(formats).map(field).collect())
}

/// PostgreSQL's `typlen`: bytes of a value, −1 where they vary.
pub(super) fn type_bytes(of: &Type) -> i16 {
    match *of {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL | Type::UUID => 16,
        _ => -1,
    }
}

/// The few types in which values are written. Unsigned ones take the next wider; DataFusion counts rows in UInt64,
/// which PostgreSQL's clients expect as bigint.
fn wire(of: &DataType) -> DataType {
    match of {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(zone)) => DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone())),
        DataType::Dictionary(_, value) => wire(value),
        DataType::RunEndEncoded(_, value) => wire(value.data_type()),
        other => other.clone(),
    }
}

/// Rows of one batch, written one after the other.
pub(super) struct Rows {
    values: Vec<Values>,
    fields: Vec<FieldInfo>,
    buffer: BytesMut,
    next: usize,
    count: usize,
}

impl Rows {
    pub fn new(batch: &RecordBatch, columns: &[Column], formats: &[FieldFormat], zone: Tz) -> Result<Rows, SqlError> {
        let options = CastOptions { safe: false, format_options: FormatOptions::default() };
        let values = batch
            .columns()
            .iter()
            .zip(columns)
            .map(|(array, column)| {
                let array = match *array.data_type() == column.wire {
                    true => Arc::clone(array),
                    false => cast_with_options(array, &column.wire, &options)
                        .map_err(|error| SqlError::new("22003", error.to_string()))?,
                };
                Ok(Values::new(array, zone))
            })
            .collect::<Result<Vec<_>, SqlError>>()?;
        let field = |(column, format): (&Column, &FieldFormat)| {
            FieldInfo::new(column.name.clone(), None, None, column.of.clone(), *format)
        };
        let fields = columns.iter().zip(formats).map(field).collect();
        Ok(Rows { values, fields, buffer: BytesMut::new(), next: 0, count: batch.num_rows() })
    }

    /// The next row, or `None` after the last.
    pub fn next(&mut self) -> Option<Result<DataRow, SqlError>> {
        if self.next == self.count {
            return None;
        }
        let row = self.next;
        self.next += 1;
        for (values, field) in self.values.iter().zip(&self.fields) {
            if let Err(error) = values.write(row, field, &mut self.buffer) {
                return Some(Err(error));
            }
        }
        Some(Ok(DataRow::new(self.buffer.split(), self.fields.len() as i16)))
    }
}

/// An array, looked at once.
enum Values {
    Bool(BooleanArray),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Text(StringViewArray),
    Bytes(BinaryViewArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Local(TimestampMicrosecondArray),
    Instant(TimestampMicrosecondArray, Tz),
    Other(ArrayRef, Field),
}

impl Values {
    fn new(array: ArrayRef, zone: Tz) -> Values {
        match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean().clone()),
            DataType::Int16 => Values::Int16(array.as_primitive().clone()),
            DataType::Int32 => Values::Int32(array.as_primitive().clone()),
            DataType::Int64 => Values::Int64(array.as_primitive().clone()),
            DataType::Float32 => Values::Float32(array.as_primitive().clone()),
            DataType::Float64 => Values::Float64(array.as_primitive().clone()),
            DataType::Utf8View => Values::Text(array.as_string_view().clone()),
            DataType::BinaryView => Values::Bytes(array.as_binary_view().clone()),
            DataType::Date32 => Values::Date(array.as_primitive().clone()),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Values::Local(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Values::Instant(array.as_primitive().clone(), zone),
            other => {
                let field = Field::new("value", other.clone(), true);
                Values::Other(array, field)
            }
        }
    }

    /// The value's length in bytes and the value; −1 alone for null.
    fn write(&self, row: usize, field: &FieldInfo, out: &mut BytesMut) -> Result<(), SqlError> {
        if self.array().is_null(row) || *self.array().data_type() == DataType::Null {
            out.put_i32(-1);
            return Ok(());
        }
        if let Values::Other(array, arrow) = self {
            let mut encoder = DataRowEncoder::new(Arc::new(vec![field.clone()]));
            encode_value(&mut encoder, array, row, arrow, field).map_err(|error| {
                let info = ErrorInfo::from(error);
                SqlError::new("22003", info.message).hint("cast the column to text")
            })?;
            out.put_slice(&encoder.take_row().data);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        match field.format() {
            FieldFormat::Binary => self.binary(row, out),
            FieldFormat::Text => self.text(row, out),
        }
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn binary(&self, row: usize, out: &mut BytesMut) {
        match self {
            Values::Bool(array) => out.put_u8(array.value(row).into()),
            Values::Int16(array) => out.put_i16(array.value(row)),
            Values::Int32(array) => out.put_i32(array.value(row)),
            Values::Int64(array) => out.put_i64(array.value(row)),
            Values::Float32(array) => out.put_f32(array.value(row)),
            Values::Float64(array) => out.put_f64(array.value(row)),
            Values::Text(array) => out.put_slice(array.value(row).as_bytes()),
            Values::Bytes(array) => out.put_slice(array.value(row)),
            Values::Date(array) => out.put_i32(array.value(row).saturating_sub(EPOCH_DAYS)),
            Values::Time(array) => out.put_i64(array.value(row)),
            Values::Local(array) | Values::Instant(array, _) => out.put_i64(array.value(row).saturating_sub(EPOCH_MICROS)),
            Values::Other(..) => unreachable!("written by arrow-pg"),
        }
    }

    fn text(&self, row: usize, out: &mut BytesMut) {
        let written = match self {
            Values::Bool(array) => out.write_char(if array.value(row) { 't' } else { 'f' }),
            Values::Int16(array) => write!(out, "{}", array.value(row)),
            Values::Int32(array) => write!(out, "{}", array.value(row)),
            Values::Int64(array) => write!(out, "{}", array.value(row)),
            Values::Float32(array) => float(&format!("{:e}", array.value(row)), FLOAT4_DIGITS, out),
            Values::Float64(array) => float(&format!("{:e}", array.value(row)), FLOAT8_DIGITS, out),
            Values::Text(array) => out.write_str(array.value(row)),
            Values::Bytes(array) => {
                out.write_str("\\x").and_then(|()| array.value(row).iter().try_for_each(|byte| write!(out, "{byte:02x}")))
            }
            Values::Date(array) => match DateTime::from_timestamp(i64::from(array.value(row)) * 86_400, 0) {
                Some(date) => self::date(&date.naive_utc(), out).and_then(|()| era(&date.naive_utc(), out)),
                None => beyond(i64::from(array.value(row)), out),
            },
            Values::Time(array) => time(array.value(row), out),
            Values::Local(array) => match DateTime::from_timestamp_micros(array.value(row)) {
                Some(instant) => local(&instant.naive_utc(), out).and_then(|()| era(&instant.naive_utc(), out)),
                None => beyond(array.value(row), out),
            },
            Values::Instant(array, zone) => match DateTime::from_timestamp_micros(array.value(row)) {
                Some(instant) => {
                    let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc();
                    let shown = instant.naive_utc() + TimeDelta::seconds(offset.into());
                    local(&shown, out).and_then(|()| self::offset(offset, out)).and_then(|()| era(&shown, out))
                }
                None => beyond(array.value(row), out),
            },
            Values::Other(..) => unreachable!("written by arrow-pg"),
        };
        written.expect("a buffer in memory takes what is written");
    }

    fn array(&self) -> &dyn Array {
        match self {
            Values::Bool(array) => array,
            Values::Int16(array) => array,
            Values::Int32(array) => array,
            Values::Int64(array) => array,
            Values::Float32(array) => array,
            Values::Float64(array) => array,
            Values::Text(array) => array,
            Values::Bytes(array) => array,
            Values::Date(array) => array,
            Values::Time(array) => array,
            Values::Local(array) | Values::Instant(array, _) => array,
            Values::Other(array, _) => array,
        }
    }
}

/// 2000-01-01, from which PostgreSQL counts, in Arrow's count from 1970.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// Digits that a float has for certain (FLT_DIG, DBL_DIG): from there on PostgreSQL writes an exponent.
const FLOAT4_DIGITS: i32 = 6;
const FLOAT8_DIGITS: i32 = 15;

/// A float as `float8out` writes it, from its shortest digits as in `-1.5e-7`.
fn float(shortest: &str, digits_max: i32, out: &mut BytesMut) -> std::fmt::Result {
    let (mantissa, exponent) = match shortest {
        "NaN" => return out.write_str("NaN"),
        "inf" => return out.write_str("Infinity"),
        "-inf" => return out.write_str("-Infinity"),
        number => number.split_once('e').expect("an exponent is always written"),
    };
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    out.write_str(sign)?;
    if !(-4..digits_max).contains(&exponent) {
        let point = if rest.is_empty() { "" } else { "." };
        let (sign, exponent) = (if exponent < 0 { '-' } else { '+' }, exponent.abs());
        return write!(out, "{first}{point}{rest}e{sign}{exponent:02}");
    }
    let Ok(places) = usize::try_from(exponent) else {
        // 1.5e-3 → 0.0015
        return write!(out, "0.{:0>zeros$}{first}{rest}", "", zeros = -exponent as usize - 1);
    };
    match rest.len() > places {
        true => write!(out, "{first}{}.{}", &rest[..places], &rest[places..]),
        false => write!(out, "{first}{rest:0<places$}"),
    }
}

fn date(local: &NaiveDateTime, out: &mut BytesMut) -> std::fmt::Result {
    let (_, year) = local.year_ce();
    write!(out, "{year:04}-{:02}-{:02}", local.month(), local.day())
}

/// Years before the first are written with their era, after everything else.
fn era(local: &NaiveDateTime, out: &mut BytesMut) -> std::fmt::Result {
    if local.year_ce().0 { Ok(()) } else { out.write_str(" BC") }
}

fn local(local: &NaiveDateTime, out: &mut BytesMut) -> std::fmt::Result {
    date(local, out)?;
    out.write_char(' ')?;
    time(i64::from(local.num_seconds_from_midnight()) * 1_000_000 + i64::from(local.nanosecond() / 1_000), out)
}

/// Microseconds of a day; trailing zeros of the fraction are left out.
fn time(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
    match micros {
        0 => Ok(()),
        _ => out.write_str(format!(".{micros:06}").trim_end_matches('0')),
    }
}

/// `+09`, `-03:30`.
fn offset(seconds: i32, out: &mut BytesMut) -> std::fmt::Result {
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    write!(out, "{sign}{:02}", seconds / 3_600)?;
    if seconds % 3_600 != 0 {
        write!(out, ":{:02}", seconds / 60 % 60)?;
    }
    if seconds % 60 != 0 {
        write!(out, ":{:02}", seconds % 60)?;
    }
    Ok(())
}

/// A time that no calendar here reaches: PostgreSQL has a word for its two ends.
fn beyond(value: i64, out: &mut BytesMut) -> std::fmt::Result {
    out.write_str(if value < 0 { "-infinity" } else { "infinity" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(array: impl Array + 'static, zone: &str) -> Vec<Option<String>> {
        written(Arc::new(array), FieldFormat::Text, zone)
            .into_iter()
            .map(|value| value.map(|value| String::from_utf8(value).unwrap()))
            .collect()
    }

    fn written(array: ArrayRef, format: FieldFormat, zone: &str) -> Vec<Option<Vec<u8>>> {
        let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
        let columns = columns(&batch.schema(), &[]).unwrap();
        let mut rows = Rows::new(&batch, &columns, &[format], zone.parse().unwrap()).unwrap();
        let mut values = Vec::new();
        while let Some(row) = rows.next() {
            let data = row.unwrap().data;
            let length = i32::from_be_bytes(data[..4].try_into().unwrap());
            assert_eq!(data.len(), 4 + length.max(0) as usize);
            values.push((length >= 0).then(|| data[4..].to_vec()));
        }
        values
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn floats_read_as_postgresql_writes_them() {
        let values = [
            0.0,
            -0.0,
            1.0,
            0.1,
            -2.5,
            100.0,
            123_456.789,
            1e14,
            1e15,
            1.5e15,
            1e20,
            1e-4,
            1.5e-4,
            1e-5,
            1.5e-5,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let expected = [
            "0",
            "-0",
            "1",
            "0.1",
            "-2.5",
            "100",
            "123456.789",
            "100000000000000",
            "1e+15",
            "1.5e+15",
            "1e+20",
            "0.0001",
            "0.00015",
            "1e-05",
            "1.5e-05",
            "1.7976931348623157e+308",
            "NaN",
            "Infinity",
            "-Infinity",
        ];
        assert_eq!(text_of(Float64Array::from(values.to_vec()), "UTC"), some(&expected));
        assert_eq!(
            text_of(Float32Array::from(vec![0.1, 100_000.0, 1e6, 3.402_823_5e38]), "UTC"),
            some(&["0.1", "100000", "1e+06", "3.4028235e+38"])
        );
    }

    #[test]
    fn instants_are_shown_in_the_sessions_zone() {
        let instants =
            TimestampMicrosecondArray::from(vec![1_664_550_000_000_000, 1_664_550_000_120_000, -62_135_596_800_000_001])
                .with_timezone("UTC");
        assert_eq!(text_of(instants.clone(), "Asia/Seoul")[..2], some(&["2022-10-01 00:00:00+09", "2022-10-01 00:00:00.12+09"]));
        assert_eq!(
            text_of(instants.clone(), "UTC"),
            some(&["2022-09-30 15:00:00+00", "2022-09-30 15:00:00.12+00", "0001-12-31 23:59:59.999999+00 BC"])
        );
        assert_eq!(text_of(instants, "-03:30")[..1], some(&["2022-09-30 11:30:00-03:30"]));
        let nanos = arrow::array::TimestampNanosecondArray::from(vec![1_664_550_000_000_001_999]);
        assert_eq!(
            text_of(nanos, "Asia/Seoul"),
            some(&["2022-09-30 15:00:00.000001"]),
            "without a zone it is nobody's local time"
        );
    }

    #[test]
    fn nulls_are_nulls_in_every_type() {
        let arrays: Vec<ArrayRef> = [
            DataType::Null,
            DataType::Boolean,
            DataType::UInt64,
            DataType::Float16,
            DataType::Utf8,
            DataType::Binary,
            DataType::Date64,
            DataType::Time32(TimeUnit::Second),
            DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
            DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
            DataType::Decimal128(10, 2),
            DataType::new_list(DataType::Int64, true),
        ]
        .iter()
        .map(|of| arrow::array::new_null_array(of, 2))
        .collect();
        for array in arrays {
            for format in [FieldFormat::Text, FieldFormat::Binary] {
                assert_eq!(written(Arc::clone(&array), format, "UTC"), vec![None, None], "{}", array.data_type());
            }
        }
    }

    #[test]
    fn the_types_of_tables_have_their_own_oids() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int16, true),
            Field::new("b", DataType::Int32, true),
            Field::new("c", DataType::Int64, true),
            Field::new("d", DataType::Float64, true),
            Field::new("e", DataType::Utf8, true),
            Field::new("f", DataType::Binary, true),
            Field::new("g", DataType::Boolean, true),
            Field::new("h", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("i", DataType::UInt64, true),
            Field::new("j", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), true),
        ]);
        let oids: Vec<u32> = columns(&schema, &[]).unwrap().iter().map(|column| column.of.oid()).collect();
        assert_eq!(oids, [21, 23, 20, 701, 25, 17, 16, 1184, 20, 25]);
    }

    #[test]
    fn a_count_too_large_for_bigint_is_an_error_and_not_another_number() {
        let batch =
            RecordBatch::try_from_iter([("c", Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX])) as ArrayRef)]).unwrap();
        let columns = columns(&batch.schema(), &[]).unwrap();
        let error = Rows::new(&batch, &columns, &[FieldFormat::Text], "UTC".parse().unwrap()).err().unwrap();
        assert_eq!(error.code, "22003");
    }

    #[test]
    fn formats_are_none_one_or_as_many_as_columns() {
        assert_eq!(formats(&[], 2).unwrap(), [FieldFormat::Text, FieldFormat::Text]);
        assert_eq!(formats(&[1], 2).unwrap(), [FieldFormat::Binary, FieldFormat::Binary]);
        assert_eq!(formats(&[0, 1], 2).unwrap(), [FieldFormat::Text, FieldFormat::Binary]);
        assert_eq!(formats(&[0, 1, 0], 2).unwrap_err().code, "08P01");
        assert_eq!(formats(&[2], 2).unwrap_err().code, "22023");
    }
}
