//! Where the files of a folder in COCO's layout are.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;

/// The training and validation parts of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What is trained on.
    pub train: Part,
    /// What is evaluated on.
    pub val: Part,
}

/// An annotation file and the folder of its images, for [`super::Dataset::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The folder.
    pub images: PathBuf,
    /// The annotation file.
    pub annotations: PathBuf,
}

impl Layout {
    /// The parts of a folder in COCO's layout.
    ///
    /// Of `annotations/`, `instances_train2017.json` is taken, or else the one file with a name `instances_train*.json` or
    /// `lvis*train*.json`; of `val` likewise. The images of `instances_NAME.json` are in `NAME/`, `images/NAME/`, `images/` or
    /// `JPEGImages/`, whichever is there first; those of LVIS in folders of the folder itself.
    ///
    /// # Errors
    /// [`DataError::Missing`], [`DataError::NoLayout`] or [`DataError::Ambiguous`], naming what is missing.
    pub fn find(folder: &Path) -> Result<Self, DataError> {
        if !folder.is_dir() {
            return Err(DataError::Missing { path: folder.into(), expected: "a folder in COCO's layout".into() });
        }
        Ok(Self { train: part(folder, "train")?, val: part(folder, "val")? })
    }
}

fn part(folder: &Path, split: &'static str) -> Result<Part, DataError> {
    let missing = |missing: String| DataError::NoLayout { folder: folder.into(), missing };
    let within = folder.join("annotations");
    let entries = match within.is_dir() {
        true => fs::read_dir(&within).map_err(|reason| DataError::Io { path: within.clone(), reason })?,
        false => return Err(missing("folder annotations/".into())),
    };
    let mut candidates = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|reason| DataError::Io { path: within.clone(), reason })?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".json") {
            let coco = stem.strip_prefix("instances_").is_some_and(|stem| stem.starts_with(split));
            if coco || (stem.starts_with("lvis") && stem.contains(split)) {
                candidates.push(name);
            }
        }
    }
    candidates.sort();
    let usual = format!("instances_{split}2017.json");
    let name = match candidates.as_slice() {
        [] => return Err(missing(format!("file annotations/{usual}"))),
        [one] => one,
        several if several.contains(&usual) => &usual,
        _ => return Err(DataError::Ambiguous { folder: within, split, candidates }),
    };
    let annotations = within.join(name);
    let Some(stem) = name.strip_prefix("instances_").and_then(|name| name.strip_suffix(".json")) else {
        return Ok(Part { images: folder.into(), annotations });
    };
    let places = [stem.to_owned(), format!("images/{stem}"), "images".into(), "JPEGImages".into()];
    let images = places.iter().map(|place| folder.join(place)).find(|place| place.is_dir());
    match images {
        Some(images) => Ok(Part { images, annotations }),
        None => Err(missing(format!("folder {stem}/ with the images of annotations/{name}"))),
    }
}
