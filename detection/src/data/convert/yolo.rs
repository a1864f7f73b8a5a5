//! YOLO: a text file an image, boxes in fractions of its size.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use imbalance_vision::augment::{Orientation, decode_file};
use rayon::prelude::*;

use super::{ConvertError, Split, names, text};
use crate::data::{Image, ImageSource, Object};

/// Names of the classes, and the parts.
pub(super) fn read(folder: &Path, notes: &mut Vec<String>) -> Result<(Vec<String>, Vec<Split>), ConvertError> {
    let images = folder.join("images");
    if !images.is_dir() {
        let expected = "a YOLO folder with images/, labels/ and the names of the classes".into();
        return Err(ConvertError::Missing { path: images, expected });
    }
    let names = names::find(folder)?;
    let (files, folders) = entries(&images)?;
    let parts: Vec<(String, PathBuf, Vec<PathBuf>)> = if folders.is_empty() {
        vec![("train".into(), PathBuf::new(), files)]
    } else {
        let part = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            Ok((name.to_string_lossy().into_owned(), PathBuf::from(name), entries(path)?.0))
        };
        folders.iter().map(part).collect::<Result<_, ConvertError>>()?
    };
    let mut splits = Vec::new();
    for (name, within, files) in parts {
        let labels = folder.join("labels").join(&within);
        if files.is_empty() {
            let problem = "it has no .jpg, .jpeg or .png file".into();
            return Err(ConvertError::Folder { path: images.join(within), problem });
        }
        if !labels.is_dir() {
            let expected = format!("the labels of {}, a .txt file an image", images.join(within).display());
            return Err(ConvertError::Missing { path: labels, expected });
        }
        let read: Vec<(Image, bool)> =
            files.par_iter().map(|file| read_image(file, &labels, &names)).collect::<Result<_, ConvertError>>()?;
        let without = read.iter().filter(|(_, labelled)| !labelled).count();
        if without > 0 {
            notes.push(format!("{name}: images without a label file, and so without boxes: {without}"));
        }
        let orphans = without_image(&labels, &files)?;
        if let [first, ..] = orphans.as_slice() {
            notes.push(format!(
                "{name}: label files without an image, which are left out: {}, the first {}",
                orphans.len(),
                first.display()
            ));
        }
        let images = read.into_iter().map(|(image, _)| image).collect();
        splits.push(Split { name, folder: folder.join("images").join(within), images });
    }
    Ok((names, splits))
}

/// The label files that no image has, sorted. Lists of classes lie among them in some folders.
fn without_image(labels: &Path, images: &[PathBuf]) -> Result<Vec<PathBuf>, ConvertError> {
    let io = |reason| ConvertError::Io { path: labels.into(), reason };
    let stems: HashSet<&OsStr> = images.iter().filter_map(|image| image.file_stem()).collect();
    let mut orphans = Vec::new();
    for entry in fs::read_dir(labels).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_label =
            path.extension().is_some_and(|ending| ending == "txt") && path.file_name() != Some(names::CLASSES.as_ref());
        if is_label && path.file_stem().is_some_and(|stem| !stems.contains(stem)) {
            orphans.push(path);
        }
    }
    orphans.sort();
    Ok(orphans)
}

/// Image files and folders in a folder, sorted.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ConvertError> {
    let io = |reason| ConvertError::Io { path: folder.into(), reason };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if path.is_dir() {
            folders.push(path);
        } else if matches!(ending.as_deref(), Some("jpg" | "jpeg" | "png")) {
            files.push(path);
        }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

/// An image, and whether it has a label file.
fn read_image(path: &Path, labels: &Path, names: &[String]) -> Result<(Image, bool), ConvertError> {
    let pixels = decode_file(path, Orientation::Exif)?;
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let (objects, negative, not_exhaustive) = (Vec::new(), Vec::new(), Vec::new());
    let source = ImageSource::File(path.to_owned());
    let mut image = Image { id: 0, source, width, height, objects, negative, not_exhaustive };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let labels = labels.join(format!("{stem}.txt"));
    if !labels.is_file() {
        return Ok((image, false));
    }
    for (line, written) in (1..).zip(text(&labels, "labels")?.lines()) {
        if written.trim().is_empty() {
            continue;
        }
        let object = object(written, names.len(), width, height);
        image.objects.push(object.map_err(|problem| ConvertError::Line { path: labels.clone(), line, problem })?);
    }
    Ok((image, true))
}

/// The object of a line.
fn object(line: &str, classes: usize, width: u32, height: u32) -> Result<Object, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [class, numbers @ ..] = fields.as_slice() else { return Err("it is empty".into()) };
    if numbers.len() != 4 {
        return Err(format!("it has {} fields; expected `class cx cy w h`", fields.len()));
    }
    let number = class.parse::<usize>().ok().filter(|class| *class < classes);
    let class =
        number.ok_or_else(|| format!("the class is {class:?}; there are names for 0 to {}", classes.max(1) - 1))?;
    let mut bbox = [0.0; 4];
    for (to, text) in bbox.iter_mut().zip(numbers) {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        *to = number.ok_or_else(|| format!("{text:?} is no number; expected `class cx cy w h`"))?;
    }
    let [cx, cy, w, h] = bbox;
    let (columns, rows) = (f64::from(width), f64::from(height));
    let within = |part: f64, full: f64| (part * full).clamp(0.0, full);
    let bbox = [
        within(cx - w / 2.0, columns),
        within(cy - h / 2.0, rows),
        within(cx + w / 2.0, columns),
        within(cy + h / 2.0, rows),
    ];
    // Fractions above 1 are pixels that someone forgot to divide by the image's size.
    if bbox[2] <= bbox[0] || bbox[3] <= bbox[1] || w > 1.01 || h > 1.01 {
        return Err(format!(
            "its box {:?} should have an area within the image, in fractions of its size",
            [cx, cy, w, h]
        ));
    }
    let area = (bbox[2] - bbox[0]) * (bbox[3] - bbox[1]);
    Ok(Object { annotation: 0, class, bbox: bbox.map(|side| side as f32), area, crowd: false })
}
