//! Detections scored against ground truth.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use hotcoco::{COCO, COCOeval, Dataset, IouType};
use rayon::prelude::*;
use serde::Serialize;

use super::{CocoError, Detection, GroundTruth, Stats, Warning};

/// Detections of an image and category that count, those of the highest scores.
pub const MAX_DETECTIONS: usize = 100;

/// IoU thresholds .5, .55, … .95.
pub(super) const THRESHOLDS: usize = 10;

/// What is scored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Ids of the images to score; all when `None`. Detections of the others do not count.
    pub images: Option<Vec<i64>>,
}

/// Scores of a list of detections.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The 12 numbers.
    pub stats: Stats,
    /// Images scored.
    pub images: usize,
    /// Detections in these images.
    pub detections: usize,
    /// Scores of each category, by id.
    pub per_class: Vec<ClassScores>,
    /// What a reader of the numbers should know, first about the ground truth and then about the detections.
    pub warnings: Vec<Warning>,
}

/// Scores of a category, each between 0 and 1; `None` without boxes to be found, and then no mean includes the category.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    /// Its id.
    pub category_id: i64,
    /// Its name.
    pub name: String,
    /// Ground-truth boxes to be found: not groups of objects.
    pub boxes: usize,
    /// Images that hold them.
    pub images: usize,
    /// Average precision.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// Average precision at IoU .5.
    #[serde(rename = "AP50")]
    pub ap50: Option<f64>,
    /// Average recall of 100 detections per image.
    #[serde(rename = "AR100")]
    pub ar100: Option<f64>,
}

/// Scores detections: [`Evaluation::summary`] of an [`Evaluation`].
///
/// # Errors
/// Numbers that are not finite, images that the ground truth has not; [`CocoError`] says which.
pub fn evaluate(ground_truth: &GroundTruth, detections: &[Detection], options: &Options) -> Result<Summary, CocoError> {
    Ok(Evaluation::new(ground_truth, detections, options)?.summary())
}

/// Detections matched with ground truth, of which scores are taken.
pub struct Evaluation<'a> {
    pub(super) ground_truth: &'a GroundTruth,
    pub(super) matched: COCOeval,
    stats: Stats,
    detections: usize,
    warnings: Vec<Warning>,
}

impl<'a> Evaluation<'a> {
    /// Matches detections with ground truth at all thresholds and for all sizes of objects.
    ///
    /// # Errors
    /// Numbers that are not finite, images that the ground truth has not.
    pub fn new(ground_truth: &'a GroundTruth, detections: &[Detection], options: &Options) -> Result<Self, CocoError> {
        let places = image_places(ground_truth, options)?;
        let chosen = options.images.as_ref().map(|_| places.as_slice());
        let (found, of_detections) = index(ground_truth, detections, chosen)?;
        let detections = found.len();
        let found = COCO::from_dataset(Dataset { annotations: found, ..Default::default() });
        let many = many_detections(&found);
        let mut matched = COCOeval::new(Arc::clone(&ground_truth.coco), found, IouType::Bbox);
        matched.params.img_ids = places;
        matched.evaluate()?;
        matched.accumulate();
        matched.summarize_lines();
        let stats = recorded(&matched)?;
        let warnings = ground_truth.warnings.clone();
        let mut evaluation = Self { ground_truth, matched, stats: Stats::from_values(stats), detections, warnings };
        evaluation.warnings.extend(evaluation.absent());
        evaluation.warnings.extend(of_detections);
        evaluation.warnings.extend(many);
        Ok(evaluation)
    }

    /// The 12 numbers.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What a reader of the numbers should know.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// All scores.
    pub fn summary(&self) -> Summary {
        Summary {
            stats: self.stats,
            images: self.matched.params.img_ids.len(),
            detections: self.detections,
            per_class: self.per_class(),
            warnings: self.warnings.clone(),
        }
    }

    fn per_class(&self) -> Vec<ClassScores> {
        let (boxes, images) = self.boxes();
        self.ground_truth
            .categories
            .iter()
            .enumerate()
            .map(|(class, category)| ClassScores {
                category_id: category.id,
                name: category.name.clone(),
                boxes: boxes[class],
                images: images[class],
                ap: mean_of(self.precision(class, 0..THRESHOLDS)),
                ap50: mean_of(self.precision(class, 0..1)),
                ar100: mean_of(self.recall(class)),
            })
            .collect()
    }

    /// Precision of a category at the 101 recalls of each of some thresholds, objects of all sizes; −1 without boxes.
    pub(super) fn precision(&self, class: usize, thresholds: Range<usize>) -> impl Iterator<Item = f64> {
        let (all, limit) = self.all_sizes();
        self.matched.accumulated().into_iter().flat_map(move |curves| {
            let places = move |t| (0..curves.shape.r).map(move |r| curves.precision_idx(t, r, class, all, limit));
            thresholds.clone().flat_map(places).map(move |at| curves.precision[at])
        })
    }

    /// Highest recall of a category at each threshold, objects of all sizes; −1 without boxes.
    fn recall(&self, class: usize) -> impl Iterator<Item = f64> {
        let (all, limit) = self.all_sizes();
        self.matched.accumulated().into_iter().flat_map(move |curves| {
            (0..THRESHOLDS).map(move |t| curves.recall[curves.recall_idx(t, class, all, limit)])
        })
    }

    /// The places of objects of all sizes and of 100 detections among the evaluator's ranges.
    fn all_sizes(&self) -> (usize, usize) {
        (self.matched.params.all_area_idx(), self.matched.params.max_det_idx())
    }

    /// Boxes to be found, and images with such boxes, of each category.
    fn boxes(&self) -> (Vec<usize>, Vec<usize>) {
        let classes = self.ground_truth.categories.len();
        let (mut boxes, mut images) = (vec![0; classes], vec![0; classes]);
        let scored: HashSet<u64> = self.matched.params.img_ids.iter().copied().collect();
        let coco = &self.ground_truth.coco;
        for (image, class) in coco.nonempty_img_cat_pairs().filter(|(image, _)| scored.contains(image)) {
            let ids = coco.get_ann_ids_for_img_cat(image, class);
            let single = ids.iter().filter(|&&id| coco.get_ann(id).is_some_and(|object| !object.iscrowd)).count();
            boxes[class as usize] += single;
            images[class as usize] += usize::from(single > 0);
        }
        (boxes, images)
    }

    /// What is not there to be found.
    fn absent(&self) -> Option<Warning> {
        let categories = self.ground_truth.categories.len();
        let without =
            (0..categories).filter(|&class| self.precision(class, 0..1).all(hotcoco::metrics::is_missing)).count();
        match without {
            0 => None,
            _ if without == categories => Some(Warning::NoAnnotations),
            _ => Some(Warning::CategoriesWithoutBoxes { without, categories }),
        }
    }
}

/// The evaluator's numbers.
pub(super) fn recorded<const N: usize>(matched: &COCOeval) -> Result<[f64; N], CocoError> {
    let stats = matched.stats().and_then(|stats| stats.try_into().ok());
    Ok(stats.ok_or_else(|| hotcoco::Error::InvalidState("it gave no scores".to_owned()))?)
}

/// Mean of what is not −1.
pub(super) fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_usize);
    for value in values.filter(|&value| hotcoco::metrics::is_computed(value)) {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// Sorted places of the images to score.
fn image_places(ground_truth: &GroundTruth, options: &Options) -> Result<Vec<u64>, CocoError> {
    let Some(ids) = &options.images else {
        return Ok((0..ground_truth.image_ids.len() as u64).collect());
    };
    if ids.is_empty() {
        return Err(CocoError::NoChosenImages);
    }
    let place = |&image_id: &i64| {
        let images = ground_truth.image_ids.len();
        let place = ground_truth.image_places.get(&image_id);
        place.map(|&place| u64::from(place)).ok_or(CocoError::UnknownChosenImage { image_id, images })
    };
    let mut places: Vec<u64> = ids.iter().map(place).collect::<Result<_, _>>()?;
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

/// The evaluator's detections, in their order, those of unknown categories or of images that are not chosen left out.
pub(super) fn index(
    ground_truth: &GroundTruth,
    detections: &[Detection],
    chosen: Option<&[u64]>,
) -> Result<(Vec<hotcoco::Annotation>, Vec<Warning>), CocoError> {
    let mut odd = Odd::default();
    // Detections of an image follow one another, so that most look-ups are of the image before.
    let mut last = (i64::MIN, ground_truth.image_places.get(&i64::MIN).copied());
    let mut places = Vec::with_capacity(detections.len());
    for (at, detection) in detections.iter().enumerate() {
        check_finite(at, detection)?;
        if last.0 != detection.image_id {
            last = (detection.image_id, ground_truth.image_places.get(&detection.image_id).copied());
        }
        let Some(image) = last.1 else {
            odd.unknown_images.add(at);
            continue;
        };
        if chosen.is_some_and(|chosen| chosen.binary_search(&image.into()).is_err()) {
            continue;
        }
        let Some(&category) = ground_truth.category_places.get(&detection.category_id) else {
            odd.unknown_categories.add(at);
            odd.categories.insert(detection.category_id);
            continue;
        };
        if !(detection.bbox[2] > 0.0 && detection.bbox[3] > 0.0) {
            odd.empty.add(at);
        }
        places.push((at, image, category));
    }
    if let Some(first) = odd.unknown_images.first {
        return Err(CocoError::UnknownImages {
            detections: odd.unknown_images.detections,
            all: detections.len(),
            first,
            image_id: detections[first].image_id,
        });
    }
    let annotation = |(id, &(at, image, category)): (usize, &(usize, u32, u32))| {
        let Detection { bbox, score, .. } = detections[at];
        hotcoco::Annotation {
            id: id as u64 + 1,
            image_id: image.into(),
            category_id: category.into(),
            bbox: Some(bbox),
            area: Some(bbox[2] * bbox[3]),
            score: Some(score),
            ..Default::default()
        }
    };
    let found = places.par_iter().enumerate().map(|(id, place)| annotation((id, place))).collect();
    Ok((found, odd.warnings(detections)))
}

fn check_finite(index: usize, detection: &Detection) -> Result<(), CocoError> {
    let Some(value) = detection.not_finite() else {
        return Ok(());
    };
    let field = match detection.bbox.iter().position(|value| !value.is_finite()) {
        Some(0) => "x of bbox",
        Some(1) => "y of bbox",
        Some(2) => "width of bbox",
        Some(_) => "height of bbox",
        None => "score",
    };
    Err(CocoError::DetectionNotFinite { index, image_id: detection.image_id, field, value })
}

fn many_detections(found: &COCO) -> Option<Warning> {
    let over = found
        .nonempty_img_cat_pairs()
        .map(|(image, category)| found.get_ann_ids_for_img_cat(image, category).len().saturating_sub(MAX_DETECTIONS))
        .filter(|&over| over > 0);
    let (pairs, detections) = over.fold((0, 0), |(pairs, sum), over| (pairs + 1, sum + over));
    (pairs > 0).then_some(Warning::ManyDetections { detections, pairs, limit: MAX_DETECTIONS })
}

/// Detections of one oddity.
#[derive(Default)]
struct Tally {
    detections: usize,
    first: Option<usize>,
}

impl Tally {
    fn add(&mut self, at: usize) {
        self.detections += 1;
        self.first.get_or_insert(at);
    }
}

#[derive(Default)]
struct Odd {
    unknown_images: Tally,
    unknown_categories: Tally,
    categories: HashSet<i64>,
    empty: Tally,
}

impl Odd {
    fn warnings(&self, detections: &[Detection]) -> Vec<Warning> {
        let none = detections.is_empty().then_some(Warning::NoDetections);
        let unknown = self.unknown_categories.first.map(|first| Warning::DetectionsOfUnknownCategories {
            detections: self.unknown_categories.detections,
            first,
            category_id: detections[first].category_id,
            categories: self.categories.len(),
        });
        let empty = self.empty.first.map(|first| Warning::EmptyDetections { detections: self.empty.detections, first });
        [none, unknown, empty].into_iter().flatten().collect()
    }
}
