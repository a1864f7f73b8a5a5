//! The protocol of LVIS (Gupta et al., 2019), whose images are annotated for some categories only.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hotcoco::params::IouType;
use hotcoco::{COCO, COCOeval, Dataset};
use serde::Serialize;

use super::evaluation::{index, mean_of, recorded};
use super::{CocoError, Detection, GroundTruth, Warning};

/// What an image's annotations cover. Categories that are neither annotated in it nor negative were not looked for there, and
/// detections of them count neither for nor against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Federation {
    /// The image.
    pub image_id: i64,
    /// Categories that were looked for and are not in the image.
    pub negative: Vec<i64>,
    /// Categories of which not every object is annotated; detections without an object are passed over.
    pub not_exhaustive: Vec<i64>,
}

/// The 13 numbers of LVIS, each between 0 and 1, or −1 where no ground truth counts for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LvisStats(pub [f64; 13]);

impl LvisStats {
    /// Short names, in order.
    pub const NAMES: [&'static str; 13] =
        ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR", "ARs", "ARm", "ARl"];
}

impl Serialize for LvisStats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Self::NAMES.iter().zip(self.0))
    }
}

/// IoU, area and frequency of each number.
const ROWS: [(&str, &str, &str); 13] = [
    ("0.50:0.95", "all", "all"),
    ("0.50", "all", "all"),
    ("0.75", "all", "all"),
    ("0.50:0.95", "small", "all"),
    ("0.50:0.95", "medium", "all"),
    ("0.50:0.95", "large", "all"),
    ("0.50:0.95", "all", "rare"),
    ("0.50:0.95", "all", "common"),
    ("0.50:0.95", "all", "frequent"),
    ("0.50:0.95", "all", "all"),
    ("0.50:0.95", "small", "all"),
    ("0.50:0.95", "medium", "all"),
    ("0.50:0.95", "large", "all"),
];

impl fmt::Display for LvisStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, value), (iou, area, categories)) in Self::NAMES.iter().zip(self.0).zip(ROWS) {
            let title = if name.starts_with("AP") { "Average Precision  (AP)" } else { "Average Recall     (AR)" };
            writeln!(
                f,
                " {title} @[ IoU={iou:<9} | area={area:>6} | maxDets=300 | categories={categories:>8} ] = {value:.3}"
            )?;
        }
        Ok(())
    }
}

/// Scores by LVIS's protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LvisSummary {
    /// The 13 numbers.
    pub stats: LvisStats,
    /// Images scored.
    pub images: usize,
    /// Detections in these images.
    pub detections: usize,
    /// Scores of each category, by id.
    pub per_class: Vec<LvisClass>,
    /// What a reader of the numbers should know.
    pub warnings: Vec<Warning>,
}

/// Scores of a category, each between 0 and 1; `None` without boxes to be found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LvisClass {
    /// Its id.
    pub category_id: i64,
    /// Its name.
    pub name: String,
    /// How frequent it is in training, if the ground truth says.
    pub frequency: Option<String>,
    /// Average precision.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// Average precision at IoU .5.
    #[serde(rename = "AP50")]
    pub ap50: Option<f64>,
}

impl GroundTruth {
    /// The same with what each image's annotations cover. Categories that the ground truth has not are passed over.
    ///
    /// # Errors
    /// An image that the ground truth has not.
    pub fn federated(mut self, images: &[Federation]) -> Result<Self, CocoError> {
        let known = self.image_ids.len();
        let mut records: Vec<hotcoco::Image> = self.coco.dataset.images.clone();
        let places = |ids: &[i64], places: &HashMap<i64, u32>| -> Vec<u64> {
            ids.iter().filter_map(|id| places.get(id)).map(|&place| place.into()).collect()
        };
        for Federation { image_id, negative, not_exhaustive } in images {
            let place = self.image_places.get(image_id);
            let place = place.ok_or(CocoError::UnknownChosenImage { image_id: *image_id, images: known })?;
            let record = &mut records[*place as usize];
            record.neg_category_ids = places(negative, &self.category_places);
            record.not_exhaustive_category_ids = places(not_exhaustive, &self.category_places);
        }
        self.coco = Arc::new(COCO::from_dataset(Dataset { images: records, ..self.coco.dataset.clone() }));
        self.federated = true;
        Ok(self)
    }

    /// Whether its images say which categories were looked for in them.
    pub fn is_federated(&self) -> bool {
        self.federated
    }
}

/// Scores detections by LVIS's protocol: of an image the 300 of highest score count, and of those only the ones of categories
/// that were looked for in it.
///
/// # Errors
/// Ground truth that is not federated; numbers that are not finite, images that the ground truth has not.
pub fn evaluate_lvis(ground_truth: &GroundTruth, detections: &[Detection]) -> Result<LvisSummary, CocoError> {
    if !ground_truth.federated {
        return Err(CocoError::NotFederated);
    }
    let (found, of_detections) = index(ground_truth, detections, None)?;
    let detections = found.len();
    let found = COCO::from_dataset(Dataset { annotations: found, ..Default::default() });
    let mut matched = COCOeval::new_lvis(Arc::clone(&ground_truth.coco), found, IouType::Bbox);
    matched.evaluate()?;
    matched.accumulate();
    matched.summarize_lines();
    let stats = LvisStats(recorded(&matched)?);
    let (area, limit) = (matched.params.all_area_idx(), matched.params.max_det_idx());
    let precision = |class: usize, thresholds: usize| {
        let curves = matched.accumulated()?;
        let places = (0..thresholds).flat_map(|t| (0..curves.shape.r).map(move |r| (t, r)));
        mean_of(places.map(|(t, r)| curves.precision[curves.precision_idx(t, r, class, area, limit)]))
    };
    let class = |(place, category): (usize, &super::Category)| LvisClass {
        category_id: category.id,
        name: category.name.clone(),
        frequency: category.frequency.clone(),
        ap: precision(place, super::evaluation::THRESHOLDS),
        ap50: precision(place, 1),
    };
    // LVIS is federated, and has no crowds.
    let usual = |warning: &&Warning| matches!(warning, Warning::Federated { .. } | Warning::MissingIscrowd { .. });
    let of_truth = ground_truth.warnings.iter().filter(|warning| !usual(warning));
    Ok(LvisSummary {
        stats,
        images: matched.params.img_ids.len(),
        detections,
        per_class: ground_truth.categories.iter().enumerate().map(class).collect(),
        warnings: of_truth.cloned().chain(of_detections).collect(),
    })
}
