//! The end of a training: scores of the last and the best epoch, predictions, the model, pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imbalance_evaluation::longtail::{
    GeneralisationGap, LongTailScores, Predictions, generalisation_gap, score, write_predictions,
};
use imbalance_train::{RunFolder, Summary, TrainError};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::VisionError;
use crate::augment::Skipped;
use crate::data::Split;
use crate::flags::VisionFlags;
use crate::method::Method;
use crate::pictures;
use crate::saved::weights_path;
use crate::task::{Evaluate, Rows};
use crate::train::Prepared;

/// Numbers that the logits of training images may have at the end of a run; of more images, every k-th is looked at.
const MOST_TRAIN_LOGITS: usize = 50_000_000;

/// Logits and labels of the test images.
pub(crate) const TEST_PREDICTIONS: &str = "predictions-test.safetensors";
/// Logits and labels of training images, without augmentation.
pub(crate) const TRAIN_PREDICTIONS: &str = "predictions-train.safetensors";

/// Image files that were left out, with how often.
pub(crate) type SkippedFiles = BTreeMap<PathBuf, usize>;

/// Adds what a loader left out.
pub(crate) fn count_skipped(counted: &mut SkippedFiles, skipped: Vec<Skipped>) {
    for Skipped { path, times, .. } in skipped {
        *counted.entry(path).or_default() += times;
    }
}

/// What a training ended with; `results.json` in the run folder.
#[derive(Debug, Serialize)]
pub struct TrainedRun {
    /// The run folder.
    pub run: PathBuf,
    /// The loss's id.
    pub loss: String,
    /// The method.
    pub method: Method,
    /// The data set.
    pub dataset: String,
    /// Training images of each class.
    pub train_counts: Vec<u64>,
    /// Trained parameters.
    pub parameters: i64,
    /// What the training loop did.
    pub training: Summary,
    /// What it did in the second stage, of a method that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_stage: Option<Summary>,
    /// τ of τ-normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// Image files that were left out, with how often: of training and of evaluation, since the run was last started; once where a
    /// list names a file that is not there.
    pub skipped: Vec<(PathBuf, usize)>,
    /// Scores of the test images by the final model.
    pub scores: LongTailScores,
    /// Scores by the epoch that was best on the images it was chosen by; none for a method that goes on after the last
    /// epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestEpoch>,
    /// Accuracy on training images and on test images.
    pub gap: GeneralisationGap,
}

/// The best epoch.
#[derive(Debug, Serialize)]
pub struct BestEpoch {
    /// Which, from 1.
    pub epoch: usize,
    /// The images it was chosen by.
    pub chosen_by: ChosenBy,
    /// Scores of the test images.
    pub scores: LongTailScores,
}

/// What the best epoch was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// The test images, as is common: the score is too good.
    TestImages,
    /// Other images.
    HeldOutImages,
}

/// Scores the final and the best weights and fills the run folder, which the first process has; the others take their share of the
/// images, and have no results.
pub(crate) fn finish(
    prepared: &Prepared,
    flags: &VisionFlags,
    run: Option<&RunFolder>,
    training: Summary,
    second_stage: Option<Summary>,
    tau: Option<f64>,
) -> Result<Option<TrainedRun>, VisionError> {
    let classes = prepared.classes.len();
    if let Some(run) = run {
        prepared.file.export(&weights_path(run.path()), &prepared.store)?;
    }
    let bias = prepared.file.bias()?;
    let evaluate = Evaluate { bias: bias.as_ref(), ..prepared.evaluate() };
    let scored = |logits: Vec<f32>, labels: Vec<usize>| -> Result<LongTailScores, VisionError> {
        let predictions = Predictions::from_logits(classes, logits, labels)?;
        Ok(score(&predictions, &prepared.train_counts, &prepared.groups)?)
    };
    let written = |rows: Option<Rows>, name: &str| -> Result<Option<LongTailScores>, VisionError> {
        let (Some(run), Some((logits, labels))) = (run, rows) else { return Ok(None) };
        write_predictions(&run.path().join(name), classes, &logits, &labels)?;
        scored(logits, labels).map(Some)
    };
    let mut skipped = prepared.skipped.clone();
    let test_scores = written(evaluate.logits(&prepared.test_loader)?, TEST_PREDICTIONS)?;
    let train_scores = written(train_logits(prepared, &evaluate, &mut skipped)?, TRAIN_PREDICTIONS)?;
    let best = match (&training.best, flags.method.method) {
        (Some(best), Method::Plain | Method::Deferred | Method::Bbn) => {
            let path = run.map(RunFolder::best_checkpoint);
            let chosen_by = if prepared.held_out { ChosenBy::HeldOutImages } else { ChosenBy::TestImages };
            let of_best = |(logits, labels)| -> Result<BestEpoch, VisionError> {
                let logits = adjusted(logits, bias.as_ref())?;
                Ok(BestEpoch { epoch: best.epoch, chosen_by, scores: scored(logits, labels)? })
            };
            prepared.test_logits_of(path.as_deref())?.map(of_best).transpose()?
        }
        _ => None,
    };
    for loader in [&prepared.train_loader, &prepared.test_loader, &prepared.valid_loader] {
        count_skipped(&mut skipped, loader.skipped());
    }
    let group = &prepared.compute.group;
    let of_all = group.gather(group.size(), vec![skipped]).map_err(TrainError::from)?;
    let (Some(run), Some(scores), Some(train_scores)) = (run, test_scores, train_scores) else { return Ok(None) };
    let mut skipped = SkippedFiles::new();
    for (path, times) in of_all.into_iter().flatten() {
        *skipped.entry(path).or_default() += times;
    }
    let folder = run.path();
    let gap = generalisation_gap(&train_scores, &scores);
    let trained = TrainedRun {
        run: folder.to_owned(),
        loss: prepared.loss().id().to_owned(),
        method: flags.method.method,
        dataset: prepared.file.dataset.clone(),
        train_counts: prepared.train_counts.clone(),
        parameters: parameters(prepared),
        training,
        second_stage,
        tau,
        skipped: skipped.into_iter().collect(),
        scores,
        best,
        gap,
    };
    run.write_results(&trained)?;
    pictures::of_run(folder, &trained, &prepared.classes)?;
    Ok(Some(trained))
}

fn parameters(prepared: &Prepared) -> i64 {
    prepared.store.trainable_variables().iter().map(|tensor| tensor.numel() as i64).sum()
}

fn adjusted(logits: Vec<f32>, bias: Option<&Tensor>) -> Result<Vec<f32>, VisionError> {
    let Some(bias) = bias else { return Ok(logits) };
    let rows = Tensor::f_from_slice(&logits)?.f_view([-1, bias.size()[0]])?;
    Ok(Vec::<f32>::try_from(rows.f_add(bias)?.f_view([-1])?)?)
}

/// Logits of the training images as they are evaluated; of every k-th where there are very many. What is left out of those
/// is added to `skipped`.
fn train_logits(
    prepared: &Prepared,
    evaluate: &Evaluate<'_>,
    skipped: &mut SkippedFiles,
) -> Result<Option<Rows>, VisionError> {
    let images = prepared.train.labels.len();
    let every = (images * prepared.classes.len()).div_ceil(MOST_TRAIN_LOGITS).max(1);
    if every == 1 {
        return evaluate.logits(&prepared.train_loader);
    }
    let chosen: Vec<usize> = (0..images).step_by(every).collect();
    let some: Split = prepared.train.select(&chosen)?;
    let loader = prepared.loader_of(some)?;
    let logits = evaluate.logits(&loader)?;
    count_skipped(skipped, loader.skipped());
    Ok(logits)
}

/// The results that a finished run wrote, as far as tables and pictures need them.
#[derive(Debug, Deserialize)]
pub struct RunResults {
    /// The loss's id.
    pub loss: String,
    /// Training images of each class.
    pub train_counts: Vec<u64>,
    /// Scores of the test images by the final model.
    pub scores: LongTailScores,
    /// Accuracy on training images and on test images.
    pub gap: GeneralisationGap,
    /// The best epoch.
    pub best: Option<BestScores>,
}

/// As [`BestEpoch`].
#[derive(Debug, Deserialize)]
pub struct BestScores {
    /// Which, from 1.
    pub epoch: usize,
    /// The images it was chosen by.
    pub chosen_by: ChosenBy,
    /// Scores of the test images.
    pub scores: LongTailScores,
}

impl RunResults {
    /// Reads a run's `results.json`.
    ///
    /// # Errors
    /// There is none, or it is not one of `toolkit vision`.
    pub fn read(run: &Path) -> Result<Self, VisionError> {
        let path = run.join("results.json");
        let text = std::fs::read_to_string(&path).map_err(|error| VisionError::File {
            path: path.clone(),
            reason: format!("cannot read: {error}; a finished run of `toolkit vision` has it"),
        })?;
        serde_json::from_str(&text).map_err(VisionError::on(&path, "parse"))
    }
}
