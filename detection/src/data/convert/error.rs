//! What can be wrong with a folder that is converted.

use std::io;
use std::path::PathBuf;

use imbalance_vision::augment::ImageError;

use crate::data::DataError;

/// Why a folder could not be converted. Each message names the file, with its line, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// No such file or folder.
    #[error("{}: no such file or folder; expected {expected}", .path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// It is there but cannot be read or made.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// A line of a text file is wrong.
    #[error("{}:{line}: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A folder has not what it should.
    #[error("{}: {problem}", .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// An image whose size is needed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The annotations cannot be written.
    #[error(transparent)]
    Data(#[from] DataError),
}
