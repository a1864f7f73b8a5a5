//! What the page shows, as its script reads it.

use std::collections::HashMap;

use imbalance_evaluation::coco::{Evaluation, ImageVerdicts, Verdict};
use rayon::prelude::*;
use serde::Serialize;

use super::{BrowseRequest, embed};
use crate::DetectionError;
use crate::data::Dataset;

/// Least score that is shown until the reader asks for another.
const START_SCORE: f64 = 0.3;

/// The whole.
#[derive(Debug, Serialize)]
pub(super) struct PageData {
    /// Images that were evaluated.
    evaluated: usize,
    ap: Option<f64>,
    ap50: Option<f64>,
    /// Least score of the detections here.
    least_score: f64,
    start_score: f64,
    classes: Vec<Class>,
    pub images: Vec<PageImage>,
}

#[derive(Debug, Serialize)]
struct Class {
    name: String,
    ap: Option<f64>,
}

/// An image with its boxes: x, y, width and height in pixels after the index of the class.
#[derive(Debug, Serialize)]
pub(super) struct PageImage {
    name: String,
    width: u32,
    height: u32,
    /// A `data:` URI.
    source: String,
    /// At the end 1 for a crowd, else 0.
    objects: Vec<(usize, f64, f64, f64, f64, u8)>,
    /// At the end the score, and the index of the object that was found, −1 where none was, −2 on a crowd.
    found: Vec<(usize, f64, f64, f64, f64, f64, i64)>,
}

impl PageData {
    /// Also the images that cannot be shown, and what is wrong with them.
    pub fn new(
        set: &Dataset,
        evaluation: &Evaluation<'_>,
        request: &BrowseRequest,
    ) -> Result<(Self, Vec<String>), DetectionError> {
        let summary = evaluation.summary();
        let places: HashMap<i64, usize> =
            summary.per_class.iter().enumerate().map(|(at, class)| (class.category_id, at)).collect();
        let verdicts = evaluation.verdicts()?;
        let of_image: HashMap<i64, &ImageVerdicts> = verdicts.iter().map(|one| (one.image_id, one)).collect();
        // Spread over the set: neighbours in a file may be alike, and the first ones may be of one kind.
        let (all, shown) = (set.images.len(), request.images.min(set.images.len()));
        let chosen: Vec<_> = (0..shown).map(|at| &set.images[at * all / shown]).collect();
        let (mut images, mut skipped) = (Vec::new(), Vec::new());
        for (image, source) in chosen.par_iter().map(|image| (*image, embed::data_uri(image))).collect::<Vec<_>>() {
            let source = match source {
                Ok(source) => source,
                Err(reason) => {
                    skipped.push(format!("{}: {reason}", image.source));
                    continue;
                }
            };
            let (mut objects, mut found) = (Vec::new(), Vec::new());
            if let Some(verdicts) = of_image.get(&image.id) {
                let [x, y, w, h] = [0, 1, 2, 3];
                objects.extend(verdicts.objects.iter().map(|one| {
                    let b = one.bbox.map(tenths);
                    (places[&one.category_id], b[x], b[y], b[w], b[h], u8::from(one.crowd))
                }));
                let sure = verdicts.detections.iter().filter(|one| one.score >= request.score_above);
                found.extend(sure.map(|one| {
                    let b = one.bbox.map(tenths);
                    let verdict = match one.verdict {
                        Verdict::Right(object) => object as i64,
                        Verdict::Wrong => -1,
                        Verdict::Ignored => -2,
                    };
                    let score = (one.score * 1e4).round() / 1e4;
                    (places[&one.category_id], b[x], b[y], b[w], b[h], score, verdict)
                }));
            }
            images.push(PageImage {
                name: image.file_name(),
                width: image.width,
                height: image.height,
                source,
                objects,
                found,
            });
        }
        let computed = |score: f64| (score >= 0.0).then_some(score);
        let classes = summary.per_class.into_iter().map(|class| Class { name: class.name, ap: class.ap });
        let data = Self {
            evaluated: all,
            ap: computed(summary.stats.ap),
            ap50: computed(summary.stats.ap50),
            least_score: request.score_above,
            start_score: START_SCORE.max(request.score_above),
            classes: classes.collect(),
            images,
        };
        Ok((data, skipped))
    }
}

/// Finer than a screen shows, and short to write.
fn tenths(pixels: f64) -> f64 {
    (10.0 * pixels).round() / 10.0
}
