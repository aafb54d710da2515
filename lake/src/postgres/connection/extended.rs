//! The extended protocol: prepared statements and portals, from Parse to Execute.
//!
//! Parse only parses: planning waits for the values, so that each execution reads the newest snapshots and a parameter
//! means what the same literal would. A portal keeps its stream of rows between two Executes, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Expr;
use futures::SinkExt;
use pgwire::api::Type;
use pgwire::api::results::FieldFormat;
use pgwire::messages::PgWireBackendMessage as Answer;
use pgwire::messages::data::{NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::EmptyQueryResponse;
use tokio::sync::OnceCell;

use super::super::codec::{Bind, Fault, Message, Target};
use super::super::error::SqlError;
use super::super::limits::gone;
use super::super::parameters;
use super::super::rows::{Column, description, formats};
use super::super::session::{Planned, Session};
use super::super::statement::Action;
use super::{Connection, Source, no_statement};

/// Prepared statements, and portals, that one connection may hold: drivers keep hundreds, a leak keeps all.
const KEPT_MAX: usize = 1_000;

/// A statement as Parse left it; `None` for an empty one.
pub(super) struct Prepared {
    action: Option<Action>,
    given: Vec<Option<Type>>,
    parameters: usize,
    /// Told on Describe, and then what binary values are read by.
    types: OnceCell<Vec<Type>>,
}

/// A statement with its parameters.
pub(super) enum Portal {
    Empty,
    Command(Action),
    Planned { planned: Planned, formats: Vec<FieldFormat> },
    Running(Source),
    Finished { tag: Option<&'static str>, columns: Vec<Column>, formats: Vec<FieldFormat> },
}

impl Prepared {
    async fn literals(&self, bind: &Bind, session: &Session) -> Result<Vec<Expr>, SqlError> {
        let formats = formats(&bind.parameter_formats, bind.parameters.len())?;
        let (_, zone) = session.settings.time_zone();
        let mut literals = Vec::with_capacity(formats.len());
        for (index, (value, format)) in bind.parameters.iter().zip(formats).enumerate() {
            let binary = format == FieldFormat::Binary;
            let of = match self.given.get(index).cloned().flatten() {
                None if binary => Some(self.types(session).await?[index].clone()),
                // A text of no given type means what the same quoted literal would mean.
                given => given,
            };
            literals.push(parameters::literal(value.as_deref(), binary, of.as_ref(), zone)?);
        }
        Ok(literals)
    }

    async fn types(&self, session: &Session) -> Result<&Vec<Type>, SqlError> {
        let types = async || match &self.action {
            Some(action) => session.parameter_types(action, &self.given, self.parameters).await,
            None => Ok(Vec::new()),
        };
        self.types.get_or_try_init(types).await
    }
}

impl Connection {
    pub(super) async fn extended(&mut self, message: Message) -> Result<(), Fault> {
        match message {
            Message::Parse { name, sql, types } => self.prepare(name, &sql, &types).await,
            Message::Bind(bind) => self.bind(bind).await,
            Message::Describe(Target::Statement(name)) => self.describe_statement(&name).await,
            Message::Describe(Target::Portal(name)) => self.describe_portal(&name).await,
            Message::Execute { portal, rows_max } => self.execute(portal, rows_max).await,
            Message::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.prepared.remove(&name)),
                    Target::Portal(name) => drop(self.portals.remove(&name)),
                }
                Ok(self.wire.feed(Answer::CloseComplete(CloseComplete::new())).await?)
            }
            other => unreachable!("{other:?} is answered elsewhere"),
        }
    }

    async fn prepare(&mut self, name: String, sql: &str, types: &[u32]) -> Result<(), Fault> {
        let mut actions = self.parse(sql)?;
        if actions.len() > 1 {
            return Err(SqlError::new("42601", "cannot insert multiple commands into a prepared statement").into());
        }
        if !name.is_empty() && self.prepared.contains_key(&name) {
            return Err(SqlError::new("42P05", format!("prepared statement \"{name}\" already exists")).into());
        }
        let action = actions.pop();
        if let Some(action) = &action {
            self.session.admit(action)?;
        }
        let parameters = match &action {
            Some(Action::Read { statement, .. }) => parameters::count(statement)?,
            _ => 0,
        };
        let given = types.iter().map(|&oid| Type::from_oid(oid).filter(|of| *of != Type::UNKNOWN)).collect();
        let prepared = Prepared { action, given, parameters, types: OnceCell::new() };
        keep(&mut self.prepared, name, Arc::new(prepared), "prepared statements")?;
        Ok(self.wire.feed(Answer::ParseComplete(ParseComplete::new())).await?)
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), Fault> {
        let prepared = self.prepared(&bind.statement)?;
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            return Err(SqlError::new("42P03", format!("portal \"{}\" already exists", bind.portal)).into());
        }
        if bind.parameters.len() != prepared.parameters {
            let message = format!(
                "bind message supplies {} parameters, but the statement requires {}",
                bind.parameters.len(),
                prepared.parameters
            );
            return Err(SqlError::protocol(message).into());
        }
        let portal = match &prepared.action {
            None => Portal::Empty,
            Some(action) => {
                self.session.admit(action)?;
                let (limits, session) = (self.limits(), &self.session);
                let planning = async {
                    let literals = prepared.literals(&bind, session).await?;
                    session.plan(action, &literals).await
                };
                match limits.run(gone(self.wire.get_ref()), planning).await?? {
                    Some(planned) => {
                        let formats = formats(&bind.result_formats, planned.columns.len())?;
                        Portal::Planned { planned, formats }
                    }
                    None => Portal::Command(action.clone()),
                }
            }
        };
        keep(&mut self.portals, bind.portal, portal, "portals")?;
        Ok(self.wire.feed(Answer::BindComplete(BindComplete::new())).await?)
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Fault> {
        let prepared = self.prepared(name)?;
        let (types, columns) = match &prepared.action {
            None => (Vec::new(), None),
            Some(action) => {
                self.session.admit(action)?;
                let (limits, session) = (self.limits(), &self.session);
                let planning = async {
                    // The result's types don't depend on the values, so nulls stand for them.
                    let types = prepared.types(session).await?.clone();
                    let planned = session.plan(action, &parameters::nulls(&types)).await?;
                    Ok::<_, SqlError>((types, planned.map(|planned| planned.columns)))
                };
                limits.run(gone(self.wire.get_ref()), planning).await??
            }
        };
        let oids = types.iter().map(Type::oid).collect();
        self.wire.feed(Answer::ParameterDescription(ParameterDescription::new(oids))).await?;
        let described = columns.map(|columns| {
            let formats = vec![FieldFormat::Text; columns.len()];
            description(&columns, &formats)
        });
        self.describe(described).await
    }

    async fn describe_portal(&mut self, name: &str) -> Result<(), Fault> {
        let described = match self.portals.get(name) {
            None => return Err(no_portal(name).into()),
            Some(Portal::Empty | Portal::Command(_)) => None,
            Some(Portal::Planned { planned, formats }) => Some(description(&planned.columns, formats)),
            Some(Portal::Running(source)) => Some(description(&source.columns, &source.formats)),
            Some(Portal::Finished { tag: None, .. }) => None,
            Some(Portal::Finished { columns, formats, .. }) => Some(description(columns, formats)),
        };
        self.describe(described).await
    }

    async fn describe(&mut self, described: Option<RowDescription>) -> Result<(), Fault> {
        let answer = described.map_or(Answer::NoData(NoData::new()), Answer::RowDescription);
        Ok(self.wire.feed(answer).await?)
    }

    /// Runs a portal, or goes on with it. It is put back when it has more to give.
    async fn execute(&mut self, name: String, rows_max: i32) -> Result<(), Fault> {
        let portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let limits = self.limits();
        let (mut source, rows_max) = match portal {
            Portal::Empty => {
                self.portals.insert(name, Portal::Empty);
                return Ok(self.wire.feed(Answer::EmptyQueryResponse(EmptyQueryResponse::new())).await?);
            }
            Portal::Command(action) => {
                self.session.admit(&action)?;
                self.command(&action).await?;
                self.portals.insert(name, Portal::Finished { tag: None, columns: Vec::new(), formats: Vec::new() });
                return Ok(());
            }
            Portal::Finished { tag: None, .. } => {
                return Err(SqlError::new("55000", format!("portal \"{name}\" cannot be run again")).into());
            }
            Portal::Finished { tag: Some(tag), columns, formats } => {
                self.portals.insert(name, Portal::Finished { tag: Some(tag), columns, formats });
                return self.complete(format!("{tag} 0")).await;
            }
            Portal::Planned { planned, formats } => (self.start(planned, formats), rows_max),
            Portal::Running(source) => (source, rows_max),
        };
        let rows_max = usize::try_from(rows_max).ok().filter(|&rows| rows > 0);
        let rows = self.send(&mut source, rows_max, &limits).await?;
        if rows_max == Some(rows) {
            self.portals.insert(name, Portal::Running(source));
            return Ok(self.wire.feed(Answer::PortalSuspended(PortalSuspended::new())).await?);
        }
        let Source { columns, formats, tag, .. } = source;
        self.portals.insert(name, Portal::Finished { tag: Some(tag), columns, formats });
        self.complete(format!("{tag} {rows}")).await
    }

    fn prepared(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        self.prepared.get(name).cloned().ok_or_else(|| no_statement(name))
    }
}

/// Keeps `value` under its name, the unnamed one in place of the one before.
fn keep<T>(kept: &mut HashMap<String, T>, name: String, value: T, what: &str) -> Result<(), SqlError> {
    if kept.len() >= KEPT_MAX && !kept.contains_key(&name) {
        return Err(SqlError::new("53400", format!("a connection holds at most {KEPT_MAX} {what}"))
            .hint("close those that are no longer used"));
    }
    kept.insert(name, value);
    Ok(())
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new("34000", format!("portal \"{name}\" does not exist"))
}
