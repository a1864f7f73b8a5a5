//! What can be wrong with files.

use std::path::PathBuf;

use crate::coco::CocoError;

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
    /// The file has no bytes, or only blanks.
    #[error("{} is empty; it must hold {expected}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The file is of another kind.
    #[error("{} holds {found}; it must hold {expected}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What is in it.
        found: &'static str,
        /// What should be in it.
        expected: &'static str,
    },
    /// The file ends before its JSON does.
    #[error("{}, line {line}, column {column}: the file ends inside its JSON, as one that was cut off does; it must hold {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The last line, from 1.
        line: usize,
        /// The last column, from 1.
        column: usize,
        /// What should be in it.
        expected: &'static str,
    },
    /// The file is no JSON, or a value is missing or of another kind.
    #[error("{}, line {line}, column {column}: {message}; the file must hold {expected}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
        /// What should be in it.
        expected: &'static str,
    },
    /// A number of a detection or annotation is `NaN` or infinite.
    #[error("{}: {what} {index} (from 0), of image {image_id}, has {value} in its {field}; all numbers must be finite", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// What it is: a detection or an annotation.
        what: &'static str,
        /// Its place in the list, from 0.
        index: usize,
        /// Its image, as the file has it.
        image_id: String,
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
    /// Well-formed JSON that is no ground truth.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CocoError,
    },
    /// A line of training images that is none.
    #[error("{}, line {line}: found {found:?}; it must be {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The line.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A category has two numbers of training images.
    #[error("{}, line {line}: category {category} has its training images already on line {first}", path.display())]
    LineTwice {
        /// The file.
        path: PathBuf,
        /// The later line, from 1.
        line: usize,
        /// The category.
        category: i64,
        /// The earlier line, from 1.
        first: usize,
    },
}
