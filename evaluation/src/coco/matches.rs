//! Which detections are right, in the order of their scores, so that average precision of any resample of the images is a
//! sum over them: nothing is matched again.

use std::cmp::Ordering;
use std::sync::Arc;

use hotcoco::{COCOeval, IouType};

use super::evaluation::THRESHOLDS;
use super::{CocoError, Evaluation, recall_points};

/// Place of the IoU threshold .75 among .5, .55, … .95.
const IOU_75: usize = 5;

/// Matches of detections with ground truth: right, wrong or of no account at each IoU threshold, by category and score.
#[derive(Debug, Clone)]
pub struct Matches {
    images: usize,
    classes: Vec<ClassMatches>,
    recalls: Vec<f64>,
}

/// The matches of a category.
#[derive(Debug, Clone, Default)]
struct ClassMatches {
    /// Image and number of boxes to be found there, by image.
    boxes: Vec<(u32, u32)>,
    /// The image of each detection, by falling score.
    images: Vec<u32>,
    /// Places, among the detections, of those that are right at each threshold, rising, and their images.
    right: [Vec<(u32, u32)>; THRESHOLDS],
    /// The same of those that neither count for nor against: they match groups of objects.
    ignored: [Vec<(u32, u32)>; THRESHOLDS],
}

/// Average precision at IoU .5 to .95, at .5 and at .75.
pub(super) type Precisions = [f64; 3];

/// What a calculation writes over and over.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Detections up to each one.
    until: Vec<u32>,
    /// Least number of right ones for each recall.
    needed: Vec<u32>,
    /// Right ones, and those that count, up to each right one.
    runs: Vec<(u32, u32)>,
}

impl Evaluation<'_> {
    /// The matches at all thresholds, of objects of all sizes.
    ///
    /// # Errors
    /// None that data can cause.
    pub fn matches(&self) -> Result<Matches, CocoError> {
        let mut all_sizes =
            COCOeval::new(Arc::clone(self.matched.coco_gt()), Arc::clone(self.matched.coco_dt()), IouType::Bbox);
        all_sizes.params.img_ids = self.matched.params.img_ids.clone();
        all_sizes.params.area_ranges.truncate(1);
        all_sizes.evaluate()?;
        let images = &self.matched.params.img_ids;
        let mut classes = vec![Ranking::default(); self.ground_truth.categories.len()];
        // By image, which decides the order of equal scores.
        for cell in all_sizes.eval_imgs().iter().flatten() {
            let Ok(image) = images.binary_search(&cell.image_id) else { continue };
            classes[cell.category_id as usize].add(image as u32, cell);
        }
        let classes = classes.into_iter().map(Ranking::sorted).collect();
        Ok(Matches { images: images.len(), classes, recalls: recall_points() })
    }
}

/// The detections of a category as they are gathered, by image.
#[derive(Clone, Default)]
struct Ranking {
    boxes: Vec<(u32, u32)>,
    detections: Vec<Ranked>,
}

#[derive(Clone, Copy)]
struct Ranked {
    score: f64,
    image: u32,
    /// A bit for each threshold.
    right: u16,
    ignored: u16,
}

impl Ranking {
    fn add(&mut self, image: u32, cell: &hotcoco::EvalImg) {
        let boxes = cell.num_gt_in_denominator() as u32;
        if boxes > 0 {
            self.boxes.push((image, boxes));
        }
        let first = self.detections.len();
        self.detections.extend(cell.dt_scores.iter().map(|&score| Ranked { score, image, right: 0, ignored: 0 }));
        for (threshold, (matched, ignored)) in cell.dt_matched.iter_rows().zip(cell.dt_ignore.iter_rows()).enumerate() {
            for (detection, (&matched, &ignored)) in
                self.detections[first..].iter_mut().zip(matched.iter().zip(ignored))
            {
                detection.right |= u16::from(matched && !ignored) << threshold;
                detection.ignored |= u16::from(ignored) << threshold;
            }
        }
    }

    fn sorted(mut self) -> ClassMatches {
        // Stable, and −0 is 0, as where the evaluator ranks; that scores are finite is checked.
        self.detections.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal));
        let mut class = ClassMatches { boxes: self.boxes, ..Default::default() };
        for (place, detection) in (0..).zip(&self.detections) {
            class.images.push(detection.image);
            for threshold in 0..THRESHOLDS {
                if detection.right >> threshold & 1 == 1 {
                    class.right[threshold].push((place, detection.image));
                }
                if detection.ignored >> threshold & 1 == 1 {
                    class.ignored[threshold].push((place, detection.image));
                }
            }
        }
        class
    }
}

impl Matches {
    /// Images scored.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Average precision at IoU .5 to .95, at .5 and at .75, 0 to 1; `None` where there is no box to be found.
    pub fn average_precisions(&self) -> Option<[f64; 3]> {
        self.precisions(&vec![1; self.images], &mut Scratch::default())
    }

    /// Whether another system was scored on the same images and boxes.
    pub fn same_ground_truth(&self, other: &Self) -> bool {
        let boxes = |matches: &Self| matches.classes.iter().map(|class| class.boxes.clone()).collect::<Vec<_>>();
        self.images == other.images && boxes(self) == boxes(other)
    }

    /// Average precision when each image is there `copies` times; `None` when that leaves no box to be found.
    ///
    /// A detection of an image that is there several times is taken several times in a row.
    pub(super) fn precisions(&self, copies: &[u32], scratch: &mut Scratch) -> Option<Precisions> {
        let (mut sums, mut classes) = ([0.0; 3], 0_u32);
        for class in &self.classes {
            let boxes: u32 = class.boxes.iter().map(|&(image, boxes)| boxes * copies[image as usize]).sum();
            if boxes == 0 {
                continue;
            }
            classes += 1;
            scratch.prepare(class, copies, boxes, &self.recalls);
            let precision = |threshold: usize, scratch: &mut Scratch| {
                class.precision_sum(threshold, copies, scratch) / self.recalls.len() as f64
            };
            let by_threshold: [f64; THRESHOLDS] = std::array::from_fn(|threshold| precision(threshold, scratch));
            sums[0] += by_threshold.iter().sum::<f64>() / THRESHOLDS as f64;
            sums[1] += by_threshold[0];
            sums[2] += by_threshold[IOU_75];
        }
        (classes > 0).then(|| sums.map(|sum| sum / f64::from(classes)))
    }
}

impl Scratch {
    fn prepare(&mut self, class: &ClassMatches, copies: &[u32], boxes: u32, recalls: &[f64]) {
        self.until.clear();
        self.until.extend(class.images.iter().scan(0, |sum, &image| {
            *sum += copies[image as usize];
            Some(*sum)
        }));
        let boxes = f64::from(boxes);
        self.needed.clear();
        self.needed.extend(recalls.iter().map(|&recall| {
            // The rounding of the quotient decides, as it does where recalls are compared.
            let mut least = (recall * boxes).ceil() as u32;
            while least > 0 && f64::from(least - 1) / boxes >= recall {
                least -= 1;
            }
            while f64::from(least) / boxes < recall {
                least += 1;
            }
            least
        }));
    }
}

impl ClassMatches {
    /// Sum over the recalls of the interpolated precision.
    fn precision_sum(&self, threshold: usize, copies: &[u32], scratch: &mut Scratch) -> f64 {
        let Scratch { until, needed, runs } = scratch;
        runs.clear();
        let (mut right, mut ignored) = (0, 0);
        let mut next_ignored = self.ignored[threshold].iter().peekable();
        for &(place, image) in &self.right[threshold] {
            while let Some(&(_, image)) = next_ignored.next_if(|&&(before, _)| before < place) {
                ignored += copies[image as usize];
            }
            // Precision rises from copy to copy of a right detection, so that only the last can be a highest. One of an image
            // that is not there changes nothing: right ones are as many as before, and precision is no higher. To leave it
            // out would cost more, as no processor guesses which it is.
            right += copies[image as usize];
            runs.push((right, until[place as usize] - ignored));
        }
        let (mut sum, mut highest) = (0.0, 0.0_f64);
        let mut needed = needed.iter().rev().copied().skip_while(|&needed| needed > right).peekable();
        for (at, &(right, counted)) in runs.iter().enumerate().rev() {
            highest = highest.max(f64::from(right) / (f64::from(counted) + f64::EPSILON));
            let before = at.checked_sub(1).map(|before| runs[before].0);
            while needed.next_if(|&needed| before.is_none_or(|before| needed > before)).is_some() {
                sum += highest;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, Category, Detection, GroundTruth, Options};
    use super::*;
    use proptest::prelude::*;

    /// Images of 100 pixels, boxes and detections of two categories, some of them groups, scores with many ties.
    fn cases() -> impl Strategy<Value = (Vec<Annotation>, Vec<Detection>)> {
        let bbox = || (0..5_i32, 0..5_i32, 1..6_i32, 1..6_i32);
        let bbox_of = |(x, y, w, h): (i32, i32, i32, i32)| [x, y, w, h].map(|v| 10.0 * f64::from(v));
        let annotation = (0..4_i64, 0..2_i64, bbox(), prop::bool::weighted(0.15)).prop_map(
            move |(image_id, category_id, bbox, iscrowd)| Annotation {
                id: 0,
                image_id,
                category_id,
                bbox: bbox_of(bbox),
                area: 100.0,
                iscrowd,
            },
        );
        let detection = (0..4_i64, 0..2_i64, bbox(), 0..6_i32).prop_map(move |(image_id, category_id, bbox, score)| {
            Detection { image_id, category_id, bbox: bbox_of(bbox), score: f64::from(score) / 4.0 }
        });
        (prop::collection::vec(annotation, 1..25), prop::collection::vec(detection, 0..40))
    }

    proptest! {
        /// Copies of images with ids of their own, scored from the start, give what counting the matches several times does.
        /// Scores are made to differ from image to image: of equal ones the order is that of the images.
        #[test]
        fn copies_count_like_images_of_their_own((mut annotations, mut detections) in cases(), copies in [0..3_u32, 0..3, 0..3, 0..3]) {
            for (id, annotation) in (1..).zip(&mut annotations) {
                annotation.id = id;
            }
            for (at, detection) in detections.iter_mut().enumerate() {
                detection.score += 1e-3 * at as f64;
            }
            let categories = || vec![Category::new(0, "a"), Category::new(1, "b")];
            let truth = GroundTruth::new(&[0, 1, 2, 3], &annotations, categories()).unwrap();
            let matches = Evaluation::new(&truth, &detections, &Options::default()).unwrap().matches().unwrap();
            let got = matches.precisions(&copies, &mut Scratch::default());

            let images: Vec<i64> = (0..4).flat_map(|image| (0..i64::from(copies[image as usize])).map(move |copy| 10 * image + copy)).collect();
            prop_assume!(!images.is_empty());
            let copied = |image: i64| images.iter().copied().filter(move |copy| copy / 10 == image);
            let mut many: Vec<Annotation> = annotations
                .iter()
                .flat_map(|annotation| copied(annotation.image_id).map(|image_id| Annotation { image_id, ..*annotation }))
                .collect();
            for (id, annotation) in (1..).zip(&mut many) {
                annotation.id = id;
            }
            let found: Vec<Detection> = detections
                .iter()
                .flat_map(|detection| copied(detection.image_id).map(|image_id| Detection { image_id, ..*detection }))
                .collect();
            let truth = GroundTruth::new(&images, &many, categories()).unwrap();
            let stats = Evaluation::new(&truth, &found, &Options::default()).unwrap().stats();
            match got {
                None => prop_assert_eq!(stats.ap, -1.0),
                Some(got) => {
                    for (got, want) in got.into_iter().zip([stats.ap, stats.ap50, stats.ap75]) {
                        prop_assert!((got - want).abs() < 1e-12, "{} is not {}", got, want);
                    }
                }
            }
        }
    }
}
