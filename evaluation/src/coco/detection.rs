//! Detections, and their list in COCO's results format.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::files::id;

/// A box that a detector found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The image it is in.
    #[serde(deserialize_with = "id")]
    pub image_id: i64,
    /// The category it is said to be of.
    #[serde(deserialize_with = "id")]
    pub category_id: i64,
    /// x and y of the upper left corner, width, height; pixels.
    pub bbox: [f64; 4],
    /// Its confidence; only the order of scores counts.
    pub score: f64,
}

/// Writes detections as a COCO results file, a JSON list with a detection a line, every number in full precision.
///
/// Nothing is gathered first, so that detections may come from an iterator as they are made. Whoever needs a file that is
/// whole or not there writes to one beside it and renames that.
///
/// # Errors
/// What the writer says; a number that is not finite, which JSON cannot hold.
pub fn write_detections<'a>(mut to: impl Write, detections: impl IntoIterator<Item = &'a Detection>) -> io::Result<()> {
    to.write_all(b"[")?;
    for (at, detection) in detections.into_iter().enumerate() {
        if let Some(value) = detection.not_finite() {
            let image = detection.image_id;
            let message = format!("detection {at}, of image {image}, has the number {value}; all must be finite");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        to.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut to, detection)?;
    }
    to.write_all(b"\n]\n")?;
    to.flush()
}

impl Detection {
    /// The first of its numbers that is none.
    pub(super) fn not_finite(&self) -> Option<f64> {
        self.bbox.into_iter().chain([self.score]).find(|value| !value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(detections: &[Detection]) -> io::Result<String> {
        let mut bytes = Vec::new();
        write_detections(&mut bytes, detections).map(|()| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn every_bit_is_kept() {
        let detections = [
            Detection { image_id: 7, category_id: 1, bbox: [0.1, 1.0 / 3.0, 5e-324, 1e300], score: 0.1 + 0.2 },
            Detection { image_id: i64::MAX, category_id: -3, bbox: [-0.0, 0.0, 1.0, 2.0], score: f64::MIN_POSITIVE },
        ];
        let text = written(&detections).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains(r#"{"image_id":7,"category_id":1,"bbox":[0.1,0.3333333333333333,"#));
        let read: Vec<Detection> = serde_json::from_str(&text).unwrap();
        let bits = |detections: &[Detection]| -> Vec<u64> {
            detections.iter().flat_map(|d| d.bbox.into_iter().chain([d.score])).map(f64::to_bits).collect()
        };
        assert_eq!(bits(&read), bits(&detections));
        assert_eq!(read[1].image_id, i64::MAX);
        assert_eq!(written(&[]).unwrap(), "[\n]\n");
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        let bad = Detection { image_id: 7, category_id: 1, bbox: [0.0, 0.0, 1.0, f64::NAN], score: 0.5 };
        let message = written(&[bad]).unwrap_err().to_string();
        assert_eq!(message, "detection 0, of image 7, has the number NaN; all must be finite");
    }
}
