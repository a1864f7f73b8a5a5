//! The text files that scoring takes: replies, references, and lists of word types.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file has no bytes.
    #[error("{} is empty; it must hold {expected}, one a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What its lines should be.
        expected: &'static str,
    },
    /// The file is not text.
    #[error("{}, line {line}, byte {byte} of the line: not valid UTF-8; the file must be UTF-8 text", path.display())]
    Utf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first bad byte, from 1.
        line: usize,
        /// Its place in the line, from 1.
        byte: usize,
    },
    /// A line of references holds none.
    #[error("{}, line {line}: no reference; each line must hold at least one, several separated by tabs", path.display())]
    NoReference {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A line does not give a type, or a type and its count.
    #[error("{}, line {line}: found {found:?}; a line must be {expected}", path.display())]
    BadType {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The line or field at fault.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A type is listed twice.
    #[error("{}, line {line}: the type {word_type:?} is listed already on line {first}; each type may occur once", path.display())]
    DuplicateType {
        /// The file.
        path: PathBuf,
        /// The later line, from 1.
        line: usize,
        /// The type.
        word_type: String,
        /// The earlier line, from 1.
        first: usize,
    },
    /// Some lines have a count and others none.
    #[error(
        "{}, line {line}: {} a count, unlike line 1; give every type a count after a tab, or none",
        path.display(),
        if *counted { "has" } else { "lacks" }
    )]
    MixedCounts {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Whether this line has a count.
        counted: bool,
    },
}

/// Word types from a file, in its order, and their counts when the file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeList {
    /// The types.
    pub types: Vec<String>,
    /// Count of each type.
    pub counts: Option<HashMap<String, u64>>,
}

/// Replies, one a line; a blank line is an empty reply.
///
/// Lines end with a line feed, or a carriage return and a line feed. A byte-order mark at the start is skipped.
///
/// # Errors
/// A file that cannot be read, is empty or not UTF-8.
pub fn read_replies(path: &Path) -> Result<Vec<String>, ReadError> {
    let text = read(path, "replies")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// References, a line for each reply, several on a line separated by tabs; blank ones between tabs are skipped.
///
/// # Errors
/// As [`read_replies`]; a line without a reference.
pub fn read_references(path: &Path) -> Result<Vec<Vec<String>>, ReadError> {
    let text = read(path, "references")?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let references: Vec<String> =
                line.split('\t').filter(|reference| !reference.trim().is_empty()).map(str::to_owned).collect();
            if references.is_empty() {
                return Err(ReadError::NoReference { path: path.to_owned(), line: index + 1 });
            }
            Ok(references)
        })
        .collect()
}

/// Word types, one a line, each followed by a tab and its count or none of them.
///
/// # Errors
/// As [`read_replies`]; a line without a type, with a count that is not a whole number or with more than two fields; a
/// type listed twice; counts on some lines only.
pub fn read_types(path: &Path) -> Result<TypeList, ReadError> {
    let text = read(path, "word types")?;
    let bad = |line, found: &str, expected| ReadError::BadType {
        path: path.to_owned(),
        line,
        found: found.to_owned(),
        expected,
    };
    let mut first_line: HashMap<&str, usize> = HashMap::new();
    let mut types = Vec::new();
    let mut counts = HashMap::new();
    for (index, content) in text.lines().enumerate() {
        let line = index + 1;
        let mut fields = content.split('\t');
        let word_type = fields.next().unwrap_or_default();
        let count = fields.next();
        if word_type.trim().is_empty() || fields.next().is_some() {
            return Err(bad(line, content, "a word type, or a word type, a tab and its count"));
        }
        if let Some(&first) = first_line.get(word_type) {
            let (path, word_type) = (path.to_owned(), word_type.to_owned());
            return Err(ReadError::DuplicateType { path, line, word_type, first });
        }
        if line > 1 && count.is_some() == counts.is_empty() {
            let counted = count.is_some();
            return Err(ReadError::MixedCounts { path: path.to_owned(), line, counted });
        }
        if let Some(count) = count {
            let value = count
                .trim()
                .parse()
                .map_err(|_| bad(line, count, "a word type, a tab and a whole number of at least 0"))?;
            counts.insert(word_type.to_owned(), value);
        }
        first_line.insert(word_type, line);
        types.push(word_type.to_owned());
    }
    Ok(TypeList { types, counts: (!counts.is_empty()).then_some(counts) })
}

fn read(path: &Path, expected: &'static str) -> Result<String, ReadError> {
    let bytes = std::fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Err(ReadError::Empty { path: path.to_owned(), expected });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            Err(ReadError::Utf8 { path: path.to_owned(), line, byte: before.len() - start + 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_blank_line_is_an_empty_reply() {
        assert_eq!(read_replies(file("\u{feff}hi\r\n\nyes\tno").path()).unwrap(), ["hi", "", "yes\tno"]);
        assert_eq!(read_replies(file("\n").path()).unwrap(), [""]);
    }

    #[test]
    fn references_are_separated_by_tabs() {
        assert_eq!(
            read_references(file("one\ttwo\n\t\tthree\t \n").path()).unwrap(),
            [vec!["one", "two"], vec!["three"]]
        );
        let blank = file("one\n \t\n");
        let message = read_references(blank.path()).unwrap_err().to_string();
        assert!(message.ends_with("line 2: no reference; each line must hold at least one, several separated by tabs"));
    }

    #[test]
    fn types_with_or_without_counts() {
        let plain = read_types(file("the\n,\n").path()).unwrap();
        assert_eq!(plain, TypeList { types: vec!["the".into(), ",".into()], counts: None });
        let counted = read_types(file("the\t12\n,\t0\n").path()).unwrap();
        assert_eq!(counted.counts.unwrap(), HashMap::from([("the".into(), 12), (",".into(), 0)]));
    }

    #[test]
    fn bad_types_name_the_line() {
        for (content, want) in [
            ("a\t1\nb\tx\n", "line 2: found \"x\"; a line must be a word type, a tab and a whole"),
            ("a\t-1\n", "line 1: found \"-1\""),
            ("a\n\nb\n", "line 2: found \"\"; a line must be a word type"),
            ("a\t1\t2\n", "line 1: found \"a\\t1\\t2\""),
            ("a\t1\nb\n", "line 2: lacks a count, unlike line 1"),
            ("a\nb\t1\n", "line 2: has a count, unlike line 1"),
            ("a\nb\na\n", "line 3: the type \"a\" is listed already on line 1"),
        ] {
            let message = read_types(file(content).path()).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_located() {
        let bad = file(b"fine\nal\xc3\xa9 \xff\n");
        let error = read_replies(bad.path()).unwrap_err();
        assert!(matches!(error, ReadError::Utf8 { line: 2, byte: 6, .. }), "{error}");
    }

    #[test]
    fn missing_and_empty_files_are_named() {
        let missing = read_replies(Path::new("/nonexistent/replies.txt")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nonexistent/replies.txt: "), "{missing}");
        let empty = read_replies(file("").path()).unwrap_err().to_string();
        assert!(empty.ends_with("is empty; it must hold replies, one a line"), "{empty}");
    }
}
