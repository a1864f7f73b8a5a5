//! Detections in COCO's results format.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{ReadError, json, not_finite};
use crate::coco::Detection;

const EXPECTED: &str = "detections, a JSON list of {\"image_id\", \"category_id\", \"bbox\": [x, y, width, height], \
                        \"score\"}, or [] if there are none";

/// The detections of a COCO results file, in its order. Fields that boxes do not need are skipped.
///
/// # Errors
/// A file that cannot be read, is empty, is ground truth, or no JSON of this form, with line and column; numbers that are
/// `NaN` or infinite, with the place of the detection and its image.
pub fn read_detections(path: &Path) -> Result<Vec<Detection>, ReadError> {
    let (bytes, first) = json::read(path, EXPECTED)?;
    if first == b'{' {
        let found = if is_ground_truth(&bytes) {
            "ground truth (an object with `images` and `annotations`)"
        } else {
            "an object"
        };
        return Err(ReadError::Kind { path: path.to_owned(), found, expected: EXPECTED });
    }
    parse(path, &bytes).or_else(|error| match not_finite::quoted(&bytes) {
        // Such numbers in other fields are of no account.
        Some(quoted) => parse(path, &quoted).map_err(|_| first_not_finite(path, &quoted).unwrap_or(error)),
        None => Err(error),
    })
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Detection>, ReadError> {
    json::parse(path, bytes, EXPECTED)
}

fn is_ground_truth(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Lists {
        #[serde(rename = "images")]
        _images: IgnoredAny,
        #[serde(rename = "annotations")]
        _annotations: IgnoredAny,
    }
    serde_json::from_slice::<Lists>(bytes).is_ok()
}

fn first_not_finite(path: &Path, quoted: &[u8]) -> Option<ReadError> {
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Record {
        image_id: Value,
        bbox: Vec<Value>,
        score: Value,
    }
    let records: Vec<Record> = serde_json::from_slice(quoted).ok()?;
    records.iter().enumerate().find_map(|(index, record)| {
        let in_box = record.bbox.iter().find_map(not_finite::word).map(|word| ("bbox", word));
        let (field, value) = not_finite::word(&record.score).map(|word| ("score", word)).or(in_box)?;
        Some(ReadError::NotFinite {
            path: path.to_owned(),
            what: "detection",
            index,
            image_id: record.image_id.to_string(),
            field,
            value: value.to_owned(),
        })
    })
}
