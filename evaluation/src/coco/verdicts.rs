//! Which detections of an image are right and which objects are missed, for looking at.

use std::collections::HashMap;
use std::sync::Arc;

use hotcoco::{COCOeval, IouType};

use super::{CocoError, Evaluation};

/// An image's objects and detections, matched at IoU .5.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageVerdicts {
    /// The image's id.
    pub image_id: i64,
    /// What is to be found, by category.
    pub objects: Vec<JudgedObject>,
    /// What was found, by category and falling score; of each category the best 100.
    pub detections: Vec<JudgedDetection>,
}

/// An object that is to be found.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedObject {
    /// Its category's id.
    pub category_id: i64,
    /// x and y of the upper left corner, width, height; pixels.
    pub bbox: [f64; 4],
    /// Whether it is a group of objects, which does not count as missed.
    pub crowd: bool,
}

/// A detection and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedDetection {
    /// Its category's id.
    pub category_id: i64,
    /// x and y of the upper left corner, width, height; pixels.
    pub bbox: [f64; 4],
    /// Its score.
    pub score: f64,
    /// Whether it is right.
    pub verdict: Verdict,
}

/// What became of a detection.
///
/// Detections are matched by falling score, so that what becomes of one does not depend on those of lower scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It found this one of the image's objects.
    Right(usize),
    /// It found none, or one that a better detection had found.
    Wrong,
    /// It lies on a group of objects and does not count.
    Ignored,
}

impl Evaluation<'_> {
    /// The objects and detections of each scored image that has any, by image id, matched at IoU .5 as for AP50.
    ///
    /// # Errors
    /// None that data can cause.
    pub fn verdicts(&self) -> Result<Vec<ImageVerdicts>, CocoError> {
        let mut matched =
            COCOeval::new(Arc::clone(self.matched.coco_gt()), Arc::clone(self.matched.coco_dt()), IouType::Bbox);
        matched.params.img_ids = self.matched.params.img_ids.clone();
        matched.params.area_ranges.truncate(1);
        matched.params.iou_thrs.truncate(1);
        matched.evaluate()?;
        let mut cells: Vec<&hotcoco::EvalImg> = matched.eval_imgs().iter().flatten().collect();
        cells.sort_by_key(|cell| (cell.image_id, cell.category_id));
        let images = cells.chunk_by(|a, b| a.image_id == b.image_id);
        Ok(images.map(|cells| self.of_image(cells)).collect())
    }

    /// The categories' matches of one image.
    fn of_image(&self, cells: &[&hotcoco::EvalImg]) -> ImageVerdicts {
        let (truth, found) = (self.matched.coco_gt(), self.matched.coco_dt());
        let (mut objects, mut detections) = (Vec::new(), Vec::new());
        for cell in cells {
            let category_id = self.ground_truth.categories[cell.category_id as usize].id;
            let mut places = HashMap::new();
            for &id in &cell.gt_ids {
                let Some(object) = truth.get_ann(id) else { continue };
                places.insert(id, objects.len());
                let bbox = object.bbox.unwrap_or_default();
                objects.push(JudgedObject { category_id, bbox, crowd: object.iscrowd });
            }
            for (at, &id) in cell.dt_ids.iter().enumerate() {
                let Some(detection) = found.get_ann(id) else { continue };
                let verdict = match places.get(&cell.dt_matches[(0, at)]) {
                    _ if cell.dt_ignore[(0, at)] => Verdict::Ignored,
                    Some(&object) if cell.dt_matched[(0, at)] => Verdict::Right(object),
                    _ => Verdict::Wrong,
                };
                let (bbox, score) = (detection.bbox.unwrap_or_default(), cell.dt_scores[at]);
                detections.push(JudgedDetection { category_id, bbox, score, verdict });
            }
        }
        let image_id = self.ground_truth.image_ids[cells[0].image_id as usize];
        ImageVerdicts { image_id, objects, detections }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, Category, Detection, GroundTruth, Options};
    use super::*;

    #[test]
    fn the_better_detection_takes_the_object() {
        let object =
            |id, category_id, bbox, iscrowd| Annotation { id, image_id: 7, category_id, bbox, area: 1e4, iscrowd };
        let box_at = |x: f64| [x, 0.0, 100.0, 100.0];
        let objects = [
            object(1, 3, [500.0, 0.0, 400.0, 400.0], true),
            object(2, 3, box_at(0.0), false),
            object(3, 5, box_at(0.0), false),
        ];
        let truth =
            GroundTruth::new(&[7, 9], &objects, vec![Category::new(3, "dog"), Category::new(5, "cat")]).unwrap();
        let found = |x, score| Detection { image_id: 7, category_id: 3, bbox: box_at(x), score };
        // Overlaps with the dog: 90/110 and 75/125, which come second; 40/160; a fourth within the crowd.
        let detections = [found(25.0, 0.6), found(10.0, 0.7), found(60.0, 0.9), found(600.0, 0.8)];
        let evaluation = Evaluation::new(&truth, &detections, &Options::default()).unwrap();
        let verdicts = evaluation.verdicts().unwrap();
        assert_eq!(verdicts.len(), 1, "image 9 has nothing");
        let ImageVerdicts { image_id, objects, detections } = &verdicts[0];
        let of: Vec<_> = objects.iter().map(|object| (object.category_id, object.bbox[0], object.crowd)).collect();
        // Groups of objects come last.
        assert_eq!((*image_id, of), (7, vec![(3, 0.0, false), (3, 500.0, true), (5, 0.0, false)]));
        let of: Vec<_> = detections.iter().map(|one| (one.score, one.verdict)).collect();
        let want = [(0.9, Verdict::Wrong), (0.8, Verdict::Ignored), (0.7, Verdict::Right(0)), (0.6, Verdict::Wrong)];
        assert_eq!(of, want);
    }
}
