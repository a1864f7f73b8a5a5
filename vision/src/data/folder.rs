//! Images in a folder a class, as many data sets are unpacked:
//!
//! ```text
//! train/cat/0001.jpg      test/cat/0007.jpg      val/cat/0009.jpg
//! train/dog/0001.png      test/dog/0004.png      val/dog/0002.png
//! ```
//!
//! The classes are the folders of `train`, sorted by name. One of `test` and `val` may be missing; where both are there,
//! `val` is for choosing between models. Class folders are searched for JPEG and PNG files, by their endings, however
//! deep; a link to a folder is not followed there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::source::sha256_hex;
use super::{DataError, ImageSet, Images, MissingImages, Source, Split};

const EXPECTED: &str = "train/CLASS/ and in test/CLASS/ or val/CLASS/";
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// Reads the data set of a folder.
pub(super) fn load(name: String, folder: &Path) -> Result<ImageSet, DataError> {
    fs::read_dir(folder).map_err(|reason| DataError::from_io(folder, reason, format!("images in {EXPECTED}")))?;
    let within = |name: &str| Some(folder.join(name)).filter(|path| path.is_dir());
    let missing = |missing| DataError::NoSplitFolder { folder: folder.into(), missing, expected: EXPECTED };
    let train = within("train").ok_or_else(|| missing("train"))?;
    let validation = VALIDATION.into_iter().find_map(within);
    let (validation, test) = match (validation, within("test")) {
        (validation, Some(test)) => (validation, test),
        (Some(validation), None) => (None, validation),
        (None, None) => return Err(missing("test or val")),
    };

    let classes = class_folders(&train)?;
    let mut notes = Vec::new();
    let mut read = |part: &Path| read_part(part, &train, &classes, &mut notes);
    let (train_split, validation, test_split) =
        (read(&train)?, validation.as_deref().map(&mut read).transpose()?, read(&test)?);
    let sources = vec![source(folder, [Some(&train_split), validation.as_ref(), Some(&test_split)])];
    let (train, test, missing) = (train_split, test_split, MissingImages::default());
    Ok(ImageSet { name, classes, train, validation, test, sources, missing, notes })
}

/// The folders in this one, sorted by name.
fn class_folders(part: &Path) -> Result<Vec<String>, DataError> {
    let unreadable = |reason| DataError::Unreadable { path: part.into(), reason };
    let mut classes = Vec::new();
    for entry in fs::read_dir(part).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Followed, for class folders are often links.
        if !name.starts_with('.') && entry.path().is_dir() {
            classes.push(name);
        }
    }
    classes.sort();
    match classes.is_empty() {
        true => Err(DataError::NoImages { path: part.into(), expected: "one folder a class".into() }),
        false => Ok(classes),
    }
}

fn read_part(part: &Path, train: &Path, classes: &[String], notes: &mut Vec<String>) -> Result<Split, DataError> {
    let here = class_folders(part)?;
    if let Some(class) = here.iter().find(|class| classes.binary_search(class).is_err()) {
        let (folder, missing) = (part.into(), train.join(class));
        return Err(DataError::UnknownClass { folder, class: class.clone(), missing });
    }
    let absent: Vec<&str> =
        classes.iter().filter(|class| here.binary_search(class).is_err()).map(String::as_str).collect();
    if !absent.is_empty() {
        notes.push(format!("{}: no folder for {}", part.display(), absent.join(", ")));
    }
    let found: Vec<(Vec<PathBuf>, usize)> = classes
        .par_iter()
        .map(|class| {
            let folder = part.join(class);
            let (mut images, mut others) = (Vec::new(), 0);
            if folder.is_dir() {
                search(&folder, &mut images, &mut others)
                    .map_err(|(path, reason)| DataError::Unreadable { path, reason })?;
            }
            images.sort();
            Ok((images, others))
        })
        .collect::<Result<_, DataError>>()?;
    let others: usize = found.iter().map(|(_, others)| others).sum();
    if others > 0 {
        notes.push(format!("{}: {others} files that are neither JPEG nor PNG left out", part.display()));
    }
    let labels: Vec<u32> = (0..).zip(&found).flat_map(|(label, (images, _))| vec![label; images.len()]).collect();
    if labels.is_empty() {
        return Err(DataError::NoImages {
            path: part.into(),
            expected: "JPEG or PNG files in a folder a class".into(),
        });
    }
    Ok(Split { images: Images::Files(found.into_iter().flat_map(|(images, _)| images).collect()), labels })
}

fn search(folder: &Path, images: &mut Vec<PathBuf>, others: &mut usize) -> Result<(), (PathBuf, io::Error)> {
    let unreadable = |reason| (folder.to_owned(), reason);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden {
            continue;
        }
        if entry.file_type().map_err(unreadable)?.is_dir() {
            search(&path, images, others)?;
        } else if is_image(&path) {
            images.push(path);
        } else {
            *others += 1;
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    matches!(ending.as_deref(), Some("jpg" | "jpeg" | "png"))
}

fn source(folder: &Path, splits: [Option<&Split>; 3]) -> Source {
    let mut listing = String::new();
    for split in splits.into_iter().flatten() {
        if let Images::Files(paths) = &split.images {
            for path in paths {
                listing.push_str(&path.strip_prefix(folder).unwrap_or(path).to_string_lossy());
                listing.push('\n');
            }
        }
    }
    Source { path: Some(folder.into()), sha256: sha256_hex(listing.as_bytes()) }
}
