//! What can go wrong while training, and which exit code it deserves.

use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::group::GroupError;
use crate::run_folder::RunError;
use crate::sampler::SamplerError;

/// A failed file operation, with the file it concerned.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried: "read", "write", "create", …
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's reason.
    pub source: std::io::Error,
}

impl FileError {
    /// For `map_err`: names the file that an I/O operation failed on.
    pub fn on(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
        move |source| FileError { action, path: path.to_path_buf(), source }
    }
}

/// Why a training run could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Two settings that do not fit together; the message names the flags.
    #[error("{0}")]
    Settings(String),
    /// The run folder cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Examples cannot be drawn.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// The processes of the run cannot work together.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// The loss, the gradient norm, the weights or a validation value is NaN or infinite. Nothing of it is saved.
    #[error("{}", non_finite(what, *value, *epoch, *step, checkpoint.as_deref()))]
    NonFinite {
        /// "loss", "gradient norm", "validation loss", …
        what: &'static str,
        /// The value seen.
        value: f64,
        /// Epoch, from 1.
        epoch: usize,
        /// Step of the whole run, from 1.
        step: u64,
        /// The newest checkpoint, which holds the weights of an earlier step.
        checkpoint: Option<PathBuf>,
    },
    /// A task returned a batch loss that cannot be averaged or differentiated.
    #[error("epoch {epoch}, batch {batch}: {reason}")]
    Batch {
        /// Epoch, from 1.
        epoch: usize,
        /// Batch within the epoch, from 1.
        batch: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An epoch without a single batch.
    #[error("epoch {epoch} has no batches: the training data hold no usable example")]
    NoBatches {
        /// Epoch, from 1.
        epoch: usize,
    },
    /// The value that selects the best checkpoint is not among the validation results.
    #[error("validation did not report `{wanted}`, which selects the best checkpoint; it reported: {reported}")]
    NoMonitor {
        /// Name asked for.
        wanted: String,
        /// Names that were reported.
        reported: String,
    },
    /// An error of the task itself in the course of training.
    #[error("epoch {epoch}, step {step}: {reason}; {}", kept(checkpoint.as_deref()))]
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Step of the whole run, from 1.
        step: u64,
        /// The newest checkpoint.
        checkpoint: Option<PathBuf>,
        /// What the task said.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An error of the task itself (its data, model or loss).
    #[error(transparent)]
    Task(Box<dyn std::error::Error + Send + Sync>),
}

impl TrainError {
    /// Wraps a task's own error.
    pub fn task(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TrainError {
        TrainError::Task(error.into())
    }

    /// The exit code: 2 for wrong usage, 1 for a run that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            TrainError::Settings(_) => 2,
            TrainError::Group(error) => error.exit_code(),
            TrainError::Run(error) => error.exit_code(),
            _ => 1,
        }
    }
}

fn kept(checkpoint: Option<&Path>) -> String {
    match checkpoint {
        Some(path) => format!("the last good checkpoint is {}", path.display()),
        None => "no checkpoint had been written yet".to_string(),
    }
}

fn non_finite(what: &str, value: f64, epoch: usize, step: u64, checkpoint: Option<&Path>) -> String {
    let kept = kept(checkpoint);
    format!(
        "the {what} became {value} at step {step} (epoch {epoch}); {kept}. \
         A smaller --lr, --clip-norm or a warm-up usually helps"
    )
}
