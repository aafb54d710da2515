//! What can go wrong with the lake, told apart by who acts on it.
//!
//! A stage branches on the kind: no room and an unreachable store are waited out, a mark that moved is not an error at
//! all (it is an [`Outcome`](crate::Outcome)), and the rest needs a person, who reads the message at 3 a.m.

use std::error::Error;
use std::io;

use datafusion::error::DataFusionError;

/// Each says what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error(
        "no room left at \"{at}\" ({detail}); free some space there or move the lake: nothing was half written, and what waits for room goes on by itself"
    )]
    NoRoom { at: String, detail: String },

    #[error(
        "not allowed to use \"{at}\" ({detail}); give this user the right to read and write there, or choose another place with --lake"
    )]
    Denied { at: String, detail: String },

    #[error(
        "\"{at}\" does not answer ({detail}); check --lake and the store behind it: nothing is lost, and it goes on by itself"
    )]
    Unreachable { at: String, detail: String },

    #[error(
        "table \"{table}\" {detail}; was the lake written by another version of hangang? start with another --data, or rebuild the table"
    )]
    SchemaMismatch { table: String, detail: String },

    /// A kept file that holds less than was written, or something else.
    #[error(
        "\"{file}\" {detail}: it is damaged, and table \"{table}\" is not read without it. `hangang status --check` says what else is, and what mends it"
    )]
    Damaged { file: String, table: String, detail: String },

    #[error("\"{what}\" is not in the lake at \"{at}\"; {hint}")]
    NotFound { what: String, at: String, hint: &'static str },

    /// A statement that was refused or failed; whoever speaks SQL to a client looks inside.
    #[error("{0}")]
    Query(DataFusionError),

    #[error("{doing} failed at \"{at}\": {detail}")]
    Other { doing: &'static str, at: String, detail: String },
}

impl LakeError {
    /// Whether waiting and trying again can help without anyone's doing.
    pub fn is_passing(&self) -> bool {
        matches!(self, LakeError::NoRoom { .. } | LakeError::Unreachable { .. })
    }

    /// Finds the kind in an error's chain of causes: every layer between here and the disk wraps the one below.
    pub(crate) fn of(doing: &'static str, at: impl Into<String>, error: &(dyn Error + 'static)) -> LakeError {
        let at = at.into();
        let detail = deepest(error).to_string();
        match kind(error) {
            Kind::NoRoom => LakeError::NoRoom { at, detail },
            Kind::Denied => LakeError::Denied { at, detail },
            Kind::Unreachable => LakeError::Unreachable { at, detail },
            Kind::Other => LakeError::Other { doing, at, detail: chain(error) },
        }
    }

    pub(crate) fn schema(table: impl ToString, detail: impl Into<String>) -> LakeError {
        LakeError::SchemaMismatch { table: table.to_string(), detail: detail.into() }
    }
}

impl From<DataFusionError> for LakeError {
    /// A lake error that went through DataFusion comes out as it went in.
    fn from(error: DataFusionError) -> LakeError {
        if matches!(error.find_root(), DataFusionError::External(inner) if inner.is::<LakeError>()) {
            return unwrapped(error);
        }
        match kind(&error) {
            Kind::Other => LakeError::Query(error),
            _ => LakeError::of("a query", "the lake", &error),
        }
    }
}

impl From<LakeError> for DataFusionError {
    fn from(error: LakeError) -> DataFusionError {
        match error {
            LakeError::Query(error) => error,
            other => DataFusionError::External(Box::new(other)),
        }
    }
}

fn unwrapped(error: DataFusionError) -> LakeError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => unwrapped(*inner),
        DataFusionError::External(inner) => match inner.downcast::<LakeError>() {
            Ok(lake) => *lake,
            Err(other) => LakeError::Query(DataFusionError::External(other)),
        },
        other => LakeError::Query(other),
    }
}

enum Kind {
    NoRoom,
    Denied,
    Unreachable,
    Other,
}

/// Linux: no space left (28), quota exceeded (122), file size limit (27).
const NO_ROOM_ERRNO: [i32; 3] = [28, 122, 27];

fn kind(error: &(dyn Error + 'static)) -> Kind {
    for cause in causes(error) {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if io.raw_os_error().is_some_and(|errno| NO_ROOM_ERRNO.contains(&errno)) {
                return Kind::NoRoom;
            }
            match io.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => return Kind::NoRoom,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => return Kind::Denied,
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::TimedOut
                | io::ErrorKind::StaleNetworkFileHandle => return Kind::Unreachable,
                _ => {}
            }
        }
        if let Some(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) =
            cause.downcast_ref::<object_store::Error>()
        {
            return Kind::Denied;
        }
    }
    Kind::Other
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| cause(error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // An io::Error made from another error hides it from `source`.
    match error.downcast_ref::<io::Error>().and_then(|io| io.get_ref()) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn deepest<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().expect("an error is its own first cause")
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_recognised_through_every_layer() {
        let io = io::Error::from_raw_os_error(28);
        let store = object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(io) };
        let query = DataFusionError::ObjectStore(Box::new(store));
        let error = LakeError::from(query);
        assert!(matches!(error, LakeError::NoRoom { .. }), "{error:?}");
        assert!(error.to_string().contains("free some space"), "{error}");
    }

    #[test]
    fn a_lake_error_comes_out_of_a_query_as_it_went_in() {
        let before = LakeError::Unreachable { at: "s3://x".into(), detail: "connection refused".into() };
        let after = LakeError::from(DataFusionError::from(before).context("while planning"));
        assert!(matches!(after, LakeError::Unreachable { .. }));
    }
}
