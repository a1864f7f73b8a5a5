use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::DataError;

/// A file that an image set was read from, for the run's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file, the folder of a folder-of-folders, or none for generated images.
    pub path: Option<PathBuf>,
    /// SHA-256 in lower-case hexadecimal: of the file's bytes; of a folder, of the paths of its images, one a line;
    /// of generated images, of their pixels and labels.
    pub sha256: String,
}

impl Source {
    /// A file, read to its end for the hash.
    pub(super) fn of_file(path: &Path) -> Result<Self, DataError> {
        let sha256 = hash_file(path).map_err(|reason| DataError::from_io(path, reason, "a file"))?;
        Ok(Self { path: Some(path.into()), sha256 })
    }

    /// A file whose bytes have been read.
    pub(super) fn of_bytes(path: &Path, bytes: &[u8]) -> Self {
        Self { path: Some(path.into()), sha256: sha256_hex(bytes) }
    }
}

/// Lower-case hexadecimal SHA-256.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&block[..read]),
        }
    }
}

/// A text file with its hash.
pub(super) fn read_text(path: &Path, expected: &str) -> Result<(String, Source), DataError> {
    let bytes = fs::read(path).map_err(|reason| DataError::from_io(path, reason, expected))?;
    let source = Source::of_bytes(path, &bytes);
    Ok((utf8(path, bytes)?, source))
}

/// The text of these bytes, without a byte-order mark.
pub(super) fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String, DataError> {
    let text = String::from_utf8(bytes).map_err(|wrong| {
        let before = &wrong.as_bytes()[..wrong.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        DataError::InvalidUtf8 { file: path.into(), line }
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}
