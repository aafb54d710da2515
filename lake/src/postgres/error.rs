//! What went wrong with a statement, as a PostgreSQL client reads it: SQLSTATE, message, hint.
//!
//! Clients branch on the SQLSTATE (Metabase on 42P01 and 57014), people read the message. The codes are those of
//! <https://www.postgresql.org/docs/17/errcodes-appendix.html>. Never hides a cause: what has no code of its own is
//! XX000 with DataFusion's message.

use std::error::Error;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use pgwire::error::ErrorInfo;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use crate::LakeError;

/// An error that goes to the client. After a fatal one the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlError {
    pub fatal: bool,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<usize>,
}

impl SqlError {
    pub fn new(code: &'static str, message: impl Into<String>) -> SqlError {
        SqlError { fatal: false, code, message: message.into(), hint: None, position: None }
    }

    pub fn fatal(code: &'static str, message: impl Into<String>) -> SqlError {
        SqlError { fatal: true, ..SqlError::new(code, message) }
    }

    pub fn hint(self, hint: impl Into<String>) -> SqlError {
        SqlError { hint: Some(hint.into()), ..self }
    }

    /// The refusal of everything that would change or write something.
    pub fn read_only(what: &str) -> SqlError {
        SqlError::new("42501", format!("cannot execute {what}: the lake is read-only over this connection"))
            .hint("rows come in through topics and `hangang import` only; SELECT, EXPLAIN, SHOW and SET of session parameters are answered")
    }

    pub fn not_supported(what: impl std::fmt::Display) -> SqlError {
        SqlError::new("0A000", format!("{what} is not supported"))
    }

    pub fn protocol(message: impl Into<String>) -> SqlError {
        SqlError::new("08P01", message)
    }

    /// Syntax error, with its place in `sql` where the parser tells one.
    pub fn syntax(error: &ParserError, sql: &str) -> SqlError {
        match error {
            ParserError::RecursionLimitExceeded => SqlError::new("54001", "statement is nested too deeply")
                .hint("split the expression, or use IN and VALUES lists instead of long chains"),
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
                SqlError { position: position(message, sql), ..SqlError::new("42601", format!("syntax error: {message}")) }
            }
        }
    }

    pub fn response(&self) -> ErrorResponse {
        self.info(if self.fatal { "FATAL" } else { "ERROR" }).into()
    }

    pub fn notice(&self, severity: &str) -> NoticeResponse {
        self.info(severity).into()
    }

    fn info(&self, severity: &str) -> ErrorInfo {
        let mut info = ErrorInfo::new(severity.to_owned(), self.code.to_owned(), self.message.clone());
        info.severity_nonlocalized = Some(severity.to_owned());
        info.hint = self.hint.clone();
        info.position = self.position.map(|position| position.to_string());
        info
    }
}

/// The parser writes its place as `… at Line: 1, Column: 8`; PostgreSQL counts characters from the beginning.
fn position(message: &str, sql: &str) -> Option<usize> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.trim().parse().ok()?);
    let before: usize = sql.split_inclusive('\n').take(line.checked_sub(1)?).map(|line| line.chars().count()).sum();
    Some(before + column)
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> SqlError {
        // A SqlError that travelled through a stream of DataFusion's comes out as it went in.
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if let Some(sql) = inner.downcast_ref::<SqlError>() {
                return sql.clone();
            }
            if let Some(arrow) = inner.downcast_ref::<ArrowError>() {
                return of_arrow(arrow);
            }
            cause = inner.source();
        }
        let root = match error.find_root() {
            DataFusionError::Collection(errors) => errors.first().map_or(&error, |first| first.find_root()),
            root => root,
        };
        match root {
            DataFusionError::SQL(parser, _) => SqlError::syntax(parser, ""),
            DataFusionError::SchemaError(schema, _) => of_schema(schema),
            DataFusionError::ArrowError(arrow, _) => of_arrow(arrow),
            DataFusionError::Plan(message) | DataFusionError::Configuration(message) => of_plan(message),
            DataFusionError::Execution(message) => of_execution(message),
            DataFusionError::NotImplemented(message) => SqlError::new("0A000", first_line(message)),
            DataFusionError::ResourcesExhausted(message) => {
                SqlError::new("53200", format!("out of query memory: {}", first_line(message)))
                    .hint("narrow the query by time or columns, or raise the memory of the SQL wire")
            }
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
                SqlError::new("58030", first_line(&root.to_string()))
            }
            other => SqlError::new("XX000", first_line(&other.to_string())),
        }
    }
}

/// What a statement's error says to a person: the words that a client of the wire would read, on one line.
pub fn told(error: LakeError) -> String {
    match error {
        LakeError::Query(error) => {
            let SqlError { message, hint, .. } = SqlError::from(error);
            hint.map_or(message.clone(), |hint| format!("{message}; {hint}"))
        }
        other => other.to_string(),
    }
}

fn of_schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let near = valid_fields.iter().map(|field| field.flat_name()).take(FIELDS_IN_HINT_MAX).collect::<Vec<_>>().join(", ");
            let missing = SqlError::new("42703", format!("column \"{}\" does not exist", field.flat_name()));
            if near.is_empty() { missing } else { missing.hint(format!("there are: {near}")) }
        }
        SchemaError::AmbiguousReference { field } => {
            SqlError::new("42702", format!("column reference \"{}\" is ambiguous", field.name()))
                .hint("write the table before the column")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new("42701", format!("column \"{name}\" is given twice")).hint("give one of them another name with AS")
        }
    }
}

/// Columns that a hint names at most: what fits on a line or two.
const FIELDS_IN_HINT_MAX: usize = 20;

fn of_arrow(error: &ArrowError) -> SqlError {
    let message = first_line(&error.to_string());
    match error {
        ArrowError::DivideByZero => SqlError::new("22012", "division by zero"),
        ArrowError::ArithmeticOverflow(_) => SqlError::new("22003", message),
        ArrowError::CastError(_) | ArrowError::ParseError(_) => SqlError::new("22P02", message),
        ArrowError::MemoryError(_) => SqlError::new("53200", message),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::ResourcesExhausted(message)) => SqlError::new("53200", first_line(message)),
            _ => SqlError::new("XX000", message),
        },
        _ => SqlError::new("XX000", message),
    }
}

/// DataFusion has one error for everything that planning finds; the words are what tells them apart.
fn of_plan(message: &str) -> SqlError {
    let message = first_line(message);
    let lower = message.to_lowercase();
    if let Some(what) =
        ["DDL", "DML", "Statement"].iter().find_map(|kind| message.strip_prefix(&format!("{kind} not supported: ")))
    {
        return SqlError::read_only(&words(what));
    }
    if let Some(table) = lower.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found")) {
        return SqlError::new("42P01", format!("relation \"{}\" does not exist", unqualified(table)))
            .hint("tables are named with their schema, as in rollup.traffic_hourly; information_schema.tables lists them");
    }
    if lower.starts_with("table function '") {
        return SqlError::new("42883", message);
    }
    if let Some(function) = lower.strip_prefix("invalid function '") {
        let function = function.split('\'').next().unwrap_or(function);
        return SqlError::new("42883", format!("function {function} does not exist"));
    }
    let code = if lower.contains("no function matches")
        || lower.contains("failed to coerce arguments")
        || lower.contains("does not support zero arguments")
    {
        "42883"
    } else if lower.contains("not found") && lower.contains("column") {
        "42703"
    } else if lower.contains("group by") || lower.contains("aggregate") {
        "42803"
    } else if lower.contains("cannot coerce")
        || lower.contains("cannot infer common")
        || lower.contains("common type")
        || lower.contains("incompatible")
    {
        "42804"
    } else if lower.contains("projections require unique expression names") {
        "42701"
    } else if lower.contains("placeholder") {
        "42P18"
    } else {
        "42601"
    };
    SqlError::new(code, message)
}

/// `DropTable` as SQL writes it: DROP TABLE.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_uppercase());
    }
    words
}

/// A table's name without the one database that there is.
fn unqualified(table: &str) -> &str {
    table.strip_prefix(crate::CATALOG).and_then(|rest| rest.strip_prefix('.')).unwrap_or(table)
}

fn of_execution(message: &str) -> SqlError {
    let message = first_line(message);
    let lower = message.to_lowercase();
    let code = if lower.contains("divide by zero") || lower.contains("division by zero") {
        "22012"
    } else if lower.contains("overflow") || lower.contains("out of range") {
        "22003"
    } else if lower.contains("cannot cast") || lower.contains("error parsing") || lower.contains("parser error") {
        "22P02"
    } else {
        "XX000"
    };
    SqlError::new(code, message)
}

/// DataFusion appends back traces and suggestions on lines of their own.
fn first_line(message: &str) -> String {
    message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(message).lines().next().unwrap_or_default().trim().to_owned()
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl Error for SqlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_points_at_its_character() {
        let sql = "SELECT 1,\n  FROM x";
        let error = ParserError::ParserError("Expected: an expression, found: FROM at Line: 2, Column: 3".to_owned());
        let error = SqlError::syntax(&error, sql);
        assert_eq!((error.code, error.position), ("42601", Some(13)));
        assert_eq!(sql.chars().nth(12), Some('F'));
    }

    #[test]
    fn a_cause_deep_inside_keeps_its_code() {
        let inner = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        let shared = DataFusionError::Shared(std::sync::Arc::new(inner));
        assert_eq!(SqlError::from(shared.context("while projecting")).code, "22012");
        let ours = DataFusionError::External(Box::new(SqlError::new("57014", "stopped")));
        assert_eq!(SqlError::from(ours.context("while sorting")).code, "57014");
    }
}
