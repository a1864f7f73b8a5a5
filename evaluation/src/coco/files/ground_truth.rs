//! Ground truth in COCO's annotation format.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::fields::{Flag, id};
use super::{ReadError, json, not_finite};
use crate::coco::{Annotation, Category, Federation, GroundTruth, Warning};

const EXPECTED: &str = "ground truth, a JSON object with the lists \"images\" ({\"id\"}), \"annotations\" ({\"id\", \
                        \"image_id\", \"category_id\", \"bbox\": [x, y, width, height], \"area\", \"iscrowd\"}) and \
                        \"categories\" ({\"id\", \"name\"})";

#[derive(Deserialize)]
struct File {
    images: Vec<ImageRecord>,
    annotations: Vec<AnnotationRecord>,
    categories: Vec<CategoryRecord>,
}

#[derive(Deserialize)]
struct ImageRecord {
    #[serde(deserialize_with = "id")]
    id: i64,
    /// Categories that were looked for and not found (LVIS).
    neg_category_ids: Option<Vec<i64>>,
    /// Categories of which not every object is annotated (LVIS).
    not_exhaustive_category_ids: Option<Vec<i64>>,
}

#[derive(Deserialize)]
struct AnnotationRecord {
    #[serde(deserialize_with = "id")]
    id: i64,
    #[serde(deserialize_with = "id")]
    image_id: i64,
    #[serde(deserialize_with = "id")]
    category_id: i64,
    bbox: [f64; 4],
    area: Option<f64>,
    iscrowd: Option<Flag>,
}

#[derive(Deserialize)]
struct CategoryRecord {
    #[serde(deserialize_with = "id")]
    id: i64,
    name: Option<String>,
    frequency: Option<String>,
}

/// The ground truth of a COCO annotation file. Masks and other fields that boxes do not need are skipped.
///
/// # Errors
/// A file that cannot be read, is empty, is a list of detections, or no JSON of this form, with line and column; numbers
/// that are `NaN` or infinite, with the place of the annotation and its image; what [`GroundTruth::new`] refuses.
pub fn read_ground_truth(path: &Path) -> Result<GroundTruth, ReadError> {
    let (bytes, first) = json::read(path, EXPECTED)?;
    if first == b'[' {
        let found = "a list, as results files do";
        return Err(ReadError::Kind { path: path.to_owned(), found, expected: EXPECTED });
    }
    let file = json::parse(path, &bytes, EXPECTED).or_else(|error| match not_finite::quoted(&bytes) {
        Some(quoted) => {
            json::parse(path, &quoted, EXPECTED).map_err(|_| first_not_finite(path, &quoted).unwrap_or(error))
        }
        None => Err(error),
    })?;
    ground_truth(file).map_err(|source| ReadError::Content { path: path.to_owned(), source })
}

fn ground_truth(file: File) -> Result<GroundTruth, crate::coco::CocoError> {
    let images: Vec<i64> = file.images.iter().map(|image| image.id).collect();
    let annotations: Vec<Annotation> = file.annotations.iter().map(annotation).collect();
    let categories = file.categories.into_iter().map(|record| Category {
        id: record.id,
        name: record.name.unwrap_or_else(|| format!("category {}", record.id)),
        frequency: record.frequency,
    });
    let mut truth = GroundTruth::new(&images, &annotations, categories.collect())?;
    let lacking = |lacks: fn(&AnnotationRecord) -> bool| file.annotations.iter().filter(|record| lacks(record)).count();
    let no_iscrowd = lacking(|record| record.iscrowd.is_none());
    let no_area = lacking(|record| record.area.is_none());
    let federated = file.images.iter().filter(|image| image.neg_category_ids.is_some()).count();
    let more = [
        (no_iscrowd > 0).then_some(Warning::MissingIscrowd { annotations: no_iscrowd }),
        (no_area > 0).then_some(Warning::MissingArea { annotations: no_area }),
        (federated > 0).then_some(Warning::Federated { images: federated }),
    ];
    truth.warnings.extend(more.into_iter().flatten());
    if federated == 0 {
        return Ok(truth);
    }
    let covered = file.images.into_iter().map(|image| Federation {
        image_id: image.id,
        negative: image.neg_category_ids.unwrap_or_default(),
        not_exhaustive: image.not_exhaustive_category_ids.unwrap_or_default(),
    });
    truth.federated(&covered.collect::<Vec<_>>())
}

fn annotation(record: &AnnotationRecord) -> Annotation {
    let AnnotationRecord { id, image_id, category_id, bbox, .. } = *record;
    let area = record.area.unwrap_or(bbox[2] * bbox[3]);
    Annotation { id, image_id, category_id, bbox, area, iscrowd: record.iscrowd.is_some_and(|flag| flag.0) }
}

fn first_not_finite(path: &Path, quoted: &[u8]) -> Option<ReadError> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Lenient {
        annotations: Vec<Record>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Record {
        image_id: Value,
        bbox: Vec<Value>,
        area: Value,
    }
    let file: Lenient = serde_json::from_slice(quoted).ok()?;
    file.annotations.iter().enumerate().find_map(|(index, record)| {
        let in_box = record.bbox.iter().find_map(not_finite::word).map(|word| ("bbox", word));
        let (field, value) = in_box.or_else(|| not_finite::word(&record.area).map(|word| ("area", word)))?;
        Some(ReadError::NotFinite {
            path: path.to_owned(),
            what: "annotation",
            index,
            image_id: record.image_id.to_string(),
            field,
            value: value.to_owned(),
        })
    })
}
