//! What can go wrong in a run of image classification.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use imbalance_train::TrainError;

use crate::augment::{ImageError, Skipped};

/// Why a run could not start, go on or be used.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// The data.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// Augmentation.
    #[error(transparent)]
    Augment(#[from] crate::augment::AugmentError),
    /// Loading images.
    #[error(transparent)]
    Load(#[from] crate::augment::LoadError),
    /// The model.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// Weights that others trained.
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    /// The loss.
    #[error(transparent)]
    Loss(#[from] imbalance_core::LossError),
    /// The loss on a batch.
    #[error(transparent)]
    Head(#[from] imbalance_train::heads::LossHeadError),
    /// The training loop or the run folder.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Scoring.
    #[error(transparent)]
    Score(#[from] imbalance_evaluation::longtail::ScoreError),
    /// Predictions that cannot be scored.
    #[error(transparent)]
    Prediction(#[from] imbalance_evaluation::longtail::PredictionError),
    /// Predictions that cannot be written.
    #[error(transparent)]
    Write(#[from] imbalance_evaluation::longtail::WriteError),
    /// A picture.
    #[error(transparent)]
    Figure(#[from] imbalance_evaluation::figure::FigureError),
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
    /// A file of the run folder.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// Images that are all left out.
    #[error("{first}; of {images} {what} images none can be used")]
    NoUsableImage {
        /// Which images: training, validation or test.
        what: &'static str,
        /// How many there are.
        images: usize,
        /// The first, and what is wrong with it.
        first: Box<ImageError>,
    },
    /// Flags that do not fit together.
    #[error("{0}")]
    Usage(String),
}

impl VisionError {
    /// 2 for wrong usage, 1 for a run that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Train(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// Of images that were all skipped.
    pub(crate) fn no_usable_image(what: &'static str, skipped: Vec<Skipped>) -> Self {
        let images = skipped.len();
        match skipped.into_iter().next() {
            Some(Skipped { path, reason, .. }) => {
                Self::NoUsableImage { what, images, first: Box::new(ImageError { path, reason }) }
            }
            None => Self::Usage(format!("there are no {what} images")),
        }
    }

    /// For `map_err`: names the file that an operation failed on.
    pub(crate) fn on<E: Display>(path: &Path, doing: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::File { path: path.to_owned(), reason: format!("cannot {doing}: {error}") }
    }
}

impl From<imbalance_train::RunError> for VisionError {
    fn from(error: imbalance_train::RunError) -> Self {
        Self::Train(error.into())
    }
}

impl From<imbalance_train::CheckpointError> for VisionError {
    fn from(error: imbalance_train::CheckpointError) -> Self {
        Self::Train(error.into())
    }
}
