//! One client's session: its parameters, its transaction, and how a statement becomes a plan.
//!
//! Each connection has a DataFusion context of its own, so that no client can change another's. A transaction here
//! only keeps the books that drivers expect (states, savepoints, what SET is undone): there is nothing to commit, and
//! every statement sees the newest snapshots.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{Expr, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use pgwire::api::Type;
use pgwire::messages::response::TransactionStatus;

use super::error::SqlError;
use super::rows::{Column, columns};
use super::run::{Running, Threads, yielding};
use super::settings::Settings;
use super::statement::Action;
use super::{dialect, names, parameters};
use crate::read_only;

/// Savepoints of one transaction at most; PostgreSQL's own limit is memory.
const SAVEPOINTS_MAX: usize = 1_000;

pub(super) struct Session {
    context: SessionContext,
    pub settings: Settings,
    status: TransactionStatus,
    /// Parameters when the transaction began, and at each savepoint: what a rollback goes back to.
    at_begin: Settings,
    savepoints: Vec<(String, Settings)>,
}

/// A planned read, ready to run.
pub(super) struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    pub columns: Vec<Column>,
    pub tag: &'static str,
}

/// What a command of the session answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub tag: &'static str,
    pub warning: Option<SqlError>,
}

impl Session {
    pub fn new(context: SessionContext, settings: Settings) -> Session {
        let session =
            Session { context, at_begin: settings.clone(), settings, status: TransactionStatus::Idle, savepoints: Vec::new() };
        session.apply();
        session
    }

    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// A statement failed: what is left of its transaction is refused until it ends.
    pub fn fail(&mut self) {
        self.status = self.status.to_error_state();
    }

    /// # Errors
    /// 25P02 where the transaction has failed and `action` doesn't end it.
    pub fn admit(&self, action: &Action) -> Result<(), SqlError> {
        let ends = matches!(action, Action::Commit | Action::Rollback | Action::RollbackTo(_));
        match self.status {
            TransactionStatus::Error if !ends => {
                Err(SqlError::new("25P02", "current transaction is aborted, commands ignored until end of transaction block")
                    .hint("send ROLLBACK"))
            }
            _ => Ok(()),
        }
    }

    /// Plans a read with its parameters in place, on the newest snapshots; `None` for a command.
    pub async fn plan(&self, action: &Action, literals: &[Expr]) -> Result<Option<Planned>, SqlError> {
        let (mut statement, tag) = match action {
            Action::Read { statement, tag } => ((**statement).clone(), *tag),
            Action::Show(name) => (self.show(name)?, "SHOW"),
            _ => return Ok(None),
        };
        parameters::substitute(&mut statement, literals)?;
        let names = names::of(&statement);
        dialect::adapt(&mut statement);
        let state = self.context.state();
        let plan = state.statement_to_plan(DataFusionStatement::Statement(Box::new(statement))).await?;
        // The second fence, behind the parser's: whatever the text was, the plan only reads.
        read_only().verify_plan(&plan).map_err(|_| SqlError::read_only("this"))?;
        let plan = yielding(state.create_physical_plan(&plan).await?)?;
        let columns = columns(&plan.schema(), &names)?;
        Ok(Some(Planned { plan, columns, tag }))
    }

    /// The types of a statement's parameters: the client's where it gave one, else what the plan tells, else text.
    pub async fn parameter_types(&self, action: &Action, given: &[Option<Type>], count: usize) -> Result<Vec<Type>, SqlError> {
        let given = |index: usize| given.get(index).cloned().flatten();
        if (0..count).all(|index| given(index).is_some()) {
            return Ok((0..count).filter_map(given).collect());
        }
        let Action::Read { statement, .. } = action else { return Ok(Vec::new()) };
        let bounds = parameters::bounds(statement);
        let mut statement = (**statement).clone();
        dialect::adapt(&mut statement);
        let state = self.context.state();
        let plan = state.statement_to_plan(DataFusionStatement::Statement(Box::new(statement))).await?;
        let inferred = plan.get_parameter_fields()?;
        let of = |index: usize| {
            let field = inferred.get(&format!("${}", index + 1)).cloned().flatten();
            let inferred = field.and_then(|field| arrow_pg::datatypes::into_pg_type(field.data_type()).ok());
            given(index)
                .or(inferred)
                .or(bounds.contains(&(index + 1)).then_some(Type::INT8))
                .filter(|of| *of != Type::UNKNOWN)
                .unwrap_or(Type::TEXT)
        };
        Ok((0..count).map(of).collect())
    }

    pub fn run(&self, planned: &Planned, threads: &Threads) -> Running {
        Running::start(&planned.plan, self.context.task_ctx(), threads)
    }

    /// Carries out what isn't a read.
    pub fn command(&mut self, action: &Action) -> Result<Done, SqlError> {
        let done = |tag| Done { tag, warning: None };
        let open = self.status != TransactionStatus::Idle;
        let answer = match action {
            Action::Begin if open => {
                Done { tag: "BEGIN", warning: Some(SqlError::new("25001", "there is already a transaction in progress")) }
            }
            Action::Begin => {
                self.status = TransactionStatus::Transaction;
                self.at_begin = self.settings.clone();
                done("BEGIN")
            }
            Action::Commit | Action::Rollback if !open => {
                let tag = if matches!(action, Action::Commit) { "COMMIT" } else { "ROLLBACK" };
                Done { tag, warning: Some(SqlError::new("25P01", "there is no transaction in progress")) }
            }
            Action::Commit if self.status == TransactionStatus::Transaction => {
                self.end(None);
                done("COMMIT")
            }
            Action::Commit | Action::Rollback => {
                let before = std::mem::take(&mut self.at_begin);
                self.end(Some(before));
                done("ROLLBACK")
            }
            Action::Savepoint(_) | Action::RollbackTo(_) | Action::Release(_) if !open => {
                return Err(
                    SqlError::new("25P01", "a savepoint can only be used in a transaction block").hint("send BEGIN first")
                );
            }
            Action::Savepoint(_) if self.savepoints.len() == SAVEPOINTS_MAX => {
                return Err(SqlError::new("53400", format!("a transaction has at most {SAVEPOINTS_MAX} savepoints here")));
            }
            Action::Savepoint(name) => {
                self.savepoints.push((name.clone(), self.settings.clone()));
                done("SAVEPOINT")
            }
            Action::RollbackTo(name) => {
                let at = self.savepoint(name)?;
                self.savepoints.truncate(at + 1);
                self.settings = self.savepoints[at].1.clone();
                self.status = TransactionStatus::Transaction;
                done("ROLLBACK")
            }
            Action::Release(name) => {
                let at = self.savepoint(name)?;
                self.savepoints.truncate(at);
                done("RELEASE")
            }
            Action::Set { name, value, local } => {
                self.settings.set(name, value.as_deref(), *local)?;
                match *local && !open {
                    true => {
                        self.settings.end_transaction();
                        Done {
                            tag: "SET",
                            warning: Some(SqlError::new("25P01", "SET LOCAL can only be used in transaction blocks")),
                        }
                    }
                    false => done("SET"),
                }
            }
            Action::SetNothing => done("SET"),
            Action::Reset(name) => {
                self.settings.reset(name.as_deref())?;
                done("RESET")
            }
            Action::Discard { all: true } if open => {
                return Err(SqlError::new("25001", "DISCARD ALL cannot run inside a transaction block"));
            }
            Action::Discard { all } => {
                if *all {
                    self.settings.reset(None)?;
                }
                done(if *all { "DISCARD ALL" } else { "DISCARD" })
            }
            Action::Deallocate(None) => done("DEALLOCATE ALL"),
            Action::Deallocate(Some(_)) => done("DEALLOCATE"),
            Action::Read { .. } | Action::Show(_) => unreachable!("a read is planned and run"),
        };
        self.apply();
        Ok(answer)
    }

    fn end(&mut self, back_to: Option<Settings>) {
        self.status = TransactionStatus::Idle;
        self.savepoints.clear();
        if let Some(before) = back_to {
            self.settings = before;
        }
        self.settings.end_transaction();
    }

    fn savepoint(&self, name: &str) -> Result<usize, SqlError> {
        let at = self.savepoints.iter().rposition(|(known, _)| known == name);
        at.ok_or_else(|| SqlError::new("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    /// What DataFusion itself has to know of the parameters: the zone of `now()` and of casts from text.
    fn apply(&self) {
        let (zone, _) = self.settings.time_zone();
        self.context.state_ref().write().config_mut().options_mut().execution.time_zone = Some(zone);
    }

    /// SHOW as a query, so that it is described and bound like any other.
    fn show(&self, name: &str) -> Result<Statement, SqlError> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let sql = match name {
            "all" => {
                let rows = self.settings.all().map(|(name, value)| format!("({}, {})", quoted(name), quoted(&value)));
                format!("SELECT name, setting FROM (VALUES {}) AS t(name, setting)", rows.collect::<Vec<_>>().join(", "))
            }
            _ => {
                let (name, value) = self.settings.show(name)?;
                format!("SELECT {} AS \"{name}\"", quoted(&value))
            }
        };
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, &sql).map_err(|error| SqlError::syntax(&error, &sql))?;
        Ok(statements.pop().expect("one statement was written"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::statement::parse;
    use super::*;

    fn session() -> Session {
        Session::new(SessionContext::new(), Settings::new(Duration::ZERO, &[]).unwrap())
    }

    /// Runs commands and tells, for each, its tag or code and the transaction's state after it.
    fn run(session: &mut Session, commands: &str) -> String {
        let told = parse(commands).unwrap().into_iter().map(|action| {
            let told = session.admit(&action).and_then(|()| session.command(&action)).map_or_else(
                |error| {
                    session.fail();
                    error.code.to_owned()
                },
                |done| match done.warning {
                    Some(warning) => format!("{} ({})", done.tag, warning.code),
                    None => done.tag.to_owned(),
                },
            );
            format!("{told}:{}", char::from(session.status() as u8))
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_failed_transaction_refuses_everything_until_it_ends() {
        let told = run(
            &mut session(),
            "BEGIN; SAVEPOINT a; RELEASE b; SET timezone = 'UTC'; ROLLBACK TO a; RELEASE a; RELEASE a; COMMIT; COMMIT",
        );
        assert_eq!(told, "BEGIN:T SAVEPOINT:T 3B001:E 25P02:E ROLLBACK:T RELEASE:T 3B001:E ROLLBACK:I COMMIT (25P01):I");
        assert_eq!(run(&mut session(), "SAVEPOINT a; BEGIN; BEGIN; ROLLBACK"), "25P01:I BEGIN:T BEGIN (25001):T ROLLBACK:I");
    }

    #[test]
    fn a_rollback_undoes_what_was_set() {
        let mut session = session();
        run(&mut session, "SET timezone = 'Asia/Seoul'; BEGIN; SET timezone = 'UTC'; ROLLBACK");
        assert_eq!(session.settings.time_zone().0, "Asia/Seoul");
        run(&mut session, "BEGIN; SAVEPOINT a; SET timezone = 'UTC'; ROLLBACK TO a; COMMIT");
        assert_eq!(session.settings.time_zone().0, "Asia/Seoul");
        run(&mut session, "BEGIN; SET LOCAL timezone = 'UTC'");
        assert_eq!(session.settings.time_zone().0, "UTC");
        run(&mut session, "COMMIT");
        assert_eq!(session.settings.time_zone().0, "Asia/Seoul");
        assert_eq!(run(&mut session, "SET LOCAL timezone = 'UTC'"), "SET (25P01):I");
        assert_eq!(session.settings.time_zone().0, "Asia/Seoul");
        run(&mut session, "BEGIN; SET timezone = 'UTC'; COMMIT");
        assert_eq!(session.settings.time_zone().0, "UTC");
    }
}
