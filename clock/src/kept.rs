//! A city time on disk: one line, replaced in one step. A clock keeps its own there, and others what they have reached.

use std::path::Path;

use chrono::{DateTime, Utc};

use crate::ClockError;

/// The time kept in `path`, if any is.
pub fn read(path: &Path) -> Result<Option<DateTime<Utc>>, ClockError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ClockError::Keep { path: path.display().to_string(), source }),
    };
    text.trim()
        .parse()
        .map(Some)
        .map_err(|error: chrono::ParseError| ClockError::Damaged { path: path.display().to_string(), detail: error.to_string() })
}

/// Keeps a time, so that it outlives a power cut.
pub fn write(path: &Path, instant: DateTime<Utc>) -> Result<(), ClockError> {
    let keep = |source| ClockError::Keep { path: path.display().to_string(), source };
    durable::replace(path, instant.to_rfc3339_opts(chrono::SecondsFormat::Micros, true).as_bytes()).map_err(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        std::fs::write(&path, "noon").unwrap();
        assert!(matches!(read(&path), Err(ClockError::Damaged { .. })));
    }
}
