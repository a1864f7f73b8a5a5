//! Other formats, made into COCO's.

mod error;
mod names;
mod voc;
mod yolo;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Category, Dataset, Image};
pub use error::ConvertError;

/// The format of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// PASCAL VOC: Annotations/*.xml, JPEGImages/ and ImageSets/Main/{train,val}.txt
    Voc,
    /// YOLO: images/ and labels/*.txt, names in a .yaml file or classes.txt
    Yolo,
}

/// What a conversion wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// One annotation file a part.
    pub written: Vec<Written>,
    /// What is worth knowing, a line each.
    pub notes: Vec<String>,
}

/// An annotation file that a conversion wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `train`, `val` or another part.
    pub split: String,
    /// The annotation file.
    pub annotations: PathBuf,
    /// The folder of its images.
    pub images: PathBuf,
    /// How many images it has.
    pub image_count: usize,
    /// How many boxes it has, those of crowds among them.
    pub box_count: usize,
}

/// A part of a folder, read.
struct Split {
    name: String,
    /// The folder of its images.
    folder: PathBuf,
    images: Vec<Image>,
}

/// Makes COCO annotations of a folder of another format: `instances_PART.json` in the folder `out`, which is made if need be.
/// With `annotations` in the folder itself for `out`, [`super::Layout::find`] finds all. Images stay where they are.
///
/// VOC: coordinates are whole pixels from 1, the last included, so that x = xmin − 1 and width = xmax − xmin + 1. Objects marked
/// as difficult become crowds: not trained on, and when evaluated, detections of them count neither way. The classes are
/// the names that occur, sorted.
///
/// YOLO: a line is `class cx cy w h`, in fractions of the image's size, which takes decoding every image. Parts are the folders
/// in `images/`, or, where there are none, one part `train`. An image without a label file has no boxes; a label file without
/// an image is left out, and noted.
///
/// # Errors
/// What is wrong with the folder or a file, with its line. Nothing is written then.
pub fn convert(source: Source, folder: &Path, out: &Path) -> Result<Converted, ConvertError> {
    let mut notes = Vec::new();
    let (names, splits) = match source {
        Source::Voc => voc::read(folder, &mut notes)?,
        Source::Yolo => yolo::read(folder, &mut notes)?,
    };
    let categories: Vec<Category> =
        names.into_iter().zip(1..).map(|(name, id)| Category { id, name, frequency: None }).collect();
    fs::create_dir_all(out).map_err(|reason| ConvertError::Io { path: out.into(), reason })?;
    let mut written = Vec::new();
    for Split { name, folder, images } in splits {
        let annotations = out.join(format!("instances_{name}.json"));
        let mut set = Dataset { categories: categories.clone(), images, file: None, sha256: String::new() };
        number(&mut set);
        set.save_annotations(&annotations)?;
        written.push(Written {
            split: name,
            annotations,
            images: folder,
            image_count: set.images.len(),
            box_count: set.images.iter().map(|image| image.objects.len()).sum(),
        });
    }
    Ok(Converted { written, notes })
}

/// Gives images and annotations ids, from 1.
fn number(set: &mut Dataset) {
    let mut annotation = 0;
    for (image, id) in set.images.iter_mut().zip(1..) {
        image.id = id;
        for object in &mut image.objects {
            annotation += 1;
            object.annotation = annotation;
        }
    }
}

/// The text of a file.
fn text(path: &Path, expected: &str) -> Result<String, ConvertError> {
    let bytes = fs::read(path).map_err(|reason| match reason.kind() {
        std::io::ErrorKind::NotFound => ConvertError::Missing { path: path.into(), expected: expected.into() },
        _ => ConvertError::Io { path: path.into(), reason },
    })?;
    let text = String::from_utf8(bytes).map_err(|wrong| {
        let before = &wrong.as_bytes()[..wrong.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        ConvertError::Line { path: path.into(), line, problem: "it is no UTF-8; convert the file to UTF-8".into() }
    })?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}
