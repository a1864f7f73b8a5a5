use std::path::{Path, PathBuf};

use super::convai2::NumberedLineProblem;
use super::corpus::Split;
use super::json_lines::JsonLineProblem;

/// Why dialogues could not be read. Each message names the file, the line where there is one, and
/// what would be right.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No such file or folder.
    #[error("{}: no such file or folder; expected dialogues as numbered lines (`N text<TAB>reply`) or JSON Lines", .path.display())]
    Missing {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("{}: cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The file holds nothing but blank lines.
    #[error("{}: the file is empty; expected dialogues as numbered lines (`N text<TAB>reply`) or JSON Lines", .path.display())]
    Empty {
        /// The empty file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("{}:{line}: invalid UTF-8 at byte {column} of the line (offset {offset} of the file); convert the file to UTF-8", .path.display())]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first wrong byte, from 1.
        line: usize,
        /// Its place in that line in bytes, from 1.
        column: usize,
        /// Its place in the file in bytes, from 0.
        offset: usize,
    },
    /// A line breaks the numbered-line format.
    #[error("{}:{line}: {problem}", .path.display())]
    NumberedLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: NumberedLineProblem,
    },
    /// A line breaks the JSON Lines format.
    #[error("{}:{line}: {problem}", .path.display())]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: JsonLineProblem,
    },
    /// What was given as the data folder is a file.
    #[error("{}: is a file; give a folder with one file each for train, valid and test, or name the files one by one", .path.display())]
    NotAFolder {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A folder without a file for a split that training needs.
    #[error("{}: no file for the {split} split; expected one whose name contains {}; found: {}", .folder.display(), .split.keywords(), names(.found))]
    NoFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The split without a file.
        split: Split,
        /// Every data file in the folder.
        found: Vec<PathBuf>,
    },
    /// A folder with more than one file for a split.
    #[error("{}: more than one file could be the {split} split: {}; leave one of them in the folder, or name the files one by one", .folder.display(), names(.candidates))]
    Ambiguous {
        /// The folder that was searched.
        folder: PathBuf,
        /// The split with several files.
        split: Split,
        /// The files whose names fit.
        candidates: Vec<PathBuf>,
    },
}

impl DataError {
    pub(super) fn from_io(path: &Path, reason: std::io::Error) -> Self {
        match reason.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { path: path.into() },
            _ => Self::Unreadable { path: path.into(), reason },
        }
    }
}

fn names(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no data file (.txt, .tsv, .json, .jsonl, .ndjson)".into();
    }
    let names: Vec<_> =
        paths.iter().map(|path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()).collect();
    names.join(", ")
}
