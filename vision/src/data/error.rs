use std::io;
use std::path::{Path, PathBuf};

use super::list::ListProblem;
use super::long_tail::LongTailError;

/// Why images could not be had. Each message names the file, with its line or record, and what would be right.
///
/// A file within an archive is written as if the archive were a folder.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No such file or folder.
    #[error("{}: no such file or folder; expected {expected}", .path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// It is there but cannot be read.
    #[error("{}: cannot be read: {reason}", .path.display())]
    Unreadable {
        /// What was asked for.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// The data set is read from files, and none were named.
    #[error("{kind} is read from files: name {expected}, for example with --data")]
    NoPath {
        /// The data set, as on the command line.
        kind: String,
        /// What to name.
        expected: String,
    },
    /// Files were named for a data set that is generated.
    #[error("{kind} is generated and reads no files; leave {} out, or name the data set that it holds with --dataset", .path.display())]
    NeedlessPath {
        /// The data set, as on the command line.
        kind: String,
        /// What was named.
        path: PathBuf,
    },
    /// The file is no tar archive, compressed or not.
    #[error("{}: not a .tar, .tar.gz or .tar.xz archive", .path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
    },
    /// The archive cannot be unpacked to its end.
    #[error("{}: the archive is damaged or cut off: {reason}", .path.display())]
    DamagedArchive {
        /// The archive.
        path: PathBuf,
        /// What the decoder said.
        reason: io::Error,
    },
    /// Neither the binary files nor one archive of them.
    #[error("{}: no {set} in its binary version here; expected {expected}{hint}", .place.display())]
    NoCifar {
        /// The folder or archive.
        place: PathBuf,
        /// `CIFAR-10` or `CIFAR-100`.
        set: &'static str,
        /// What was looked for.
        expected: String,
        /// What was found instead; may be empty.
        hint: String,
    },
    /// Some of the binary files, but not all.
    #[error("{}: missing {}; {set} is the files {}", .place.display(), .missing.join(", "), .files.join(", "))]
    IncompleteCifar {
        /// The folder or archive.
        place: PathBuf,
        /// `CIFAR-10` or `CIFAR-100`.
        set: &'static str,
        /// The files that are not there.
        missing: Vec<String>,
        /// All that should be.
        files: Vec<String>,
    },
    /// More than one archive or file could be meant.
    #[error("{}: more than one could be {wanted}: {}; name the one that is meant", .place.display(), names(.candidates))]
    Ambiguous {
        /// Where they are.
        place: PathBuf,
        /// What was looked for.
        wanted: String,
        /// What fits.
        candidates: Vec<PathBuf>,
    },
    /// The file ends within a record.
    #[error("{}: cut off within record {record} (counted from 0), of which {found} of {size} bytes are there; the file's size must be a multiple of {size}", .file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// The incomplete record, from 0.
        record: usize,
        /// How many of its bytes are there.
        found: usize,
        /// Bytes in a record.
        size: usize,
    },
    /// A label byte that is no class.
    #[error("{}: record {record} (counted from 0) has the {which} {label}, where 0 to {} are possible; is this another data set's file?", .file.display(), .classes - 1)]
    WrongLabel {
        /// The file.
        file: PathBuf,
        /// The record, from 0.
        record: usize,
        /// `label`, `coarse label` or `fine label`.
        which: &'static str,
        /// What is there.
        label: u8,
        /// How many classes there are.
        classes: usize,
    },
    /// A file or folder without images.
    #[error("{}: has no images; expected {expected}", .path.display())]
    NoImages {
        /// The file or folder.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// Names of classes that do not fit the data.
    #[error("{}: names {found} classes, where the data has {expected}; expected one name a line", .file.display())]
    ClassNames {
        /// The file with the names.
        file: PathBuf,
        /// How many it has.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The file is not UTF-8.
    #[error("{}:{line}: invalid UTF-8; convert the file to UTF-8", .file.display())]
    InvalidUtf8 {
        /// The file.
        file: PathBuf,
        /// Line of the first wrong byte, from 1.
        line: usize,
    },
    /// A line of a list file is wrong.
    #[error("{}:{line}: {problem}", .file.display())]
    List {
        /// The list.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: ListProblem,
    },
    /// A list names images that are not there.
    #[error("{}:{line}: no image {}; {missing} of the {total} images of this list are missing; paths are taken from {}", .file.display(), .image.display(), .root.display())]
    MissingImages {
        /// The list.
        file: PathBuf,
        /// The line of the first missing image, from 1.
        line: usize,
        /// The first missing image.
        image: PathBuf,
        /// How many are missing.
        missing: usize,
        /// How many the list has.
        total: usize,
        /// The folder that the paths are relative to.
        root: PathBuf,
    },
    /// A folder of folders lacks a part.
    #[error("{}: no folder {}; expected one folder a class in {expected}", .folder.display(), .missing)]
    NoSplitFolder {
        /// The folder that was given.
        folder: PathBuf,
        /// What is missing.
        missing: &'static str,
        /// The layout.
        expected: &'static str,
    },
    /// A class of the test images that the training images do not have.
    #[error("{}: class {class:?} has no folder {}; training and test images need the same class folders", .folder.display(), .missing.display())]
    UnknownClass {
        /// The folder with the class.
        folder: PathBuf,
        /// The class.
        class: String,
        /// The folder that should be there.
        missing: PathBuf,
    },
    /// A class to learn of which there is no example.
    #[error("{}: class {label} ({name}) has no training images{}; every class from 0 to {}{} needs at least one", .place.display(), more(*.others), .classes - 1, line(.highest.as_ref()))]
    EmptyClass {
        /// The file or folder with the training images.
        place: PathBuf,
        /// The first such class.
        label: usize,
        /// Its name.
        name: String,
        /// How many further classes have none.
        others: usize,
        /// How many classes there are.
        classes: usize,
        /// The list and the line, from 1, where the highest label occurs first; none where labels are no one's mistake.
        highest: Option<(PathBuf, usize)>,
    },
    /// The data cannot be made long-tailed as asked.
    #[error(transparent)]
    LongTail(#[from] LongTailError),
    /// A choice of images that this split does not have.
    #[error("image {index} is asked for, of {len}; was the choice made from other data?")]
    IndexOutOfRange {
        /// The index, from 0.
        index: usize,
        /// How many images there are.
        len: usize,
    },
    /// More images of a class are to be held out than can be spared.
    #[error(
        "{held_out} images of class {label} ({name}) are to be held out, of {available}; at least one must be left for training"
    )]
    HoldOut {
        /// The class.
        label: usize,
        /// Its name.
        name: String,
        /// How many were asked for.
        held_out: usize,
        /// How many there are.
        available: usize,
    },
    /// A held-out fraction that is none.
    #[error("a held-out fraction of {fraction}; it must be above 0 and below 1")]
    HoldOutFraction {
        /// What was asked for.
        fraction: f64,
    },
}

impl DataError {
    pub(super) fn from_io(path: &Path, reason: io::Error, expected: impl Into<String>) -> Self {
        match reason.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.into(), expected: expected.into() },
            _ => Self::Unreadable { path: path.into(), reason },
        }
    }
}

fn names(paths: &[PathBuf]) -> String {
    let names: Vec<_> =
        paths.iter().map(|path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()).collect();
    names.join(", ")
}

fn line(highest: Option<&(PathBuf, usize)>) -> String {
    highest.map(|(file, line)| format!(" (the label in {}:{line})", file.display())).unwrap_or_default()
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        _ => format!(", nor have {others} others"),
    }
}
