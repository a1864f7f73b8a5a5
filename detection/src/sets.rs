//! The images that flags ask for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use imbalance_evaluation::coco::{GroundTruth, read_ground_truth};

use crate::DetectionError;
use crate::data::{Dataset, Layout, Part, synthetic};
use crate::flags::DataFlags;

/// Images to train on and to evaluate.
#[derive(Debug)]
pub(crate) struct Sets {
    /// What a run's output calls them.
    pub name: String,
    pub train: Arc<Dataset>,
    pub valid: Arc<Dataset>,
    /// What was left out and why.
    pub notes: Vec<String>,
    /// SHA-256 of the annotations, by file.
    pub sources: BTreeMap<String, String>,
}

impl DataFlags {
    /// Reads or generates the images.
    pub(crate) fn load(&self) -> Result<Sets, DetectionError> {
        let layout = match &self.data {
            Some(folder) => Some(Layout::find(folder)?),
            None => None,
        };
        let part = |images: &Option<_>, annotations: &Option<_>, of: fn(&Layout) -> &Part| {
            let given = images.clone().zip(annotations.clone());
            let given = given.map(|(images, annotations)| Part { images, annotations });
            given.or_else(|| layout.as_ref().map(|layout| of(layout).clone()))
        };
        let train = part(&self.train_images, &self.train_annotations, |layout| &layout.train);
        let valid = part(&self.val_images, &self.val_annotations, |layout| &layout.val);
        let (train, valid, notes) = match (train, valid) {
            (None, None) => {
                let (train, valid) = generated(self.data_seed);
                (train, valid, Vec::new())
            }
            (Some(train), Some(valid)) => {
                let (train, first) = Dataset::open(&train.images, &train.annotations, &self.checks())?;
                let (valid, second) = Dataset::open(&valid.images, &valid.annotations, &self.checks())?;
                let same = |a: &Dataset, b: &Dataset| {
                    a.categories.iter().map(|one| one.id).eq(b.categories.iter().map(|one| one.id))
                };
                if !same(&train, &valid) {
                    return Err(DetectionError::Usage(format!(
                        "{} has {} categories and {} has {}, or others; both files need the same ones",
                        train.name(),
                        train.categories.len(),
                        valid.name(),
                        valid.categories.len()
                    )));
                }
                (train, valid, vec![first.to_string(), second.to_string()])
            }
            (given, _) => {
                let (there, missing) = if given.is_some() { ("train", "val") } else { ("val", "train") };
                return Err(DetectionError::Usage(format!(
                    "--{there}-images and --{there}-annotations are given, --{missing}-images and --{missing}-annotations are not; \
                     both sets are needed, or --data with both"
                )));
            }
        };
        let sources = [&train, &valid].map(|set| (set.name(), set.sha256.clone()));
        let name = self.data.as_deref().unwrap_or(Path::new(&train.name())).display().to_string();
        Ok(Sets { name, train: Arc::new(train), valid: Arc::new(valid), notes, sources: sources.into() })
    }
}

pub(crate) fn generated(seed: u64) -> (Dataset, Dataset) {
    synthetic::generate(&synthetic::Options { seed, ..synthetic::Options::default() })
}

/// What detections are scored against: the file as it is, so that scores are those of any other evaluator of it. If images of it
/// were left out, what is left.
pub(crate) fn ground_truth(set: &Dataset) -> Result<GroundTruth, DetectionError> {
    if let Some(path) = &set.file {
        let whole = read_ground_truth(path)?;
        if whole.image_ids().len() == set.images.len() {
            return Ok(whole);
        }
    }
    Ok(set.ground_truth()?)
}
