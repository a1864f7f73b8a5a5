//! What a task gives the training loop: data order, a loss for a batch, and a validation.

use std::collections::BTreeMap;

use imbalance_core::host::Loss;
use tch::Tensor;
use tch::nn::VarStore;

use crate::error::TrainError;
use crate::group::Group;

/// Which of the two losses an epoch trains with (`--defer-epochs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LossPhase {
    /// Epochs `1..=defer_epochs`: the base loss (`--base-loss`).
    Base,
    /// All later epochs: the chosen loss (`--loss`).
    Main,
}

/// Where in the training a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 1.
    pub epoch: usize,
    /// Which loss it trains with.
    pub phase: LossPhase,
    /// Steps before it, in all epochs.
    pub step: u64,
}

/// Whether a smaller or a larger value of the monitored metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Smaller is better: a loss, a perplexity.
    Minimise,
    /// Larger is better: an accuracy, an F1.
    Maximise,
}

impl Goal {
    /// Whether `value` beats `best`. NaN beats nothing.
    pub fn better(self, value: f64, best: f64) -> bool {
        match self {
            Goal::Minimise => value < best,
            Goal::Maximise => value > best,
        }
    }
}

/// The loss of one batch.
#[derive(Debug)]
pub struct BatchLoss {
    /// Sum over the batch, a scalar that carries the graph.
    pub sum: Tensor,
    /// Examples or target tokens that `sum` adds up; above zero. The gradient is that of `sum / units`.
    pub units: f64,
}

/// One process's part of a batch, the whole where there is one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Indices, in order.
    pub examples: Vec<usize>,
    /// How many examples of the epoch come before them, so that what is drawn for an example does not depend on the number of
    /// processes.
    pub first: usize,
}

/// A model with its data, as the training loop sees it.
///
/// All state that decides the next step must be a function of (seed, epoch, step) or live in
/// [`Task::variables`] (a running normaliser, say, as a variable that needs no gradient), or a
/// resumed run would not end with the same bytes.
pub trait Task {
    /// Everything that is trained and saved. Variables that require a gradient are trained.
    fn variables(&self) -> &VarStore;

    /// The batches of an epoch (from 1), in order, as indices that [`Task::forward`] understands.
    /// A pure function of the seed and the epoch, so that (epoch, index) is a position to resume from;
    /// [`crate::sampling::Sampling::batches`] is one that follows `--sampler`. All epochs but the last have the same number of
    /// batches, by which a cosine knows how long the run is.
    fn batches(&self, epoch: usize) -> Result<Vec<Vec<usize>>, TrainError>;

    /// This process's part of a batch, where several train together.
    fn share(&self, batch: &[usize], group: &Group) -> Vec<usize> {
        batch[group.part(batch.len())].to_vec()
    }

    /// Called before the first step of an epoch in this process, with this process's part of all of its batches and how many
    /// of them a run that is resumed has done already: the place to start loading what comes next.
    fn begin_epoch(&mut self, _epoch: usize, _batches: &[Share], _done: usize) -> Result<(), TrainError> {
        Ok(())
    }

    /// The loss of one batch, with its graph; none where nothing of the batch can be trained on (all of its images were left
    /// out, say, or where several processes share a batch that has not enough for all: then `batch` is empty). libtorch's
    /// generator has been seeded for this step.
    fn forward(&mut self, batch: &[usize], at: Step) -> Result<Option<BatchLoss>, TrainError>;

    /// Metrics on the validation data, called without gradients after each epoch; a loss among them is that of `phase`.
    /// libtorch's generator has been seeded for this epoch. All processes are called at the same time and may share the work
    /// ([`Group::turns`], [`Group::gather`]); what the first returns counts.
    fn validate(&mut self, phase: LossPhase, group: &Group) -> Result<BTreeMap<String, f64>, TrainError>;

    /// The validation metric that selects the best checkpoint and drives the plateau schedule and
    /// early stopping.
    fn monitor(&self) -> (&str, Goal);

    /// The losses by name, so that what they accumulate (seesaw's counts, say) goes into the checkpoints.
    fn losses(&self) -> Vec<(&'static str, &Loss)> {
        Vec::new()
    }

    /// What [`BatchLoss::units`] counts, in the plural.
    fn units_name(&self) -> &str {
        "examples"
    }

    /// Whether weight decay applies to the variable of this name.
    fn decays(&self, _name: &str) -> bool {
        true
    }
}
