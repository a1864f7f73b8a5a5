//! The images of an annotation file, and their files.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use imbalance_vision::augment::OnBadImage;
use rayon::prelude::*;

use super::records::{Id, ImageRecord};
use crate::data::{DataError, Image, ImageFault, ImageSource, Report};

/// What became of an image that the file lists.
pub(super) enum Known {
    /// It has this index in the set.
    Used(usize),
    /// It was left out.
    Skipped,
}

/// The images that can be used, and what became of each id.
pub(super) fn read(
    file: &Path,
    folder: &Path,
    records: Vec<ImageRecord>,
    classes: &HashMap<i64, usize>,
    on_bad_image: OnBadImage,
    report: &mut Report,
) -> Result<(Vec<Image>, HashMap<i64, Known>), DataError> {
    if records.is_empty() {
        return Err(DataError::EmptyList { path: file.to_owned(), list: "images" });
    }
    if !folder.is_dir() {
        let expected = format!("the folder of the images of {}", file.display());
        return Err(DataError::Missing { path: folder.to_owned(), expected });
    }
    // Whether a file is there costs a round trip on a network's disk; several at a time hide it.
    let found: Vec<Result<Image, ImageFault>> =
        records.par_iter().map(|record| image(record, folder, classes)).collect();

    let mut known = HashMap::with_capacity(records.len());
    let mut images = Vec::with_capacity(records.len());
    let mut bad: Option<(i64, ImageFault)> = None;
    let mut faults = 0;
    for (record, found) in records.iter().zip(found) {
        let id = record.id.0;
        let image = if known.contains_key(&id) { Err(ImageFault::Duplicate) } else { found };
        match image {
            Ok(image) => {
                known.insert(id, Known::Used(images.len()));
                images.push(image);
            }
            Err(fault) => {
                Report::skip(&mut report.skipped_images, fault.kind(), id);
                faults += 1;
                known.entry(id).or_insert(Known::Skipped);
                bad.get_or_insert((id, fault));
            }
        }
    }
    let path = file.to_owned();
    match (bad, on_bad_image) {
        (Some((image, fault)), OnBadImage::Fail) => Err(DataError::BadImage { path, image, fault, others: faults - 1 }),
        (Some((image, fault)), OnBadImage::Skip) if images.is_empty() => {
            Err(DataError::NoUsableImages { path, images: records.len(), image, fault })
        }
        _ => Ok((images, known)),
    }
}

fn image(record: &ImageRecord, folder: &Path, classes: &HashMap<i64, usize>) -> Result<Image, ImageFault> {
    let [width, height] = [&record.width, &record.height].map(|side| side.map_or(0, |side: Id| side.0));
    let side = |side: i64| u16::try_from(side).ok().filter(|side| *side > 0).map(u32::from);
    let (Some(columns), Some(rows)) = (side(width), side(height)) else {
        return Err(ImageFault::Size { width, height });
    };
    let classes = |ids: &[Id]| -> Result<Vec<usize>, ImageFault> {
        ids.iter().map(|id| classes.get(&id.0).copied().ok_or(ImageFault::UnknownCategory(id.0))).collect()
    };
    Ok(Image {
        id: record.id.0,
        source: ImageSource::File(find(record, folder)?),
        width: columns,
        height: rows,
        objects: Vec::new(),
        negative: classes(&record.neg_category_ids)?,
        not_exhaustive: classes(&record.not_exhaustive_category_ids)?,
    })
}

/// The file of an image.
fn find(record: &ImageRecord, folder: &Path) -> Result<PathBuf, ImageFault> {
    let written = match (&record.file_name, &record.coco_url) {
        (Some(name), _) if !name.is_empty() => Path::new(name).to_owned(),
        (_, Some(address)) if !address.is_empty() => {
            let mut parts: Vec<&str> = address.rsplit('/').take(2).collect();
            parts.reverse();
            parts.iter().collect()
        }
        _ => return Err(ImageFault::NoName),
    };
    // The folder that was named may be the one that the names start with, and names may be those of another machine.
    let name = written.file_name().map(PathBuf::from).ok_or(ImageFault::NoName)?;
    let within = written.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let candidates = [within.then(|| folder.join(&written)), Some(folder.join(&name))];
    let mut candidates = candidates.into_iter().flatten();
    let first = candidates.next().unwrap_or(name);
    match first.is_file() {
        true => Ok(first),
        false => candidates.find(|path| path.is_file()).ok_or(ImageFault::Missing(first)),
    }
}
