//! From the bytes of an annotation file to its records.

use std::path::Path;

use serde_json::error::Category as Fault;

use super::not_finite;
use super::records::File;
use crate::data::DataError;

/// The records of the file with these bytes.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<File, DataError> {
    let kind = |found: &str| DataError::OtherKind { path: path.into(), found: found.to_owned() };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(kind("the file is empty")),
        Some(b'{') => {}
        Some(b'[') => return Err(kind("it starts with a list, as files of results do")),
        Some(_) => return Err(kind("it is no JSON, or none of this kind")),
    }
    let file: File = serde_json::from_slice(bytes).or_else(|error| {
        // The words are rare, and looking for them takes as long as reading; so only where reading failed.
        match not_finite::quoted(bytes) {
            Some(quoted) => serde_json::from_slice(&quoted).map_err(|error| fault(path, &error)),
            None => Err(fault(path, &error)),
        }
    })?;
    let lists = [
        ("images", file.images.is_some()),
        ("annotations", file.annotations.is_some()),
        ("categories", file.categories.is_some()),
    ];
    match lists.iter().find(|(_, there)| !there) {
        Some((list, _)) => Err(kind(&format!("it has no list \"{list}\""))),
        None => Ok(file),
    }
}

fn fault(path: &Path, error: &serde_json::Error) -> DataError {
    let (path, line, column) = (path.to_owned(), error.line(), error.column());
    if error.classify() == Fault::Eof {
        return DataError::Truncated { path, line, column };
    }
    // The message ends with the place, which is said at the front.
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem).to_owned();
    DataError::Json { path, line, column, problem }
}
