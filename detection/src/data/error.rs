//! What can be wrong with annotations.

use std::io;
use std::path::{Path, PathBuf};

/// What every message about another kind of file says is right.
const EXPECTED: &str = "a COCO annotation file, a JSON object with the lists \"images\" ({\"id\", \"file_name\", \"width\", \
                        \"height\"}), \"annotations\" ({\"id\", \"image_id\", \"category_id\", \"bbox\": [x, y, width, \
                        height], \"area\", \"iscrowd\"}) and \"categories\" ({\"id\", \"name\"})";

/// Why images and boxes could not be had. Each message names the file and the id at fault, and what would be right.
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
    /// It is there but cannot be read or written.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// The file is JSON, or the start of it, of another kind.
    #[error("{}: {found}; expected {EXPECTED}", .path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file ends within its JSON.
    #[error("{}:{line}:{column}: the file ends in the middle of its JSON; was it copied whole?", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Line of the end, from 1.
        line: usize,
        /// Column of the end, from 1.
        column: usize,
    },
    /// The file is no JSON, or a field of it has another form.
    #[error("{}:{line}:{column}: {problem}; expected {EXPECTED}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// The file has no categories, or no images.
    #[error("{}: the list \"{list}\" is empty; there should be at least one", .path.display())]
    EmptyList {
        /// The file.
        path: PathBuf,
        /// `images` or `categories`.
        list: &'static str,
    },
    /// Two categories with one id.
    #[error("{}: category id {id} is both {first:?} and {second:?}; the ids of categories should be unique", .path.display())]
    DuplicateCategory {
        /// The file.
        path: PathBuf,
        /// The id.
        id: i64,
        /// The name of one.
        first: String,
        /// The name of the other.
        second: String,
    },
    /// A frequency that LVIS does not have.
    #[error("{}: category {id} has the frequency {frequency:?}; it should be \"r\", \"c\" or \"f\"", .path.display())]
    Frequency {
        /// The file.
        path: PathBuf,
        /// The category.
        id: i64,
        /// What is there.
        frequency: String,
    },
    /// A box that cannot be used.
    #[error("{}: annotation {annotation} (of image {image}): {fault}{}; --on-bad-box skip leaves such boxes out", .path.display(), more(*.others))]
    BadBox {
        /// The file.
        path: PathBuf,
        /// The id of the annotation.
        annotation: i64,
        /// The id of its image.
        image: i64,
        /// What is wrong with it.
        fault: BoxFault,
        /// How many further annotations have something wrong with them.
        others: usize,
    },
    /// An image that cannot be used.
    #[error("{}: image {image}: {fault}{}; --on-bad-image skip leaves such images out", .path.display(), more(*.others))]
    BadImage {
        /// The file.
        path: PathBuf,
        /// The id of the image.
        image: i64,
        /// What is wrong with it.
        fault: ImageFault,
        /// How many further images have something wrong with them.
        others: usize,
    },
    /// Every image was left out.
    #[error("{}: none of its {images} images can be used, the first of them because: image {image}: {fault}", .path.display())]
    NoUsableImages {
        /// The file.
        path: PathBuf,
        /// How many images it has.
        images: usize,
        /// The id of the first.
        image: i64,
        /// What is wrong with it.
        fault: ImageFault,
    },
    /// There is nothing to learn.
    #[error(
        "{name}: none of its {images} images has a box to train on ({crowds} boxes of crowds, which are not trained on); \
         training needs at least one box with \"iscrowd\" 0"
    )]
    NoForeground {
        /// The annotation file, or `generated`.
        name: String,
        /// Images.
        images: usize,
        /// Crowds among their boxes.
        crowds: usize,
    },
    /// A folder that lacks part of the COCO layout.
    #[error(
        "{}: no {missing}; expected the layout of COCO, annotations/instances_train2017.json and \
         annotations/instances_val2017.json with the images in train2017/ and val2017/, or name image folders and annotation \
         files one by one", .folder.display()
    )]
    NoLayout {
        /// The folder.
        folder: PathBuf,
        /// What it lacks.
        missing: String,
    },
    /// More than one annotation file could be meant.
    #[error("{}: more than one file could be that of the {split} images: {}; name the one that is meant", .folder.display(), .candidates.join(", "))]
    Ambiguous {
        /// The folder of the annotation files.
        folder: PathBuf,
        /// `train` or `val`.
        split: &'static str,
        /// The names of the files.
        candidates: Vec<String>,
    },
    /// A setting out of range.
    #[error("{name} is {found}; it should be {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// An index that no image has.
    #[error("image {index} is asked for, of {len}; was the choice made from other data?")]
    Index {
        /// The index, from 0.
        index: usize,
        /// How many images there are.
        len: usize,
    },
}

/// Why a box cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BoxFault {
    /// It has not four numbers.
    #[error("its \"bbox\" has {0} numbers; it should be [x, y, width, height]")]
    Length(usize),
    /// A number of it is none.
    #[error("its \"bbox\" {0:?} has a value that is not a finite number")]
    NotFinite([f64; 4]),
    /// It has no area.
    #[error("its \"bbox\" [x, y, width, height] is {0:?}; width and height should be above 0")]
    Empty([f64; 4]),
    /// It is nowhere in the image.
    #[error(
        "its \"bbox\" [x, y, width, height] is {bbox:?}, wholly outside of the image of {width}x{height} (width x height)"
    )]
    Outside {
        /// The box as written.
        bbox: [f64; 4],
        /// Columns of the image.
        width: u32,
        /// Rows of the image.
        height: u32,
    },
    /// Its category is not listed.
    #[error("its \"category_id\" {category} is none of the {known} ids in \"categories\"")]
    UnknownCategory {
        /// The id.
        category: i64,
        /// How many there are.
        known: usize,
    },
    /// Its image is not listed.
    #[error("its \"image_id\" {0} is none of the ids in \"images\"")]
    UnknownImage(i64),
    /// An earlier annotation has its id.
    #[error("an earlier annotation has the same id; ids of annotations should be unique")]
    Duplicate,
}

impl BoxFault {
    /// What of boxes with this fault is counted as.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Length(_) => "boxes without four numbers",
            Self::NotFinite(_) => "boxes with a value that is not a finite number",
            Self::Empty(_) => "boxes without area",
            Self::Outside { .. } => "boxes wholly outside of their image",
            Self::UnknownCategory { .. } => "boxes of unknown categories",
            Self::UnknownImage(_) => "boxes of unknown images",
            Self::Duplicate => "boxes with the id of an earlier one",
        }
    }
}

/// Why an image cannot be used, as far as can be said without decoding it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImageFault {
    /// There is no such file.
    #[error("no file {}; is the image folder the right one?", .0.display())]
    Missing(PathBuf),
    /// An earlier image has its id.
    #[error("an earlier image has the same id; ids of images should be unique")]
    Duplicate,
    /// It has no size.
    #[error("its \"width\" and \"height\" are {width} and {height}; both should be from 1 to 65535")]
    Size {
        /// Columns.
        width: i64,
        /// Rows.
        height: i64,
    },
    /// It names no file.
    #[error("it has neither \"file_name\" nor \"coco_url\"; one of them should name its file")]
    NoName,
    /// A category that it says something about is not listed.
    #[error("its \"neg_category_ids\" or \"not_exhaustive_category_ids\" have {0}, which is no id in \"categories\"")]
    UnknownCategory(i64),
}

impl ImageFault {
    /// What images with this fault are counted as.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing(_) => "images without a file",
            Self::Duplicate => "images with the id of an earlier one",
            Self::Size { .. } => "images without a size",
            Self::NoName => "images without a file name",
            Self::UnknownCategory(_) => "images that name unknown categories",
        }
    }
}

impl DataError {
    pub(super) fn from_io(path: &Path, reason: io::Error, expected: impl Into<String>) -> Self {
        match reason.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.into(), expected: expected.into() },
            _ => Self::Io { path: path.into(), reason },
        }
    }
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (and 1 other has a fault)".into(),
        _ => format!(" (and {count} others have faults)"),
    }
}
