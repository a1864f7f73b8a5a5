//! JSON whose errors name the file and the place.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::ReadError;

/// The bytes of a file without a byte-order mark, and the first that is no blank.
pub(super) fn read(path: &Path, expected: &'static str) -> Result<(Vec<u8>, u8), ReadError> {
    let mut bytes = std::fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(&first) => Ok((bytes, first)),
        None => Err(ReadError::Empty { path: path.to_owned(), expected }),
    }
}

/// A value from JSON.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8], expected: &'static str) -> Result<T, ReadError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (path, line, column) = (path.to_owned(), error.line(), error.column());
        if error.classify() == Category::Eof {
            return ReadError::Truncated { path, line, column, expected };
        }
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
        ReadError::Json { path, line, column, message, expected }
    })
}
