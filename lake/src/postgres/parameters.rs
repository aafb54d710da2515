//! Bound parameters: from the bytes of a Bind message to literals in the statement.
//!
//! Each `$n` is replaced by a typed literal before planning, so that a parameter means exactly what the same literal
//! would mean, and each execution is planned on the newest snapshots. Values never become SQL text that is parsed
//! unquoted: numbers and times are decoded and written anew, texts are literals of the syntax tree.

use std::ops::ControlFlow;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use datafusion::sql::sqlparser::ast::{self, Expr, Statement, Value, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use pgwire::api::Type;

use super::error::SqlError;

/// How many parameters a statement uses: the highest `$n` in it.
pub(super) fn count(statement: &Statement) -> Result<usize, SqlError> {
    struct Highest(usize);

    impl ast::Visitor for Highest {
        type Break = SqlError;

        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<SqlError> {
            if let Value::Placeholder(name) = &value.value {
                match number(name) {
                    Ok(number) => self.0 = self.0.max(number),
                    Err(error) => return ControlFlow::Break(error),
                }
            }
            ControlFlow::Continue(())
        }
    }

    let mut highest = Highest(0);
    match ast::Visit::visit(statement, &mut highest) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(highest.0),
    }
}

/// Parameters that stand alone behind LIMIT, OFFSET or FETCH: numbers, which DataFusion doesn't infer.
pub(super) fn bounds(statement: &Statement) -> Vec<usize> {
    struct Bounds(Vec<usize>);

    impl ast::Visitor for Bounds {
        type Break = ();

        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            let (limit, offset) = match &query.limit_clause {
                Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                    (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
                }
                _ => (None, None),
            };
            let fetch = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref());
            for expr in [limit, offset, fetch].into_iter().flatten() {
                if let Expr::Value(ast::ValueWithSpan { value: Value::Placeholder(name), .. }) = expr {
                    self.0.extend(number(name));
                }
            }
            ControlFlow::Continue(())
        }
    }

    let mut bounds = Bounds(Vec::new());
    let _ = ast::Visit::visit(statement, &mut bounds);
    bounds.0
}

/// The statement with every `$n` replaced by `literals[n - 1]`.
pub(super) fn substitute(statement: &mut Statement, literals: &[Expr]) -> Result<(), SqlError> {
    struct Substitute<'a>(&'a [Expr]);

    impl VisitorMut for Substitute<'_> {
        type Break = SqlError;

        // After the children, so that what was put in isn't visited.
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
            let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
            let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
            match number(name).and_then(|number| {
                self.0
                    .get(number - 1)
                    .ok_or_else(|| SqlError::protocol(format!("statement uses {name}, {} parameters were bound", self.0.len())))
            }) {
                Ok(literal) => *expr = literal.clone(),
                Err(error) => return ControlFlow::Break(error),
            }
            ControlFlow::Continue(())
        }
    }

    match statement.visit(&mut Substitute(literals)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Parameters of one statement, as PostgreSQL's protocol can count them.
const PARAMETERS_MAX: usize = u16::MAX as usize;

fn number(placeholder: &str) -> Result<usize, SqlError> {
    placeholder
        .strip_prefix('$')
        .and_then(|number| number.parse().ok())
        .filter(|number| (1..=PARAMETERS_MAX).contains(number))
        .ok_or_else(|| {
            SqlError::new("42P02", format!("there is no parameter {placeholder}")).hint("parameters are written $1, $2, …")
        })
}

/// The literal of one value. `None` as type: PostgreSQL's `unknown`, a text whose type the statement decides.
///
/// # Errors
/// 22P02 and 22007 for a text that isn't of its type, 22P03 for bytes that aren't, 0A000 for a type not taken here.
pub(super) fn literal(value: Option<&[u8]>, binary: bool, of: Option<&Type>, zone: Tz) -> Result<Expr, SqlError> {
    let Some(value) = value else { return Ok(null(of)) };
    let Some(of) = of else {
        return match binary {
            false => Ok(text(utf8(value)?)),
            true => Err(SqlError::new("42P18", "type of a binary parameter cannot be told from the statement")
                .hint("write a cast, as in $1::bigint")),
        };
    };
    if let Some(element) = element(of) {
        return array(value, binary, &element, zone);
    }
    let decoded = if binary { from_binary(value, of)? } else { from_text(utf8(value)?, of, zone)? };
    Ok(decoded.into_literal(of))
}

/// Typed nulls, in place of values that aren't known yet.
pub(super) fn nulls(types: &[Type]) -> Vec<Expr> {
    types.iter().map(|of| null(Some(of))).collect()
}

/// A decoded value.
enum Decoded {
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Digits with an optional sign and point.
    Numeric(String),
    Text(String),
    Bytes(Vec<u8>),
    Date(NaiveDate),
    Time(NaiveTime),
    Local(NaiveDateTime),
    Instant(DateTime<Utc>),
    Interval(String),
}

impl Decoded {
    fn into_literal(self, of: &Type) -> Expr {
        match self {
            Decoded::Bool(on) => sql(if on { "TRUE" } else { "FALSE" }),
            // Bare, where it means the same, because LIMIT and ordinals want it so.
            Decoded::Integer(integer) if *of == Type::INT8 && integer >= 0 => sql(&integer.to_string()),
            Decoded::Integer(integer) => sql(&format!("CAST('{integer}' AS {})", sql_type(of))),
            Decoded::Float(float) => sql(&format!("CAST('{float:?}' AS {})", sql_type(of))),
            Decoded::Numeric(digits) => {
                let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                let precision = digits.chars().filter(char::is_ascii_digit).count().max(scale + 1);
                sql(&format!("CAST('{digits}' AS DECIMAL({precision}, {scale}))"))
            }
            Decoded::Text(value) => text(&value),
            Decoded::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Expr::Value(Value::HexStringLiteral(hex).into())
            }
            Decoded::Date(date) => sql(&format!("CAST('{date}' AS DATE)")),
            Decoded::Time(time) => sql(&format!("CAST('{time}' AS TIME)")),
            Decoded::Local(local) => {
                sql(&format!("arrow_cast('{}', 'Timestamp(Microsecond, None)')", local.format("%Y-%m-%dT%H:%M:%S%.6f")))
            }
            Decoded::Instant(instant) => sql(&format!(
                "arrow_cast('{}', 'Timestamp(Microsecond, Some(\"UTC\"))')",
                instant.format("%Y-%m-%dT%H:%M:%S%.6fZ")
            )),
            Decoded::Interval(interval) => sql(&format!("INTERVAL '{interval}'")),
        }
    }
}

fn null(of: Option<&Type>) -> Expr {
    match of {
        Some(of) if element(of).is_none() => sql(&format!("CAST(NULL AS {})", sql_type(of))),
        _ => sql("NULL"),
    }
}

/// The type's name in DataFusion's SQL.
fn sql_type(of: &Type) -> &'static str {
    match *of {
        Type::BOOL => "BOOLEAN",
        Type::INT2 => "SMALLINT",
        Type::INT4 => "INT",
        Type::INT8 | Type::OID => "BIGINT",
        Type::FLOAT4 => "REAL",
        Type::FLOAT8 => "DOUBLE PRECISION",
        Type::NUMERIC => "DECIMAL(38, 10)",
        Type::BYTEA => "BYTEA",
        Type::DATE => "DATE",
        Type::TIME => "TIME",
        Type::TIMESTAMP => "TIMESTAMP",
        Type::TIMESTAMPTZ => "TIMESTAMP WITH TIME ZONE",
        Type::INTERVAL => "INTERVAL",
        _ => "TEXT",
    }
}

/// The type of an array's items, if `of` is an array that is taken here.
fn element(of: &Type) -> Option<Type> {
    Some(match *of {
        Type::BOOL_ARRAY => Type::BOOL,
        Type::INT2_ARRAY => Type::INT2,
        Type::INT4_ARRAY => Type::INT4,
        Type::INT8_ARRAY => Type::INT8,
        Type::FLOAT4_ARRAY => Type::FLOAT4,
        Type::FLOAT8_ARRAY => Type::FLOAT8,
        Type::NUMERIC_ARRAY => Type::NUMERIC,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY | Type::NAME_ARRAY => Type::TEXT,
        Type::DATE_ARRAY => Type::DATE,
        Type::TIMESTAMP_ARRAY => Type::TIMESTAMP,
        Type::TIMESTAMPTZ_ARRAY => Type::TIMESTAMPTZ,
        _ => return None,
    })
}

fn from_text(value: &str, of: &Type, zone: Tz) -> Result<Decoded, SqlError> {
    let invalid = || SqlError::new("22P02", format!("invalid input syntax for type {}: {value:?}", of.name()));
    let out_of_range = || SqlError::new("22003", format!("value {value:?} is out of range for type {}", of.name()));
    let trimmed = value.trim();
    Ok(match *of {
        Type::BOOL => match trimmed.to_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Decoded::Bool(true),
            "f" | "false" | "n" | "no" | "off" | "0" => Decoded::Bool(false),
            _ => return Err(invalid()),
        },
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => {
            let integer: i128 = trimmed.parse().map_err(|_| invalid())?;
            let (least, most) = match *of {
                Type::INT2 => (i16::MIN.into(), i16::MAX.into()),
                Type::INT4 => (i32::MIN.into(), i32::MAX.into()),
                Type::OID => (0, u32::MAX.into()),
                _ => (i64::MIN, i64::MAX),
            };
            Decoded::Integer(
                i64::try_from(integer).ok().filter(|integer| (least..=most).contains(integer)).ok_or_else(out_of_range)?,
            )
        }
        Type::FLOAT4 | Type::FLOAT8 => Decoded::Float(trimmed.parse().map_err(|_| invalid())?),
        Type::NUMERIC => Decoded::Numeric(numeric(trimmed).ok_or_else(invalid)?),
        Type::BYTEA => Decoded::Bytes(bytea(value).ok_or_else(invalid)?),
        Type::DATE => Decoded::Date(trimmed.parse().map_err(|_| SqlError { code: "22007", ..invalid() })?),
        Type::TIME => Decoded::Time(trimmed.parse().map_err(|_| SqlError { code: "22007", ..invalid() })?),
        Type::TIMESTAMP => {
            let local = string_to_datetime(&Utc, trimmed).map_err(|_| SqlError { code: "22007", ..invalid() })?;
            Decoded::Local(local.naive_utc())
        }
        Type::TIMESTAMPTZ => {
            let instant = string_to_datetime(&zone, trimmed).map_err(|_| SqlError { code: "22007", ..invalid() })?;
            Decoded::Instant(instant.to_utc())
        }
        Type::INTERVAL if !value.contains(['\'', '\\']) => Decoded::Interval(value.to_owned()),
        Type::INTERVAL => return Err(invalid()),
        ref text if is_text(text) => Decoded::Text(value.to_owned()),
        ref other => return Err(not_taken(other)),
    })
}

fn from_binary(value: &[u8], of: &Type) -> Result<Decoded, SqlError> {
    let invalid = || SqlError::new("22P03", format!("{} bytes are no binary value of type {}", value.len(), of.name()));
    let four = || value.try_into().map(i32::from_be_bytes).map_err(|_| invalid());
    let eight = || value.try_into().map(i64::from_be_bytes).map_err(|_| invalid());
    let out_of_range = || SqlError::new("22008", format!("value is out of range for type {}", of.name()));
    Ok(match *of {
        Type::BOOL => match value {
            [on] => Decoded::Bool(*on != 0),
            _ => return Err(invalid()),
        },
        Type::INT2 => Decoded::Integer(value.try_into().map(i16::from_be_bytes).map_err(|_| invalid())?.into()),
        Type::INT4 => Decoded::Integer(four()?.into()),
        Type::INT8 => Decoded::Integer(eight()?),
        Type::OID => Decoded::Integer((four()? as u32).into()),
        Type::FLOAT4 => Decoded::Float(f32::from_bits(four()? as u32).into()),
        Type::FLOAT8 => Decoded::Float(f64::from_bits(eight()? as u64)),
        Type::NUMERIC => Decoded::Numeric(numeric_from_binary(value).ok_or_else(invalid)?),
        Type::BYTEA => Decoded::Bytes(value.to_vec()),
        Type::DATE => Decoded::Date(epoch().date().checked_add_signed(TimeDelta::days(four()?.into())).ok_or_else(out_of_range)?),
        Type::TIME => Decoded::Time(NaiveTime::MIN + TimeDelta::microseconds(eight()?)),
        Type::TIMESTAMP => {
            Decoded::Local(epoch().checked_add_signed(TimeDelta::microseconds(eight()?)).ok_or_else(out_of_range)?)
        }
        Type::TIMESTAMPTZ => {
            Decoded::Instant(epoch().checked_add_signed(TimeDelta::microseconds(eight()?)).ok_or_else(out_of_range)?.and_utc())
        }
        Type::INTERVAL => match value {
            &[ref micros @ .., d0, d1, d2, d3, m0, m1, m2, m3] => {
                let micros = micros.try_into().map(i64::from_be_bytes).map_err(|_| invalid())?;
                let (days, months) = (i32::from_be_bytes([d0, d1, d2, d3]), i32::from_be_bytes([m0, m1, m2, m3]));
                Decoded::Interval(format!("{months} months {days} days {micros} microseconds"))
            }
            _ => return Err(invalid()),
        },
        Type::UUID => Decoded::Text(uuid::Uuid::from_slice(value).map_err(|_| invalid())?.to_string()),
        ref text if is_text(text) => Decoded::Text(utf8(value)?.to_owned()),
        ref other => return Err(not_taken(other)),
    })
}

/// PostgreSQL's binary times count from here.
fn epoch() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2000, 1, 1).expect("a date").and_time(NaiveTime::MIN)
}

/// Types whose values are their text.
fn is_text(of: &Type) -> bool {
    matches!(*of, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::UUID | Type::JSON | Type::XML)
}

fn not_taken(of: &Type) -> SqlError {
    SqlError::not_supported(format!("a parameter of type {}", of.name())).hint("bind it as text and cast it in the statement")
}

/// Decimal digits, sign and point; at most what a DECIMAL of 128 bits holds.
fn numeric(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let count = whole.len() + fraction.len();
    let all_digits = whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit());
    (all_digits && (1..=38).contains(&count)).then(|| text.trim_start_matches('+').to_owned())
}

/// Groups of four decimal digits: count, weight of the first, sign, scale. NaN and infinities are not taken.
fn numeric_from_binary(value: &[u8]) -> Option<String> {
    let words: Vec<i16> = value.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
    let [groups, weight, sign, scale, ref digits @ ..] = words[..] else { return None };
    let (weight, scale) = (i32::from(weight), usize::try_from(scale).ok()?);
    if usize::try_from(groups).ok()? != digits.len()
        || !(sign == 0 || sign == 0x4000)
        || scale > 38
        || !(-10..=10).contains(&weight)
    {
        return None;
    }
    let group = |place: i32| usize::try_from(weight - place).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0);
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", group(place))).collect();
    let mut fraction: String = (1..=scale.div_ceil(4) as i32).map(|place| format!("{:04}", group(-place))).collect();
    fraction.truncate(scale);
    let whole = whole.trim_start_matches('0');
    let text = format!(
        "{}{}{}{fraction}",
        if sign == 0 { "" } else { "-" },
        if whole.is_empty() { "0" } else { whole },
        if scale > 0 { "." } else { "" }
    );
    numeric(&text)
}

fn bytea(text: &str) -> Option<Vec<u8>> {
    let hex = text.strip_prefix("\\x")?;
    if !hex.is_ascii() || hex.len() % 2 != 0 {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

/// PostgreSQL's text form of an array, as in `= ANY('{a,b}')`; its items are texts.
pub(super) fn text_array(value: &str) -> Option<Expr> {
    let items = array_from_text(value).ok()?;
    let elem = items.iter().map(|item| item.as_deref().map_or_else(|| null(None), text)).collect();
    Some(Expr::Array(ast::Array { elem, named: true }))
}

/// An array of one dimension, as `make_array(…)`.
fn array(value: &[u8], binary: bool, element: &Type, zone: Tz) -> Result<Expr, SqlError> {
    let literals = if binary {
        array_from_binary(value)?
            .into_iter()
            .map(|item| literal(item, true, Some(element), zone))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        let items = array_from_text(utf8(value)?)?;
        items
            .iter()
            .map(|item| literal(item.as_ref().map(String::as_bytes), false, Some(element), zone))
            .collect::<Result<Vec<_>, _>>()?
    };
    Ok(Expr::Array(ast::Array { elem: literals, named: true }))
}

fn array_from_binary(value: &[u8]) -> Result<Vec<Option<&[u8]>>, SqlError> {
    let invalid = || SqlError::new("22P03", "bytes are no binary array");
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map(|word| i32::from_be_bytes(word.try_into().expect("four bytes"))).ok_or_else(invalid)
    };
    match word(value, 0)? {
        0 => return Ok(Vec::new()),
        1 => {}
        dimensions => return Err(SqlError::not_supported(format!("an array of {dimensions} dimensions"))),
    }
    // Dimensions, flags, element type; then length and lower bound; then the items, each with its length.
    let (count, mut rest) = (word(value, 12)?, value.get(20..).ok_or_else(invalid)?);
    let mut items = Vec::new();
    for _ in 0..count {
        let length = word(rest, 0)?;
        rest = &rest[4..];
        items.push(match usize::try_from(length) {
            Ok(length) => {
                let item = rest.get(..length).ok_or_else(invalid)?;
                rest = &rest[length..];
                Some(item)
            }
            Err(_) => None,
        });
    }
    Ok(items)
}

/// `{a,"b \" c",NULL}`.
fn array_from_text(text: &str) -> Result<Vec<Option<String>>, SqlError> {
    let invalid = || SqlError::new("22P02", format!("malformed array literal: {text:?}"));
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(invalid)?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut items = Vec::new();
    let mut characters = inner.chars();
    loop {
        let (mut item, mut quoted, mut inside, mut ended) = (String::new(), false, false, true);
        while let Some(character) = characters.next() {
            match character {
                '"' => (quoted, inside) = (true, !inside),
                '\\' => item.push(characters.next().ok_or_else(invalid)?),
                ',' if !inside => {
                    ended = false;
                    break;
                }
                '{' | '}' if !inside => return Err(SqlError::not_supported("an array of several dimensions")),
                other => item.push(other),
            }
        }
        if inside {
            return Err(invalid());
        }
        items.push(match quoted {
            true => Some(item),
            false if item.trim().eq_ignore_ascii_case("null") => None,
            false => Some(item.trim().to_owned()),
        });
        if ended {
            return Ok(items);
        }
    }
}

fn utf8(value: &[u8]) -> Result<&str, SqlError> {
    std::str::from_utf8(value).map_err(|error| SqlError::new("22021", format!("parameter is not UTF-8: {error}")))
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).into())
}

/// An expression of our own writing: digits, dates and names only.
fn sql(expression: &str) -> Expr {
    Parser::new(&PostgreSqlDialect {})
        .try_with_sql(expression)
        .and_then(|mut parser| parser.parse_expr())
        .expect("an expression written here parses")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Tz {
        "Asia/Seoul".parse().unwrap()
    }

    fn of_text(value: &str, of: Type) -> String {
        literal(Some(value.as_bytes()), false, Some(&of), zone())
            .map_or_else(|error| error.code.to_owned(), |literal| literal.to_string())
    }

    fn of_binary(value: &[u8], of: Type) -> String {
        literal(Some(value), true, Some(&of), zone()).map_or_else(|error| error.code.to_owned(), |literal| literal.to_string())
    }

    #[test]
    fn text_and_binary_of_one_value_are_one_literal() {
        for (text, binary, of) in [
            ("true", &b"\x01"[..], Type::BOOL),
            ("-5", &(-5i16).to_be_bytes(), Type::INT2),
            ("70000", &70_000i32.to_be_bytes(), Type::INT4),
            ("9007199254740993", &9_007_199_254_740_993i64.to_be_bytes(), Type::INT8),
            ("0.1", &0.1f64.to_be_bytes(), Type::FLOAT8),
            ("NaN", &f64::NAN.to_be_bytes(), Type::FLOAT8),
            ("inf", &f64::INFINITY.to_be_bytes(), Type::FLOAT8),
            ("O'Brien \\ 한강", "O'Brien \\ 한강".as_bytes(), Type::TEXT),
            ("\\x00ff", &[0, 255], Type::BYTEA),
            ("2000-01-02", &1i32.to_be_bytes(), Type::DATE),
            ("2000-01-01 09:00:01", &1_000_000i64.to_be_bytes(), Type::TIMESTAMPTZ),
            ("2000-01-01 00:00:01.5", &1_500_000i64.to_be_bytes(), Type::TIMESTAMP),
            ("-1234567.89", &numeric_bytes(1, 0x4000, 2, &[123, 4567, 8900]), Type::NUMERIC),
            ("0.0005", &numeric_bytes(-1, 0, 4, &[5]), Type::NUMERIC),
        ] {
            assert_eq!(of_text(text, of.clone()), of_binary(binary, of.clone()), "{text} as {}", of.name());
        }
    }

    fn numeric_bytes(weight: i16, sign: i16, scale: i16, groups: &[i16]) -> Vec<u8> {
        [groups.len() as i16, weight, sign, scale].iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn an_instant_without_a_zone_is_in_the_sessions_zone() {
        let utc = "arrow_cast('2022-09-30T15:00:00.000000Z', 'Timestamp(Microsecond, Some(\"UTC\"))')";
        assert_eq!(of_text("2022-10-01 00:00:00", Type::TIMESTAMPTZ), utc);
        assert_eq!(of_text("2022-10-01 00:00:00+09", Type::TIMESTAMPTZ), utc);
        assert_eq!(of_text("2022-09-30T15:00:00Z", Type::TIMESTAMPTZ), utc);
    }

    #[test]
    fn what_is_not_of_its_type_is_refused_with_its_code() {
        for (value, of, code) in [
            ("x", Type::INT4, "22P02"),
            ("", Type::INT4, "22P02"),
            ("3000000000", Type::INT4, "22003"),
            ("1 or 1=1", Type::NUMERIC, "22P02"),
            ("maybe", Type::BOOL, "22P02"),
            ("2022-13-01", Type::DATE, "22007"),
            ("yesterday", Type::TIMESTAMPTZ, "22007"),
            ("1 day'); DROP", Type::INTERVAL, "22P02"),
            ("(1,2)", Type::POINT, "0A000"),
            ("{1,x}", Type::INT8_ARRAY, "22P02"),
            ("{1", Type::INT8_ARRAY, "22P02"),
        ] {
            assert_eq!(of_text(value, of.clone()), code, "{value} as {}", of.name());
        }
        assert_eq!(of_binary(&[1, 2, 3], Type::INT4), "22P03");
        assert_eq!(of_binary(&[0xff], Type::TEXT), "22021");
        assert_eq!(of_binary(&[0; 7], Type::NUMERIC), "22P03");
        assert_eq!(of_binary(&i64::MAX.to_be_bytes(), Type::TIMESTAMPTZ), "22008");
    }

    #[test]
    fn a_text_array_keeps_quotes_commas_and_nulls() {
        assert_eq!(
            of_text(r#"{a,"b, \"c\"",NULL,"NULL"}"#, Type::TEXT_ARRAY),
            r#"ARRAY['a', 'b, "c"', CAST(NULL AS TEXT), 'NULL']"#
        );
        assert_eq!(of_text("{}", Type::INT4_ARRAY), "ARRAY[]");
    }

    #[test]
    fn a_parameter_stands_wherever_an_expression_can() {
        let statement = "SELECT $1 FROM t WHERE a = $2 AND b IN (SELECT c FROM u WHERE d > $1) LIMIT $3";
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, statement).unwrap().pop().unwrap();
        assert_eq!(count(&statement).unwrap(), 3);
        substitute(&mut statement, &[text("$2"), sql("5"), sql("7")]).unwrap();
        assert_eq!(statement.to_string(), "SELECT '$2' FROM t WHERE a = 5 AND b IN (SELECT c FROM u WHERE d > '$2') LIMIT 7");
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, "SELECT $2").unwrap().pop().unwrap();
        assert_eq!(substitute(&mut statement, &[sql("1")]).unwrap_err().code, "08P01");
    }
}
