//! Stopping a running statement from another connection, as psql's Ctrl-C and drivers' `cancel()` do.
//!
//! A client learns its process number and a secret at start-up and sends both on a connection of its own. A request
//! that names no connection, or reaches one between two statements, does nothing, as in PostgreSQL.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// All open connections of a server.
#[derive(Default)]
pub(super) struct Cancels {
    connections: Mutex<HashMap<i32, Connection>>,
    last: AtomicI32,
}

struct Connection {
    secret: i32,
    statement: Arc<Mutex<CancellationToken>>,
}

impl Cancels {
    pub fn register(self: &Arc<Self>) -> Cancellable {
        let pid = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let bytes = Uuid::new_v4().into_bytes();
        let secret = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let statement = Arc::new(Mutex::new(CancellationToken::new()));
        let connection = Connection { secret, statement: Arc::clone(&statement) };
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, connection);
        Cancellable { pid, secret, statement, all: Arc::clone(self) }
    }

    pub fn cancel(&self, pid: i32, secret: i32) {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(&pid).filter(|connection| connection.secret == secret) {
            connection.statement.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        }
    }
}

/// One connection's entry, until it is dropped.
pub(super) struct Cancellable {
    pub pid: i32,
    pub secret: i32,
    statement: Arc<Mutex<CancellationToken>>,
    all: Arc<Cancels>,
}

impl Cancellable {
    /// The token of the statement that begins now; requests for earlier ones no longer reach it.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.statement.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        self.all.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_running_statement_of_the_right_connection_is_stopped() {
        let cancels = Arc::new(Cancels::default());
        let (one, other) = (cancels.register(), cancels.register());
        let (earlier, running, others) = (one.begin(), one.begin(), other.begin());
        cancels.cancel(one.pid, one.secret.wrapping_add(1));
        assert!(!running.is_cancelled(), "a wrong secret");
        cancels.cancel(one.pid, one.secret);
        assert!(running.is_cancelled() && !earlier.is_cancelled() && !others.is_cancelled());
        let (pid, secret) = (one.pid, one.secret);
        drop(one);
        cancels.cancel(pid, secret);
        assert_eq!(cancels.connections.lock().unwrap().len(), 1);
    }
}
