//! What can be wrong with files.

use std::path::PathBuf;

use crate::longtail::PredictionError;

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
    /// The file's name says no format.
    #[error("cannot tell the format of {}: the file name must end in .safetensors or .csv", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The file has no bytes, or nothing after its headings.
    #[error("{} is empty; it must hold {expected}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The file is no safetensors file.
    #[error("{} is no safetensors file: {source}", path.display())]
    SafeTensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// A tensor is missing, or of another shape or type.
    #[error("{}, tensor {tensor}: found {found}; it must be {expected}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: &'static str,
        /// What was found.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A line is not text.
    #[error("{}, line {line}: not valid UTF-8; the file must be UTF-8 text", path.display())]
    Utf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A heading that does not belong there.
    #[error("{}, line {line}, column {column}: found the heading {found:?}; it must be {expected}", path.display())]
    Heading {
        /// The file.
        path: PathBuf,
        /// The line of headings.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The heading; empty when there is no such column.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A line with too many or too few fields.
    #[error("{}, line {line}: {found} fields; it must have {expected}, as the headings do", path.display())]
    Fields {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Its fields.
        found: usize,
        /// Number of headings.
        expected: usize,
    },
    /// A field that is no number of its kind.
    #[error("{}, line {line}, column {column}: found {found:?}; it must be {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The heading of the column.
        column: String,
        /// The field.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A line of training counts that is none.
    #[error("{}, line {line}: found {found:?}; it must be {expected}", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The line.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A class is counted twice.
    #[error("{}, line {line}: class {class} has its count already on line {first}", path.display())]
    CountTwice {
        /// The file.
        path: PathBuf,
        /// The later line, from 1.
        line: usize,
        /// The class.
        class: usize,
        /// The earlier line, from 1.
        first: usize,
    },
    /// A class has no count though one after it has.
    #[error("{} has counts of classes up to {last} but none of class {class}; each class needs a line", path.display())]
    CountMissing {
        /// The file.
        path: PathBuf,
        /// The class.
        class: usize,
        /// The last class.
        last: usize,
    },
    /// Well-formed numbers that are no predictions.
    #[error("{}{}: {source}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Predictions {
        /// The file.
        path: PathBuf,
        /// The line, from 1, in a text file.
        line: Option<usize>,
        /// What is wrong with them.
        source: PredictionError,
    },
}

/// Why predictions were not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Logits and labels do not pair up.
    #[error(transparent)]
    Predictions(#[from] PredictionError),
    /// The file cannot be made.
    #[error("cannot write {}: {source}", path.display())]
    SafeTensors {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: safetensors::SafeTensorError,
    },
}
