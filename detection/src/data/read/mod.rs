//! COCO and LVIS annotation files.

mod boxes;
mod file;
mod images;
mod not_finite;
mod records;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use imbalance_evaluation::coco::Frequency;
use imbalance_vision::augment::OnBadImage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::boxes::Clipped;
use self::images::Known;
use self::records::{AnnotationRecord, CategoryRecord};
use super::{BoxFault, Category, DataError, Dataset, Object, Report};

/// What happens at a box that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadBox {
    /// Reading ends with an error that names its id.
    #[default]
    Fail,
    /// It is left out and counted.
    Skip,
}

/// What happens at faults that can be passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Boxes.
    pub on_bad_box: OnBadBox,
    /// Images.
    pub on_bad_image: OnBadImage,
}

impl Dataset {
    /// Reads the annotation file of the images in a folder: COCO's, or LVIS's, whose images are named by `coco_url`, within
    /// folders (`train2017`, …) of the folder or right in it.
    ///
    /// Boxes that reach beyond their image are clipped and counted; see [`Report`].
    ///
    /// # Errors
    /// Files that cannot be read or are of another kind; two categories with one id; a box or image with a fault, unless
    /// `checks` say otherwise ([`BoxFault`], [`super::ImageFault`]). That an image has the size that the file says is seen
    /// when it is decoded.
    pub fn open(images: &Path, annotations: &Path, checks: &Checks) -> Result<(Self, Report), DataError> {
        let bytes = fs::read(annotations)
            .map_err(|reason| DataError::from_io(annotations, reason, "a COCO annotation file"))?;
        let file = file::parse(annotations, &bytes)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        // A file of all of COCO has half a gigabyte.
        drop(bytes);
        let mut report = Report { file: annotations.to_owned(), ..Report::default() };

        let categories = read_categories(annotations, file.categories.unwrap_or_default())?;
        let classes: HashMap<i64, usize> =
            categories.iter().enumerate().map(|(class, category)| (category.id, class)).collect();
        let (images, known) = images::read(
            annotations,
            images,
            file.images.unwrap_or_default(),
            &classes,
            checks.on_bad_image,
            &mut report,
        )?;
        let mut set = Self { categories, images, file: Some(annotations.to_owned()), sha256 };
        set.add_objects(annotations, file.annotations.unwrap_or_default(), &classes, &known, checks, &mut report)?;
        report.images = set.images.len();
        report.without_boxes = report.images - set.trainable().len();
        Ok((set, report))
    }

    fn add_objects(
        &mut self,
        file: &Path,
        records: Vec<AnnotationRecord>,
        classes: &HashMap<i64, usize>,
        known: &HashMap<i64, Known>,
        checks: &Checks,
        report: &mut Report,
    ) -> Result<(), DataError> {
        let has_crowds = self.categories.iter().all(|category| category.frequency.is_none());
        let mut seen = HashSet::with_capacity(records.len());
        let mut bad: Option<(i64, i64, BoxFault)> = None;
        let mut faults = 0;
        for record in &records {
            let mut skip = |fault: BoxFault| {
                Report::skip(&mut report.skipped_boxes, fault.kind(), record.id.0);
                faults += 1;
                bad.get_or_insert((record.id.0, record.image_id.0, fault));
            };
            if !seen.insert(record.id.0) {
                skip(BoxFault::Duplicate);
                continue;
            }
            let image = match known.get(&record.image_id.0) {
                Some(Known::Used(index)) => &mut self.images[*index],
                Some(Known::Skipped) => {
                    report.of_skipped_images += 1;
                    continue;
                }
                None => {
                    skip(BoxFault::UnknownImage(record.image_id.0));
                    continue;
                }
            };
            let Some(&class) = classes.get(&record.category_id.0) else {
                skip(BoxFault::UnknownCategory { category: record.category_id.0, known: classes.len() });
                continue;
            };
            let Clipped { bbox, beyond } = match boxes::clip(&record.bbox, image.width, image.height) {
                Ok(clipped) => clipped,
                Err(fault) => {
                    skip(fault);
                    continue;
                }
            };
            let crowd = record.iscrowd.is_some_and(|flag| flag.0);
            let area = record.area.map(|number| number.0).filter(|area| area.is_finite());
            report.zero_ids += usize::from(record.id.0 == 0);
            report.clipped += usize::from(beyond);
            report.without_area += usize::from(area.is_none());
            report.without_iscrowd += usize::from(has_crowds && record.iscrowd.is_none());
            report.crowds += usize::from(crowd);
            report.objects += usize::from(!crowd);
            let area = area.unwrap_or(record.bbox.first[2] * record.bbox.first[3]);
            image.objects.push(Object { annotation: record.id.0, class, bbox, area, crowd });
        }
        match (checks.on_bad_box, bad) {
            (OnBadBox::Fail, Some((annotation, image, fault))) => {
                Err(DataError::BadBox { path: file.to_owned(), annotation, image, fault, others: faults - 1 })
            }
            _ => Ok(()),
        }
    }
}

/// The categories, sorted by id.
fn read_categories(file: &Path, records: Vec<CategoryRecord>) -> Result<Vec<Category>, DataError> {
    let path = || file.to_owned();
    let category = |record: CategoryRecord| {
        let id = record.id.0;
        let frequency = match record.frequency.as_deref() {
            None => None,
            Some("r") => Some(Frequency::Rare),
            Some("c") => Some(Frequency::Common),
            Some("f") => Some(Frequency::Frequent),
            Some(other) => return Err(DataError::Frequency { path: path(), id, frequency: other.to_owned() }),
        };
        Ok(Category { id, name: record.name.unwrap_or_else(|| format!("category {id}")), frequency })
    };
    let mut categories: Vec<Category> = records.into_iter().map(category).collect::<Result<_, DataError>>()?;
    if categories.is_empty() {
        return Err(DataError::EmptyList { path: path(), list: "categories" });
    }
    categories.sort_by_key(|category| category.id);
    match categories.windows(2).find(|two| two[0].id == two[1].id) {
        None => Ok(categories),
        Some(two) => Err(DataError::DuplicateCategory {
            path: path(),
            id: two[0].id,
            first: two[0].name.clone(),
            second: two[1].name.clone(),
        }),
    }
}

/// In lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
