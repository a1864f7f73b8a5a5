//! What can go wrong in a run of detection.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use imbalance_train::TrainError;

/// Why a run could not start, go on or be used.
#[derive(Debug, thiserror::Error)]
pub enum DetectionError {
    /// Images or annotations.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// Loading images.
    #[error(transparent)]
    Load(#[from] crate::data::LoadError),
    /// An image file.
    #[error(transparent)]
    Image(#[from] imbalance_vision::augment::ImageError),
    /// A picture.
    #[error(transparent)]
    Figure(#[from] imbalance_evaluation::figure::FigureError),
    /// The network or its losses.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// Weights that others trained.
    #[error(transparent)]
    Weights(#[from] imbalance_vision::weights::WeightsError),
    /// The loss.
    #[error(transparent)]
    Loss(#[from] imbalance_core::LossError),
    /// The training loop or the run folder.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Scoring.
    #[error(transparent)]
    Score(#[from] imbalance_evaluation::coco::CocoError),
    /// Annotations to score against.
    #[error(transparent)]
    Read(#[from] imbalance_evaluation::coco::ReadError),
    /// libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A file of the run folder.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// Flags that do not fit together.
    #[error("{0}")]
    Usage(String),
}

impl DetectionError {
    /// 2 for wrong usage, 1 for a run that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Train(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// For `map_err`: names the file that an operation failed on.
    pub(crate) fn on<E: Display>(path: &Path, doing: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::File { path: path.to_owned(), reason: format!("cannot {doing}: {error}") }
    }
}

impl From<imbalance_train::RunError> for DetectionError {
    fn from(error: imbalance_train::RunError) -> Self {
        Self::Train(error.into())
    }
}

impl From<imbalance_train::CheckpointError> for DetectionError {
    fn from(error: imbalance_train::CheckpointError) -> Self {
        Self::Train(error.into())
    }
}
