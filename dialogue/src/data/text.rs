use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::DataError;

/// A text file read whole, with the hash of its bytes.
#[derive(Debug)]
pub(super) struct TextFile {
    /// Without a byte-order mark.
    pub text: String,
    /// Lower-case hexadecimal SHA-256 of the bytes on disk.
    pub sha256: String,
}

impl TextFile {
    /// # Errors
    /// [`DataError::Missing`], [`DataError::Unreadable`], [`DataError::Empty`] (white space only
    /// counts as empty), [`DataError::InvalidUtf8`].
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(|reason| DataError::from_io(path, reason))?;
        let sha256 = sha256_hex(&bytes);
        let text = String::from_utf8(bytes).map_err(|wrong| {
            let offset = wrong.utf8_error().valid_up_to();
            let before = &wrong.as_bytes()[..offset];
            let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
            DataError::InvalidUtf8 {
                path: path.into(),
                line: before.iter().filter(|&&b| b == b'\n').count() + 1,
                column: offset - line_start + 1,
                offset,
            }
        })?;
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        if text.trim().is_empty() {
            return Err(DataError::Empty { path: path.into() });
        }
        Ok(Self { text, sha256 })
    }
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<TextFile, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.txt");
        fs::write(&path, bytes).unwrap();
        TextFile::read(&path)
    }

    #[test]
    fn hash_is_the_published_one() {
        // FIPS 180-2, appendix B.1
        assert_eq!(read(b"abc").unwrap().sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn byte_order_mark_is_not_text() {
        assert_eq!(read(b"\xef\xbb\xbf1 a\tb").unwrap().text, "1 a\tb");
    }

    #[test]
    fn invalid_utf8_is_located() {
        let message = read(b"1 a\tb\n2 c\xff\td\n").unwrap_err().to_string();
        assert!(message.contains("train.txt:2:"), "{message}");
        assert!(message.contains("byte 4 of the line (offset 9 of the file)"), "{message}");
    }

    #[test]
    fn empty_missing_and_unreadable_files_are_named() {
        for empty in [&b""[..], b" \n\n", b"\xef\xbb\xbf"] {
            let error = read(empty).unwrap_err();
            assert!(matches!(error, DataError::Empty { .. }), "{error}");
            assert!(error.to_string().contains("train.txt: the file is empty"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = TextFile::read(&folder.path().join("absent.txt")).unwrap_err();
        assert!(error.to_string().contains("absent.txt: no such file or folder"), "{error}");
        let error = TextFile::read(folder.path()).unwrap_err();
        assert!(matches!(error, DataError::Unreadable { .. }), "{error}");
    }
}
