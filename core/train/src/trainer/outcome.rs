//! How a training ended.

use std::path::PathBuf;

use serde::Serialize;

/// How a call of [`fit`](super::fit) ended without an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done, or patience ran out.
    Finished(Summary),
    /// A stop was requested; the checkpoint to resume from is written.
    Interrupted(Summary),
}

/// What a run amounted to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Epochs completed.
    pub epochs: usize,
    /// Steps taken.
    pub steps: u64,
    /// Whether patience ran out before the last epoch.
    pub stopped_early: bool,
    /// The best validation value, whose weights are in `checkpoints/best.safetensors`; none before the first validation.
    pub best: Option<BestValue>,
    /// Seconds of training and validation, earlier parts of a resumed run included.
    pub seconds: f64,
    /// Peak resident memory of this process, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// The newest checkpoint.
    pub last_checkpoint: PathBuf,
}

/// A validation value with where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestValue {
    /// Name of the metric.
    pub metric: String,
    /// Epoch, from 1.
    pub epoch: usize,
    /// The value.
    pub value: f64,
}
