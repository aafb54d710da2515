//! From SQL text to what is to be done: the fence. Only what is named here gets through.
//!
//! A statement is either a read (planned by DataFusion, whose plan is checked once more before it runs), or a command
//! of the session that is answered here. Everything else is refused: what would change or write something with 42501,
//! what PostgreSQL could do and we can't with 0A000. Nothing reaches DataFusion's own SET, COPY or CREATE.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ContextModifier, CopyTarget, DiscardObject, Expr, Ident, Query, Reset, Select, Set, SetExpr, Statement, Value, ValueWithSpan,
    Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::error::SqlError;

/// Depth of nesting that the parser follows; deeper recursion would take the thread's stack.
const NESTING_MAX: usize = 100;

/// One statement that is allowed.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Rows come back: SELECT, VALUES, EXPLAIN.
    Read {
        statement: Box<Statement>,
        tag: &'static str,
    },
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    /// A SET that means nothing here and does no harm, as of the isolation level.
    SetNothing,
    Reset(Option<String>),
    Show(String),
    Discard {
        all: bool,
    },
    /// The prepared statement's name; `None` for all.
    Deallocate(Option<String>),
}

/// The statements of a text, in order. Empty for an empty one.
///
/// # Errors
/// 42601 where it doesn't parse, 42501 and 0A000 for the first statement that isn't allowed.
pub(super) fn parse(sql: &str) -> Result<Vec<Action>, SqlError> {
    let parsed = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(NESTING_MAX)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements());
    match parsed {
        Ok(statements) => statements.into_iter().map(action).collect(),
        // DataFusion's own forms (CREATE EXTERNAL TABLE … STORED AS, COPY … STORED AS) don't parse; what begins with a
        // verb of change is refused for that, whatever follows.
        Err(error) => Err(match first_word(sql) {
            Some(verb) if CHANGES.contains(&verb.as_str()) => SqlError::read_only(&verb),
            _ => SqlError::syntax(&error, sql),
        }),
    }
}

/// Verbs that change or write something however the statement goes on.
const CHANGES: &[&str] = &[
    "ALTER", "ANALYZE", "ATTACH", "CALL", "CLUSTER", "COMMENT", "COPY", "CREATE", "DELETE", "DETACH", "DO", "DROP", "EXPORT",
    "GRANT", "IMPORT", "INSERT", "INSTALL", "LOAD", "LOCK", "MERGE", "OPTIMIZE", "REFRESH", "REINDEX", "REPLACE", "REVOKE",
    "TRUNCATE", "UNLOAD", "UPDATE", "VACUUM",
];

fn action(statement: Statement) -> Result<Action, SqlError> {
    Ok(match statement {
        Statement::Query(query) => {
            refuse_writes(&query)?;
            Action::Read { statement: Box::new(Statement::Query(query)), tag: "SELECT" }
        }
        Statement::Explain { statement, describe_alias, analyze, verbose, query_plan, estimate, format, options } => {
            // Only a read is explained: EXPLAIN ANALYZE runs its statement.
            let Action::Read { statement, .. } = action(*statement)? else {
                return Err(SqlError::not_supported("EXPLAIN of anything but a query"));
            };
            let statement =
                Statement::Explain { statement, describe_alias, analyze, verbose, query_plan, estimate, format, options };
            Action::Read { statement: Box::new(statement), tag: "EXPLAIN" }
        }
        Statement::StartTransaction { statements, exception, .. } if statements.is_empty() && exception.is_none() => {
            Action::Begin
        }
        Statement::Commit { chain: false, .. } => Action::Commit,
        Statement::Rollback { chain: false, savepoint: None } => Action::Rollback,
        Statement::Rollback { chain: false, savepoint: Some(name) } => Action::RollbackTo(normal(&name)),
        Statement::Commit { .. } | Statement::Rollback { .. } => return Err(SqlError::not_supported("AND CHAIN")),
        Statement::Savepoint { name } => Action::Savepoint(normal(&name)),
        Statement::ReleaseSavepoint { name } => Action::Release(normal(&name)),
        Statement::Set(set) => of_set(set)?,
        Statement::Reset(reset) => match reset.reset {
            Reset::ALL => Action::Reset(None),
            Reset::ConfigurationParameter(name) => Action::Reset(Some(parameter(&name.to_string())?)),
        },
        Statement::ShowVariable { variable } => {
            let words = variable.iter().map(|word| word.value.to_lowercase()).collect::<Vec<_>>();
            Action::Show(match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
                ["time", "zone"] => "timezone".to_owned(),
                ["session", "authorization"] => "session_authorization".to_owned(),
                _ => words.join("."),
            })
        }
        Statement::Discard { object_type } => Action::Discard { all: matches!(object_type, DiscardObject::ALL) },
        Statement::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Action::Deallocate((!all).then(|| normal(&name)))
        }
        Statement::Copy { to: true, target: CopyTarget::Stdout, .. } => {
            return Err(SqlError::not_supported("COPY TO STDOUT").hint("SELECT the rows; psql writes them as CSV with --csv"));
        }
        Statement::Declare { .. } | Statement::Fetch { .. } | Statement::Close { .. } | Statement::Open(_) => {
            return Err(
                SqlError::not_supported("a cursor in SQL").hint("fetch a portal in portions with the extended protocol instead")
            );
        }
        Statement::Prepare { .. } | Statement::Execute { .. } => {
            return Err(SqlError::not_supported("PREPARE in SQL").hint("prepare with the extended protocol, as drivers do"));
        }
        Statement::LISTEN { .. } | Statement::UNLISTEN { .. } | Statement::NOTIFY { .. } => {
            return Err(SqlError::not_supported("LISTEN and NOTIFY"));
        }
        other => return Err(refused(&other)),
    })
}

/// What isn't known here is taken to change something, unless it begins with a word of reading.
fn refused(statement: &Statement) -> SqlError {
    let text = statement.to_string();
    match first_word(&text) {
        Some(verb) if ["SHOW", "DESC", "DESCRIBE", "EXPLAIN"].contains(&verb.as_str()) => {
            SqlError::not_supported(format!("{verb} in this form"))
                .hint("SELECT from information_schema.tables or information_schema.columns")
        }
        Some(verb) => SqlError::read_only(&verb),
        None => SqlError::read_only("this"),
    }
}

fn of_set(set: Set) -> Result<Action, SqlError> {
    Ok(match set {
        Set::SingleAssignment { scope, hivevar: false, variable, values } => {
            let local = matches!(scope, Some(ContextModifier::Local));
            Action::Set { name: parameter(&variable.to_string())?, value: setting(&values)?, local }
        }
        Set::SetTimeZone { local, value } => {
            let value = setting(&[value])?.filter(|zone| !zone.eq_ignore_ascii_case("local"));
            Action::Set { name: "timezone".to_owned(), value, local }
        }
        Set::SetNames { charset_name, .. } => {
            Action::Set { name: "client_encoding".to_owned(), value: Some(charset_name.value), local: false }
        }
        Set::SetNamesDefault {} => Action::Set { name: "client_encoding".to_owned(), value: None, local: false },
        // READ WRITE too, since tools send it: what it would allow is refused where it is tried.
        Set::SetTransaction { .. } => Action::SetNothing,
        other => return Err(SqlError::not_supported(format!("{:?}", other.to_string()))),
    })
}

/// A parameter's name as PostgreSQL folds it. DataFusion's own are out of reach.
fn parameter(name: &str) -> Result<String, SqlError> {
    let name = name.replace('"', "").to_lowercase();
    if name.starts_with("datafusion.") {
        return Err(SqlError::read_only(&format!("SET of {name}")));
    }
    Ok(name)
}

/// A parameter's new value; `None` for DEFAULT.
fn setting(values: &[Expr]) -> Result<Option<String>, SqlError> {
    let words: Vec<String> = values
        .iter()
        .map(|value| match value {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Ok(text.clone()),
            Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => Ok(number.clone()),
            Expr::Value(ValueWithSpan { value: Value::Boolean(on), .. }) => Ok(if *on { "on" } else { "off" }.to_owned()),
            Expr::Identifier(word) => Ok(word.value.clone()),
            Expr::UnaryOp { .. } => Ok(value.to_string().replace(' ', "")),
            other => Err(SqlError::new("22023", format!("{:?} is no value for a parameter", other.to_string()))),
        })
        .collect::<Result<_, _>>()?;
    match &words[..] {
        [word] if word.eq_ignore_ascii_case("default") => Ok(None),
        _ => Ok(Some(words.join(", "))),
    }
}

/// An identifier as PostgreSQL folds it.
fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// The first word of a text in upper case, comments skipped.
fn first_word(sql: &str) -> Option<String> {
    let mut rest = sql.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n')?.1
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else {
            break;
        };
        rest = rest.trim_start();
    }
    let word: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
    (!word.is_empty()).then(|| word.to_uppercase())
}

/// A query can write too: `WITH x AS (INSERT …)`, `SELECT … INTO`, `SELECT … FOR UPDATE`.
fn refuse_writes(query: &Query) -> Result<(), SqlError> {
    struct Fence;

    impl Visitor for Fence {
        type Break = SqlError;

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
            if !query.locks.is_empty() {
                return ControlFlow::Break(SqlError::read_only("SELECT FOR UPDATE"));
            }
            match changes(&query.body) {
                Some(verb) => ControlFlow::Break(SqlError::read_only(verb)),
                None => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
            match select.into {
                Some(_) => ControlFlow::Break(SqlError::read_only("SELECT INTO")),
                None => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<SqlError> {
            ControlFlow::Break(refused(statement))
        }
    }

    match query.visit(&mut Fence) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn changes(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Insert(_) => Some("INSERT"),
        SetExpr::Update(_) => Some("UPDATE"),
        SetExpr::Delete(_) => Some("DELETE"),
        SetExpr::Merge(_) => Some("MERGE"),
        SetExpr::SetOperation { left, right, .. } => changes(left).or_else(|| changes(right)),
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(sql: &str) -> &'static str {
        match parse(sql) {
            Ok(actions) => panic!("{sql:?} got through as {actions:?}"),
            Err(error) => error.code,
        }
    }

    #[test]
    fn what_would_write_is_refused_whatever_its_form() {
        for sql in [
            "INSERT INTO observed.traffic_volume VALUES (1)",
            "UPDATE rollup.traffic_hourly SET volume = 0",
            "DELETE FROM rollup.traffic_hourly",
            "TRUNCATE rollup.traffic_hourly",
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
            "CREATE TABLE t (a int)",
            "CREATE TEMP TABLE t AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
            "/* innocent */ create external table t stored as deltatable location 's3://x'",
            "CREATE FUNCTION f() RETURNS int AS 'x' LANGUAGE sql",
            "DROP TABLE rollup.traffic_hourly",
            "DROP SCHEMA rollup CASCADE",
            "ALTER TABLE t ADD COLUMN a int",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY (SELECT 1) TO PROGRAM 'cat'",
            "COPY t FROM STDIN",
            "COPY t TO '/tmp/x' STORED AS CSV",
            "SELECT 1 INTO t",
            "SELECT 1 UNION SELECT a INTO t FROM x",
            "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
            "WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x",
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM (SELECT * FROM t FOR SHARE) x",
            "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
            "EXPLAIN ANALYZE DELETE FROM t",
            "GRANT SELECT ON t TO x",
            "VACUUM",
            "LOCK TABLE t",
            "SET datafusion.execution.batch_size = 1",
            "SET \"datafusion\".\"execution\".\"batch_size\" = 1",
            "RESET datafusion.execution.batch_size",
            "SELECT 1; DROP TABLE t",
        ] {
            assert_eq!(code(sql), "42501", "{sql}");
        }
    }

    #[test]
    fn what_is_not_there_yet_says_so() {
        for sql in [
            "COPY (SELECT 1) TO STDOUT",
            "DECLARE c CURSOR FOR SELECT 1",
            "LISTEN x",
            "PREPARE p AS SELECT 1",
            "SHOW TABLES",
            "COMMIT AND CHAIN",
        ] {
            assert_eq!(code(sql), "0A000", "{sql}");
        }
        assert_eq!(code("SELEC 1"), "42601");
        assert_eq!(code(&format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000))), "54001");
    }

    #[test]
    fn reads_and_session_commands_get_through() {
        for sql in [
            "SELECT 1",
            "VALUES (1), (2)",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
        ] {
            assert!(matches!(parse(sql).unwrap()[..], [Action::Read { .. }]), "{sql}");
        }
        assert!(parse(" ; ;").unwrap().is_empty());
        assert!(parse("-- a comment").unwrap().is_empty());
        assert!(matches!(
            parse("BEGIN READ ONLY; SELECT 1; COMMIT").unwrap()[..],
            [Action::Begin, Action::Read { .. }, Action::Commit]
        ));
        assert!(matches!(&parse("ROLLBACK TO SAVEPOINT \"A b\"").unwrap()[..], [Action::RollbackTo(name)] if name == "A b"));
        assert!(
            matches!(&parse("SHOW TRANSACTION ISOLATION LEVEL").unwrap()[..], [Action::Show(name)] if name == "transaction_isolation")
        );
        assert!(matches!(&parse("DEALLOCATE ALL").unwrap()[..], [Action::Deallocate(None)]));
        assert!(matches!(
            parse("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED").unwrap()[..],
            [Action::SetNothing]
        ));
    }

    #[test]
    fn a_parameter_is_set_in_each_of_its_forms() {
        let set = |sql: &str| match parse(sql).unwrap().pop() {
            Some(Action::Set { name, value, local }) => (name, value, local),
            other => panic!("{sql}: {other:?}"),
        };
        let zone = |value: &str, local| ("timezone".to_owned(), Some(value.to_owned()), local);
        assert_eq!(set("SET TIMEZONE TO 'Asia/Seoul'"), zone("Asia/Seoul", false));
        assert_eq!(set("SET SESSION TimeZone = 'Asia/Seoul'"), zone("Asia/Seoul", false));
        assert_eq!(set("SET TIME ZONE 'Asia/Seoul'"), zone("Asia/Seoul", false));
        assert_eq!(set("SET LOCAL timezone = UTC"), zone("UTC", true));
        assert_eq!(set("SET timezone TO DEFAULT"), ("timezone".to_owned(), None, false));
        assert_eq!(set("SET statement_timeout = 5000"), ("statement_timeout".to_owned(), Some("5000".to_owned()), false));
        assert_eq!(set("SET search_path = a, \"B\""), ("search_path".to_owned(), Some("a, B".to_owned()), false));
    }
}
