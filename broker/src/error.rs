//! What can keep the broker from starting, said to the person who has to mend it.
//!
//! Errors of single requests never stand here: they go to the client as Kafka's error codes.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(
        "port {} is in use by another program (wanted for the broker at \"{listen}\"); \
         stop that program, or choose another address with {option}=HOST:PORT", listen.port()
    )]
    PortInUse { listen: SocketAddr, option: &'static str },

    #[error("cannot listen on \"{listen}\": {source}; choose another address with {option}=HOST:PORT")]
    Listen { listen: SocketAddr, option: &'static str, source: io::Error },

    #[error(
        "the broker's folder \"{}\" is in use by another broker; \
         stop the other one, or choose another folder with --data DIR", path.display()
    )]
    Locked { path: PathBuf },

    #[error("no room on the disk of \"{}\": {source}; free some, then start again; nothing acknowledged is lost", path.display())]
    NoRoom { path: PathBuf, source: io::Error },

    #[error(
        "the log \"{}\" is damaged at byte {position}: {detail}, though intact records follow it; \
         restore the file from a copy, or give up what follows with `truncate -s {position}` on it and start again", path.display()
    )]
    Damaged { path: PathBuf, position: u64, detail: String },

    #[error("\"{}\" is not what the broker wrote: {detail}; restore it from a copy, or move its folder away", path.display())]
    Unreadable { path: PathBuf, detail: String },

    #[error("cannot {action} \"{}\": {source}", path.display())]
    Storage { action: &'static str, path: PathBuf, source: io::Error },
}

impl BrokerError {
    /// An I/O error met while doing `action` to `path`.
    pub(crate) fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BrokerError {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BrokerError::NoRoom { path, source },
            _ => BrokerError::Storage { action, path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_names_the_port_and_the_option() {
        let error = BrokerError::PortInUse { listen: "127.0.0.1:9092".parse().unwrap(), option: "--listen" };
        assert_eq!(
            error.to_string(),
            "port 9092 is in use by another program (wanted for the broker at \"127.0.0.1:9092\"); \
             stop that program, or choose another address with --listen=HOST:PORT"
        );
    }

    #[test]
    fn a_full_disk_is_told_from_other_faults() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(BrokerError::storage("write", Path::new("x"))(full), BrokerError::NoRoom { .. }));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(matches!(BrokerError::storage("write", Path::new("x"))(denied), BrokerError::Storage { .. }));
    }
}
