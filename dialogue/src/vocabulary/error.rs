use std::io;
use std::path::PathBuf;

use super::{END, END_OF_TEXT, PAD, START, UNKNOWN};

/// Why a vocabulary could not be built, saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// No dialogue to build from.
    #[error("the training split has no text to build a vocabulary from")]
    NoText,
    /// Room for less than the entries that have to be there.
    #[error("a vocabulary of {size} entries is too small: {kind} needs at least {minimum}")]
    TooSmall {
        /// The size asked for.
        size: usize,
        /// What is to be built.
        kind: &'static str,
        /// The least that would do.
        minimum: usize,
    },
    /// `max_size` together with BPE.
    #[error("max_size limits word-level vocabularies only; set the size of the BPE vocabulary instead")]
    MaxSizeOfBpe,
    /// The `tokenizers` crate refused.
    #[error("the vocabulary could not be built: {reason}")]
    Build {
        /// What it said.
        reason: String,
    },
    /// A file is missing.
    #[error("{}: no such file; expected {expected}", .path.display())]
    Missing {
        /// The path looked for.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot be {action}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// What the operating system said.
        reason: io::Error,
    },
    /// A file is there but holds something else.
    #[error("{}: not {expected}: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A tokenizer without the tokens that generation needs.
    #[error("{}: no end of text; expected `{PAD} {START} {END} {UNKNOWN}` with the ids 0 to 3, or `{END_OF_TEXT}` as in GPT-2", .path.display())]
    NoSpecial {
        /// The file or folder.
        path: PathBuf,
    },
    /// Counts of another vocabulary.
    #[error("{}: {found} counts for a vocabulary of {expected} entries; the two files do not belong together", .path.display())]
    CountsDiffer {
        /// The file of counts.
        path: PathBuf,
        /// How many it holds.
        found: usize,
        /// How many entries the vocabulary has.
        expected: usize,
    },
}
