//! Precision against recall.

use serde::Serialize;

use super::Evaluation;
use super::evaluation::THRESHOLDS;

/// Recalls at which precision is taken: 0, .01, … 1.
pub const RECALL_POINTS: usize = 101;

/// Place of the IoU threshold .75 among .5, .55, … .95.
const IOU_75: usize = 5;

/// The recalls at which precision is taken, `[RECALL_POINTS]`.
pub fn recall_points() -> Vec<f64> {
    hotcoco::params::default_rec_thrs()
}

/// Precision of a category against recall, of objects of all sizes, each curve `[RECALL_POINTS]`.
///
/// Precision at a recall is the highest at that or a higher recall; 0 at recalls that are not reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCurves {
    /// The category's id.
    pub category_id: i64,
    /// Its name.
    pub name: String,
    /// At IoU .5; its mean is AP50.
    pub iou_50: Vec<f64>,
    /// At IoU .75; its mean is AP75.
    pub iou_75: Vec<f64>,
    /// Mean over the IoU thresholds .5, .55, … .95; its mean is AP.
    pub mean: Vec<f64>,
}

impl Evaluation<'_> {
    /// Precision-recall curves of all categories that have boxes to be found, by id.
    pub fn curves(&self) -> Vec<ClassCurves> {
        let curve = |class: usize, threshold: usize| self.precision(class, threshold..threshold + 1).collect();
        let curves = self.ground_truth.categories.iter().enumerate().map(|(class, category)| {
            let mut mean = vec![0.0; RECALL_POINTS];
            for (at, precision) in self.precision(class, 0..THRESHOLDS).enumerate() {
                mean[at % RECALL_POINTS] += precision / THRESHOLDS as f64;
            }
            ClassCurves {
                category_id: category.id,
                name: category.name.clone(),
                iou_50: curve(class, 0),
                iou_75: curve(class, IOU_75),
                mean,
            }
        });
        curves.filter(|curves| curves.iou_50.iter().all(|&precision| precision >= 0.0)).collect()
    }
}
