//! Detecting with what was trained.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbalance_evaluation::coco::{self, Evaluation, GroundTruth, Options, Summary};
use imbalance_evaluation::figure::{Colour, LabelledBox, boxes_over};
use imbalance_train::{Group, RunFolder};
use imbalance_vision::augment::{OnBadImage, Orientation, decode_file};
use imbalance_vision::flags::MemoryFormat;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::DetectionError;
use crate::data::{Checks, Dataset, LoadedBatch, LoaderOptions, OnBadBox, Skipped};
use crate::saved::SavedDetector;
use crate::task::{Detecting, Evaluate, Said, corners_to_coco};
use crate::train::save_detections;

/// What [`SavedDetector::evaluate`] is asked.
#[derive(Clone, Debug)]
pub struct EvaluateRequest {
    /// The run folder, which says which images it was evaluated on.
    pub run: PathBuf,
    /// Other images, and their annotations.
    pub others: Option<(PathBuf, PathBuf)>,
    /// Where detections go.
    pub output: Option<PathBuf>,
    /// Boxes that cannot be used [default: as in the run].
    pub on_bad_box: Option<OnBadBox>,
    /// Images that cannot be used [default: as in the run].
    pub on_bad_image: Option<OnBadImage>,
}

/// What [`SavedDetector::evaluate`] gives.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The scores.
    pub scores: Summary,
    /// Images that could not be decoded; none of their objects counts as found.
    pub skipped: Vec<Skipped>,
}

/// An object in an image file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundObject {
    /// Id of its category.
    pub category_id: i64,
    /// Name of its category.
    pub category: String,
    /// Probability.
    pub score: f64,
    /// `[x, y, width, height]` in pixels, as COCO has it.
    pub bbox: [f64; 4],
}

/// What was found in an image file.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Best first.
    pub objects: Vec<FoundObject>,
    /// The image with boxes, labels and scores; a PNG file.
    pub png: Vec<u8>,
}

/// The settings of a run that say where its images are, and which faults of theirs are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct DataOfRun {
    data: Option<PathBuf>,
    val_images: Option<PathBuf>,
    val_annotations: Option<PathBuf>,
    #[serde(default)]
    data_seed: u64,
    #[serde(default)]
    on_bad_box: OnBadBox,
    #[serde(default)]
    pub(crate) on_bad_image: OnBadImage,
}

impl SavedDetector {
    /// Scores it on the images that its run was evaluated on, or on others.
    ///
    /// # Errors
    /// The data; a failure to write the detections.
    pub fn evaluate(&self, request: &EvaluateRequest) -> Result<Evaluated, DetectionError> {
        let mut of = DataOfRun::read(&request.run)?;
        of.on_bad_box = request.on_bad_box.unwrap_or(of.on_bad_box);
        of.on_bad_image = request.on_bad_image.unwrap_or(of.on_bad_image);
        let set = Arc::new(match &request.others {
            Some((images, annotations)) => open(images, annotations, of.checks())?,
            None => of.open()?,
        });
        let truth = crate::sets::ground_truth(&set)?;
        let (found, skipped) = self.detections(&set, &truth, of.on_bad_image)?;
        if let Some(path) = &request.output {
            save_detections(path, &found)?;
        }
        let scores = Evaluation::new(&truth, &found, &Options::default())?.summary();
        Ok(Evaluated { scores, skipped })
    }

    /// What it finds in all images of a set, and the images that cannot be decoded.
    pub(crate) fn detections(
        &self,
        set: &Arc<Dataset>,
        truth: &GroundTruth,
        on_bad_image: OnBadImage,
    ) -> Result<(Vec<coco::Detection>, Vec<Skipped>), DetectionError> {
        let categories: Vec<i64> = self.file.categories.iter().map(|category| category.id).collect();
        if !set.categories.iter().map(|category| category.id).eq(categories.iter().copied()) {
            return Err(DetectionError::Usage(format!(
                "{} has other categories than the detector was trained on ({} of them)",
                set.name(),
                categories.len()
            )));
        }
        let evaluate = Evaluate {
            set,
            transform: &self.file.transform,
            loading: LoaderOptions { on_bad_image, ..LoaderOptions::default() },
            truth,
            categories: &categories,
            options: self.file.detecting,
            precision: self.file.precision,
            device: Device::Cpu,
            channels_last: self.channels_last(),
            group: &Group::alone(),
        };
        let (found, skipped) = evaluate.detections(&self.network)?;
        Ok((found.unwrap_or_default(), skipped))
    }

    /// What it finds in an image file with a score of at least `least`.
    ///
    /// # Errors
    /// An image that cannot be read, named.
    pub fn predict(&self, path: &Path, least: f32) -> Result<Predicted, DetectionError> {
        // As viewers show it; boxes are drawn over that.
        let image = decode_file(path, Orientation::Exif)?;
        let loaded = LoadedBatch::of_image(image.clone(), &self.file.transform)?;
        let how = Detecting {
            options: self.file.detecting,
            precision: self.file.precision,
            device: Device::Cpu,
            channels_last: self.channels_last(),
        };
        let found = Said::of(&self.network, &loaded, how)?.detections(&loaded, &how.options)?;
        let found: Vec<_> = found.into_iter().flatten().filter(|one| one.score >= least).collect();
        let category = |class: usize| self.file.categories[class].name.clone();
        // The surest on top.
        let boxes: Vec<LabelledBox> = found
            .iter()
            .rev()
            .map(|one| LabelledBox {
                corners: one.bbox,
                label: format!("{} {:.0} %", category(one.class), 100.0 * one.score),
                colour: Colour::of(one.class),
            })
            .collect();
        let objects = found.iter().map(|one| FoundObject {
            category_id: self.file.categories[one.class].id,
            category: category(one.class),
            score: f64::from(one.score),
            bbox: corners_to_coco(one.bbox),
        });
        Ok(Predicted {
            objects: objects.collect(),
            png: boxes_over(&image.bytes, (image.height, image.width), &boxes)?,
        })
    }

    fn channels_last(&self) -> bool {
        self.file.memory_format == MemoryFormat::ChannelsLast
    }
}

fn open(images: &Path, annotations: &Path, checks: Checks) -> Result<Dataset, DetectionError> {
    Ok(Dataset::open(images, annotations, &checks)?.0)
}

impl DataOfRun {
    pub(crate) fn read(run: &Path) -> Result<Self, DetectionError> {
        let text = RunFolder::stored_config(run)?;
        toml::from_str(&text).map_err(DetectionError::on(&run.join("config.toml"), "parse"))
    }

    fn checks(&self) -> Checks {
        Checks { on_bad_box: self.on_bad_box, on_bad_image: self.on_bad_image }
    }

    /// The images that the run was evaluated on.
    pub(crate) fn open(&self) -> Result<Dataset, DetectionError> {
        match (&self.val_images, &self.val_annotations, &self.data) {
            (Some(images), Some(annotations), _) => open(images, annotations, self.checks()),
            (_, _, Some(folder)) => {
                let layout = crate::data::Layout::find(folder)?;
                open(&layout.val.images, &layout.val.annotations, self.checks())
            }
            _ => Ok(crate::sets::generated(self.data_seed).1),
        }
    }
}
