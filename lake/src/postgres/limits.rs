//! What can end a statement before it is done: its client, its time, the server's end.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::codec::Fault;
use super::error::SqlError;

/// Of one statement, from its beginning.
pub(super) struct Limits {
    cancelled: CancellationToken,
    stop: CancellationToken,
    deadline: Option<Instant>,
}

impl Limits {
    pub fn new(cancelled: CancellationToken, stop: CancellationToken, timeout: Option<Duration>) -> Limits {
        Limits { cancelled, stop, deadline: timeout.map(|timeout| Instant::now() + timeout) }
    }

    /// `work`, unless the client cancels it, its time is over, the server stops, or the client is `gone`.
    pub async fn run<T>(&self, gone: impl Future<Output = io::Error>, work: impl Future<Output = T>) -> Result<T, Fault> {
        let over = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(SqlError::new("57014", "canceling statement due to user request").into()),
            () = self.stop.cancelled() => Err(shutting_down()),
            () = over => Err(SqlError::new("57014", "canceling statement due to statement timeout").hint("narrow the query, or raise statement_timeout").into()),
            error = gone => Err(Fault::Io(error)),
            value = work => Ok(value),
        }
    }
}

/// Ends when the client has closed its side: nobody is left to run a statement for.
pub(super) async fn gone(stream: &TcpStream) -> io::Error {
    match stream.peek(&mut [0]).await {
        Ok(0) => io::ErrorKind::ConnectionAborted.into(),
        Err(error) => error,
        // The next message is waiting. Whether the client leaves behind it shows when that is read.
        Ok(_) => std::future::pending().await,
    }
}

pub(super) fn shutting_down() -> Fault {
    Fault::Sql(SqlError::fatal("57P01", "terminating connection due to administrator command"))
}
