//! What keeps a simulator from starting or a history from being written; each needs a person.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error(
        "port in use: another program listens on \"{address}\"; stop it, or choose another port with --set simulator.listen=HOST:PORT (0 takes a free one)"
    )]
    PortInUse { address: std::net::SocketAddr },
    #[error("cannot listen on \"{address}\": {source}; choose an address of this machine with --set simulator.listen=HOST:PORT")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("no \"{wanted}\" in the archive folder \"{folder}\"; give the folder that holds it with --archive")]
    Absent { folder: String, wanted: &'static str },
    #[error("cannot read \"{path}\": {source}")]
    Read { path: String, source: std::io::Error },
    #[error("\"{path}\" has another header than an archive's: expected \"{expected}\", found \"{found}\"")]
    Header { path: String, expected: &'static str, found: String },
    #[error("damaged line {line} of \"{path}\": {detail}; mend or remove the line, or fetch the file again")]
    Damaged { path: String, line: u64, detail: String },
    #[error("\"{path}\" holds no row; an archive has at least an hour")]
    Empty { path: String },
    #[error("city time {now} is before what {city} knows, which begins at {begin}; choose a later --start")]
    TooEarly { now: DateTime<Utc>, begin: DateTime<Utc>, city: String },
    #[error("impossible faults: {detail}")]
    Faults { detail: String },
    #[error("cannot write \"{path}\": {source}; make the folder writable and see that the disk has room")]
    Write { path: String, source: std::io::Error },
}

impl SimulatorError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> SimulatorError + use<> {
        let path = path.display().to_string();
        move |source| SimulatorError::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl Fn(std::io::Error) -> SimulatorError + use<> {
        let path: PathBuf = path.to_owned();
        move |source| SimulatorError::Write { path: path.display().to_string(), source }
    }
}
