//! One client's connection: from the start-up packet, message by message, to its end.
//!
//! The conversation is in this file, in the order in which it happens: greet, then answer each message by what it is
//! (`extended` has the messages of prepared statements). What a statement means is the session's; how a value is written is `rows`'. Nothing of a result is held
//! but the batch that is being sent.

mod extended;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use pgwire::api::results::FieldFormat;
use pgwire::messages::PgWireBackendMessage as Answer;
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, GssEncResponse, ReadyForQuery, SslResponse, TransactionStatus,
};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

use super::cancel::Cancellable;
use super::codec::{Codec, Fault, Message};
use super::error::SqlError;
use super::limits::{Limits, gone, shutting_down};
use super::rows::{Column, Rows, description};
use super::run::Running;
use super::session::{Planned, Session};
use super::settings::Settings;
use super::statement::{Action, parse};
use super::{Shared, catalog};
use extended::{Portal, Prepared};

/// From the connection's beginning to its start-up packet. PostgreSQL gives a minute; on loopback it takes milliseconds.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes gathered before they are written: few writes, and little held for a client that reads slowly.
const WRITE_BYTES: usize = 64 * 1024;
/// The protocol spoken: 3.0. Newer minor ones have longer secret keys, and nothing else that matters here.
const PROTOCOL: i32 = 196_608;

/// Serves one client until it leaves, `stop` is cancelled, or it can no longer be understood.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    let mut wire = Framed::new(stream, Codec::new(shared.options.statement_bytes_max));
    wire.set_backpressure_boundary(WRITE_BYTES);
    let opened = tokio::select! {
        opened = open(&mut wire, &shared) => opened,
        () = tokio::time::sleep(STARTUP_TIMEOUT) => return,
        () = stop.cancelled() => return,
    };
    let served = match opened {
        Ok(None) => return,
        Ok(Some(parameters)) => match Connection::greet(wire, &shared, &parameters, stop).await {
            Ok(mut connection) => connection.converse().await,
            Err((wire, fault)) => farewell(wire, fault).await,
        },
        Err(fault) => farewell(wire, fault).await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a SQL client's connection broke");
    }
}

type Wire = Framed<TcpStream, Codec>;

/// Reads the start-up packet. `None` where the connection was only made to cancel something, or went away.
async fn open(wire: &mut Wire, shared: &Shared) -> Result<Option<Vec<(String, String)>>, Fault> {
    loop {
        let Some(message) = wire.next().await else { return Ok(None) };
        match message? {
            // No TLS: on loopback nobody is in between. The client goes on in plain text, or leaves.
            Message::AskTls => wire.send(Answer::SslResponse(SslResponse::Refuse)).await?,
            Message::AskGss => wire.send(Answer::GssEncResponse(GssEncResponse::Refuse)).await?,
            Message::Cancel { pid, secret } => {
                shared.cancels.cancel(pid, secret);
                return Ok(None);
            }
            Message::Startup { minor, parameters, .. } => {
                let options: Vec<String> =
                    parameters.iter().map(|(name, _)| name.clone()).filter(|name| name.starts_with("_pq_.")).collect();
                if minor > 0 || !options.is_empty() {
                    wire.feed(Answer::NegotiateProtocolVersion(NegotiateProtocolVersion::new(PROTOCOL, options))).await?;
                }
                return Ok(Some(parameters));
            }
            _ => unreachable!("the codec reads nothing else before the start-up packet"),
        }
    }
}

/// Tells the client why, if it can still be told, and closes.
async fn farewell(mut wire: Wire, fault: Fault) -> Result<(), std::io::Error> {
    match fault {
        Fault::Io(error) => Err(error),
        Fault::Sql(error) => {
            wire.send(Answer::ErrorResponse(SqlError { fatal: true, ..error }.response())).await?;
            wire.close().await
        }
    }
}

struct Connection {
    wire: Wire,
    session: Session,
    cancellable: Cancellable,
    stop: CancellationToken,
    shared: Arc<Shared>,
    prepared: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    /// Parameters as the client was last told.
    told: BTreeMap<&'static str, String>,
    /// After an error in the extended protocol, until Sync.
    skipping: bool,
    /// Counts against the server's connections as long as it lives.
    _permit: OwnedSemaphorePermit,
}

/// Rows as they come.
struct Source {
    running: Running,
    columns: Vec<Column>,
    formats: Vec<FieldFormat>,
    tag: &'static str,
    batch: Option<Rows>,
}

impl Connection {
    /// Admits the client and tells it all it has to know before its first statement.
    async fn greet(
        wire: Wire,
        shared: &Arc<Shared>,
        startup: &[(String, String)],
        stop: CancellationToken,
    ) -> Result<Connection, (Wire, Fault)> {
        let admitted = admit(shared, startup);
        let (permit, settings) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => return Err((wire, Fault::Sql(error))),
        };
        let cancellable = shared.cancels.register();
        let user = value(startup, "user").unwrap_or_default();
        let context = catalog::extend((shared.sessions)(), user, cancellable.pid);
        let mut connection = Connection {
            wire,
            session: Session::new(context, settings),
            cancellable,
            stop,
            shared: Arc::clone(shared),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            told: BTreeMap::new(),
            skipping: false,
            _permit: permit,
        };
        match connection.welcome().await {
            Ok(()) => Ok(connection),
            Err(fault) => Err((connection.wire, fault)),
        }
    }

    async fn welcome(&mut self) -> Result<(), Fault> {
        self.wire.feed(Answer::Authentication(Authentication::Ok)).await?;
        let (pid, secret) = (self.cancellable.pid, self.cancellable.secret);
        self.tell_parameters().await?;
        self.wire.feed(Answer::BackendKeyData(BackendKeyData::new(pid, SecretKey::I32(secret)))).await?;
        self.ready().await
    }

    async fn converse(&mut self) -> Result<(), std::io::Error> {
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(shutting_down()),
                message = self.wire.next() => match message {
                    None | Some(Ok(Message::Terminate)) => return Ok(()),
                    Some(message) => message,
                },
            };
            let answered = match next {
                Ok(message) => self.answer(message).await,
                Err(fault) => Err(fault),
            };
            match answered {
                Ok(()) => {}
                Err(Fault::Io(error)) => return Err(error),
                Err(Fault::Sql(error)) => {
                    self.wire.send(Answer::ErrorResponse(error.response())).await?;
                    return self.wire.close().await;
                }
            }
        }
    }

    /// Answers one message. What comes back as an error ends the connection.
    async fn answer(&mut self, message: Message) -> Result<(), Fault> {
        match message {
            Message::Sync => {
                self.skipping = false;
                if self.session.status() == TransactionStatus::Idle {
                    self.portals.clear();
                }
                self.ready().await
            }
            Message::Flush => Ok(self.wire.flush().await?),
            // COPY's data, from a client that had not yet seen COPY refused.
            Message::Other(b'd' | b'c' | b'f') => Ok(()),
            Message::Other(kind) => {
                Err(SqlError::fatal("08P01", format!("message type {:?} has no meaning here", char::from(kind))).into())
            }
            _ if self.skipping => Ok(()),
            Message::Query(sql) => {
                let done = self.simple(&sql).await;
                self.report(done).await?;
                self.ready().await
            }
            extended => {
                let done = self.extended(extended).await;
                self.skipping = self.report(done).await?;
                Ok(())
            }
        }
    }

    /// Tells the client of an error that its connection survives; true if there was one.
    async fn report(&mut self, done: Result<(), Fault>) -> Result<bool, Fault> {
        match done {
            Ok(()) => Ok(false),
            Err(Fault::Sql(error)) if !error.fatal => {
                metrics::counter!("hangang_sql_errors_total", "code" => error.code).increment(1);
                tracing::debug!(code = error.code, message = %error.message, "a statement failed");
                self.session.fail();
                self.wire.feed(Answer::ErrorResponse(error.response())).await?;
                // A client that pipelines waits for this before it sends its Sync.
                self.wire.flush().await?;
                Ok(true)
            }
            Err(fault) => Err(fault),
        }
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        self.tell_parameters().await?;
        let status = self.session.status();
        Ok(self.wire.send(Answer::ReadyForQuery(ReadyForQuery::new(status))).await?)
    }

    /// ParameterStatus for whatever isn't as the client was last told.
    async fn tell_parameters(&mut self) -> Result<(), Fault> {
        for (name, value) in self.session.settings.reported() {
            if self.told.get(name) != Some(&value) {
                self.wire.feed(Answer::ParameterStatus(ParameterStatus::new(name.to_owned(), value.clone()))).await?;
                self.told.insert(name, value);
            }
        }
        Ok(())
    }

    /// A text of any number of statements, answered one after the other up to the first error.
    async fn simple(&mut self, sql: &str) -> Result<(), Fault> {
        let actions = self.parse(sql)?;
        if actions.is_empty() {
            return Ok(self.wire.feed(Answer::EmptyQueryResponse(EmptyQueryResponse::new())).await?);
        }
        for action in actions {
            self.session.admit(&action)?;
            let limits = self.limits();
            match limits.run(gone(self.wire.get_ref()), self.session.plan(&action, &[])).await?? {
                Some(planned) => {
                    let formats = vec![FieldFormat::Text; planned.columns.len()];
                    self.wire.feed(Answer::RowDescription(description(&planned.columns, &formats))).await?;
                    let mut source = self.start(planned, formats);
                    let rows = self.send(&mut source, None, &limits).await?;
                    self.complete(format!("{} {rows}", source.tag)).await?;
                }
                None => self.command(&action).await?,
            }
        }
        Ok(())
    }

    fn start(&self, planned: Planned, formats: Vec<FieldFormat>) -> Source {
        metrics::counter!("hangang_sql_reads_total").increment(1);
        let running = self.session.run(&planned, &self.shared.threads);
        Source { running, columns: planned.columns, formats, tag: planned.tag, batch: None }
    }

    /// Sends rows as they come, at most `rows_max`; how many there were.
    async fn send(&mut self, source: &mut Source, rows_max: Option<usize>, limits: &Limits) -> Result<usize, Fault> {
        let (_, zone) = self.session.settings.time_zone();
        let mut sent = 0;
        loop {
            if rows_max == Some(sent) {
                return Ok(sent);
            }
            let Some(row) = source.batch.as_mut().and_then(Rows::next) else {
                match limits.run(gone(self.wire.get_ref()), source.running.next()).await? {
                    Some(batch) => {
                        source.batch = Some(Rows::new(&batch?, &source.columns, &source.formats, zone)?);
                        continue;
                    }
                    None => return Ok(sent),
                }
            };
            self.wire.start_send_unpin(Answer::DataRow(row?))?;
            sent += 1;
            if self.wire.write_buffer().len() >= WRITE_BYTES {
                // A client that doesn't read holds the statement here; it can still be stopped.
                limits.run(std::future::pending(), self.wire.flush()).await??;
            }
        }
    }

    async fn command(&mut self, action: &Action) -> Result<(), Fault> {
        let done = self.session.command(action)?;
        match action {
            Action::Commit | Action::Rollback => self.portals.clear(),
            Action::Deallocate(None) => self.prepared.clear(),
            Action::Deallocate(Some(name)) => {
                self.prepared.remove(name).ok_or_else(|| no_statement(name))?;
            }
            Action::Discard { all: true } => {
                self.prepared.clear();
                self.portals.clear();
            }
            _ => {}
        }
        if let Some(warning) = done.warning {
            self.wire.feed(Answer::NoticeResponse(warning.notice("WARNING"))).await?;
        }
        self.complete(done.tag.to_owned()).await
    }

    async fn complete(&mut self, tag: String) -> Result<(), Fault> {
        Ok(self.wire.feed(Answer::CommandComplete(CommandComplete::new(tag))).await?)
    }

    fn parse(&self, sql: &str) -> Result<Vec<Action>, SqlError> {
        if sql.len() > self.shared.options.statement_bytes_max {
            return Err(SqlError::new(
                "54000",
                format!("statement of {} bytes, at most {} are read", sql.len(), self.shared.options.statement_bytes_max),
            )
            .hint("pass long lists as parameters"));
        }
        parse(sql)
    }

    /// What ends the statement that begins now before its time.
    fn limits(&self) -> Limits {
        Limits::new(self.cancellable.begin(), self.stop.clone(), self.session.settings.statement_timeout())
    }
}

/// Who may come in: anybody on loopback, as long as there is room, to the one database.
fn admit(shared: &Shared, startup: &[(String, String)]) -> Result<(OwnedSemaphorePermit, Settings), SqlError> {
    let permit = Arc::clone(&shared.permits).try_acquire_owned().map_err(|_| {
        SqlError::new("53300", format!("sorry, too many clients already: {} are connected", shared.options.connections_max))
            .hint("close idle connections, or share them through a pool")
    })?;
    let Some(user) = value(startup, "user").filter(|user| !user.is_empty()) else {
        return Err(SqlError::new("28000", "no user name was given").hint("any name will do on this address"));
    };
    // Clients that are told no database ask for one of the user's name.
    let database = value(startup, "database").filter(|database| !database.is_empty()).unwrap_or(user);
    if ![crate::CATALOG, user, "postgres"].contains(&database) {
        return Err(SqlError::new("3D000", format!("database \"{database}\" does not exist"))
            .hint(format!("the lake is the database \"{}\"", crate::CATALOG)));
    }
    Ok((permit, Settings::new(shared.options.statement_timeout, startup)?))
}

fn value<'a>(startup: &'a [(String, String)], name: &str) -> Option<&'a str> {
    startup.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn no_statement(name: &str) -> SqlError {
    SqlError::new("26000", format!("prepared statement \"{name}\" does not exist"))
}
