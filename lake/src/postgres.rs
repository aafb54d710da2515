//! SQL over the PostgreSQL wire: psql, psycopg, JDBC and BI tools read the lake as they would read PostgreSQL 17.
//!
//! Stands beside the record's way, at its end: it plans statements on a [`crate::Lake`]'s sessions and sends their rows.
//! It never writes: statements are let in by name (`statement`), plans are checked again (`session`), and each client
//! has a session of its own. The protocol is read here (`codec`), row values are written here (`rows`), because both
//! have to be exact; message types come from pgwire, rarer types from arrow-pg.
//!
//! There is no authentication and no TLS, so it listens on loopback only; see [`PostgresOptions::listen`].

mod cancel;
mod catalog;
mod codec;
mod connection;
mod dialect;
mod error;
mod limits;
mod names;
mod parameters;
mod rows;
mod run;
mod session;
mod settings;
mod statement;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::SessionContext;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::Lake;
use cancel::Cancels;
pub use error::told;
use run::Threads;

/// What the server listens on, and its bounds.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Where to listen; port 0 takes a free one. Only loopback addresses are taken, as everybody who can connect is
    /// trusted.
    pub listen: SocketAddr,
    /// Clients at once; one more is told 53300. Each holds a session, and its statement the memory of a batch a column.
    pub connections_max: usize,
    /// Length of a statement, in bytes; a longer one is refused with 54000.
    pub statement_bytes_max: usize,
    /// After which a statement is stopped with 57014, where the client sets no `statement_timeout`. Zero: never.
    pub statement_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> PostgresOptions {
        PostgresOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 5432)),
            connections_max: 32,
            statement_bytes_max: 1024 * 1024,
            statement_timeout: Duration::from_secs(600),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "address {address} is in use; another server listens there: stop it, or choose another port with --set postgres.listen=HOST:PORT"
    )]
    InUse { address: SocketAddr },
    #[error(
        "address {address} is not on loopback; the SQL wire has no authentication yet: listen on 127.0.0.1 and forward the port"
    )]
    NotLoopback { address: SocketAddr },
    #[error("cannot listen on {address}: {source}; choose another address with --set postgres.listen=HOST:PORT")]
    Listen { address: SocketAddr, source: io::Error },
}

/// A running server.
#[derive(Debug)]
pub struct PostgresServer {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl PostgresServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends when it was cancelled and its clients have been told, at most `STOP_TIMEOUT` later.
    pub async fn stopped(self) {
        if let Err(error) = self.accepting.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// What all connections of a server share.
struct Shared {
    sessions: Box<dyn Fn() -> SessionContext + Send + Sync>,
    options: PostgresOptions,
    permits: Arc<Semaphore>,
    cancels: Arc<Cancels>,
    threads: Threads,
}

/// Serves the lake until `cancel`.
///
/// # Errors
/// [`PostgresError`], where it cannot listen. What goes wrong later concerns one client and is told to it.
pub async fn serve(lake: Lake, options: PostgresOptions, cancel: CancellationToken) -> Result<PostgresServer, PostgresError> {
    let address = options.listen;
    if !address.ip().is_loopback() {
        return Err(PostgresError::NotLoopback { address });
    }
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => PostgresError::InUse { address },
        _ => PostgresError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shared = Arc::new(Shared {
        sessions: Box::new(move || lake.session()),
        permits: Arc::new(Semaphore::new(options.connections_max)),
        cancels: Arc::new(Cancels::default()),
        threads: Threads::new().map_err(failed)?,
        options,
    });
    tracing::info!(%address, "SQL is answered here");
    Ok(PostgresServer { address, accepting: tokio::spawn(accept(listener, shared, cancel)) })
}

/// How long clients have to take their goodbye.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Sockets beyond the clients that are still opening, or only came to cancel something.
const OPENING_MAX: usize = 64;
/// Pause after a failed accept: it fails for want of file descriptors, which come back as clients leave.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept(listener: TcpListener, shared: Arc<Shared>, cancel: CancellationToken) {
    let sockets =
        Arc::new(Semaphore::new(shared.options.connections_max.saturating_add(OPENING_MAX).min(Semaphore::MAX_PERMITS)));
    let mut clients = JoinSet::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(ended) = clients.join_next(), if !clients.is_empty() => {
                say_if_broken(ended);
                metrics::gauge!("hangang_sql_connections").set(clients.len() as f64);
                continue;
            }
            accepted = next(&listener, &sockets) => accepted,
        };
        let (stream, permit) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a SQL client could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (shared, cancel) = (Arc::clone(&shared), cancel.clone());
        clients.spawn(async move {
            connection::serve(stream, shared, cancel).await;
            drop(permit);
        });
        metrics::gauge!("hangang_sql_connections").set(clients.len() as f64);
    }
    drop(listener);
    let told = async {
        while let Some(ended) = clients.join_next().await {
            say_if_broken(ended);
        }
    };
    if tokio::time::timeout(STOP_TIMEOUT, told).await.is_err() {
        tracing::warn!(clients = clients.len(), "SQL clients did not take their goodbye and are cut off");
        clients.shutdown().await;
    }
}

async fn next(listener: &TcpListener, sockets: &Arc<Semaphore>) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(sockets).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    // Answers are short and waited for.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

fn say_if_broken(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a SQL client's task panicked; its connection is closed, the server goes on");
    }
}
