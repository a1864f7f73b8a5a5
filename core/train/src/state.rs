//! Where a run stands, apart from its tensors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::early_stopping::EarlyStopping;
use crate::exact::Exact;
use crate::loss_scale::LossScale;
use crate::plateau::Plateau;

/// A running sum of losses with what they were summed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossSum {
    sum: Exact,
    units: Exact,
}

impl LossSum {
    /// Adds a batch.
    pub fn add(&mut self, sum: f64, units: f64) {
        self.sum.0 += sum;
        self.units.0 += units;
    }

    /// Loss a unit; NaN when nothing was added.
    pub fn mean(&self) -> f64 {
        self.sum.0 / self.units.0
    }

    /// Units added.
    pub fn units(&self) -> f64 {
        self.units.0
    }
}

/// What losses accumulated, by the task's names for them, in hexadecimal; without those that accumulate nothing.
pub type Accumulated = BTreeMap<String, String>;

/// Everything besides tensors that decides how a run goes on. It holds no times, so that equal runs write
/// equal checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Epoch of the next step, from 1.
    pub epoch: usize,
    /// Batch of the next step within the epoch, from 0.
    pub batch: usize,
    /// Steps taken.
    pub step: u64,
    /// Loss of the epoch so far.
    pub epoch_loss: LossSum,
    /// Loss since the last record.
    pub recent_loss: LossSum,
    /// State of the plateau schedule.
    pub plateau: Plateau,
    /// Best validation value and patience.
    pub stopping: EarlyStopping,
    /// Factor on the loss in float16.
    #[serde(default)]
    pub loss_scale: LossScale,
    /// Lines of metrics.jsonl that belong to the steps taken.
    pub records: u64,
    /// What the losses of the first process accumulated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub losses: Accumulated,
    /// The same of the other processes, in order; nothing where no loss accumulates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses_of_others: Vec<Accumulated>,
    /// [`crate::group::Reducer::order`], where several processes have trained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gradient_order: Vec<i64>,
    /// [`crate::run_folder::RunFolder::settings_hash`] of the run.
    pub settings: String,
}

impl TrainState {
    /// The state before the first step.
    pub fn new(settings: &str) -> TrainState {
        TrainState {
            epoch: 1,
            batch: 0,
            step: 0,
            epoch_loss: LossSum::default(),
            recent_loss: LossSum::default(),
            plateau: Plateau::default(),
            stopping: EarlyStopping::default(),
            loss_scale: LossScale::default(),
            records: 0,
            losses: Accumulated::new(),
            losses_of_others: Vec::new(),
            gradient_order: Vec::new(),
            settings: settings.to_string(),
        }
    }
}
