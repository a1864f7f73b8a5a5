//! The checked settings of a training run.

use crate::error::TrainError;
use crate::optimiser::{LayerRates, Prefixes, Rule, SgdConfig};
use crate::schedule::{Decay, Schedule, WarmUp};
use crate::task::LossPhase;

/// Everything the training loop is told, from [`crate::flags::TrainFlags::resolve`].
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Learning rates, and the number of epochs.
    pub schedule: Schedule,
    /// The optimiser's rule.
    pub rule: Rule,
    /// Learning rates of single layers.
    pub layer_rates: LayerRates,
    /// Layers that keep their values.
    pub frozen: Prefixes,
    /// Decay of the moving average of the weights, if one is kept; results are then those of the average.
    pub average: Option<f64>,
    /// Whether the loss is scaled, so that gradients in float16 do not vanish.
    pub scale_loss: bool,
    /// Batches whose gradients make one step, at least 1.
    pub accumulate: usize,
    /// Largest gradient norm, if it is limited.
    pub clip_norm: Option<f64>,
    /// Epochs that train with the base loss before the chosen one.
    pub defer_epochs: usize,
    /// Epochs without a better validation value after which the run stops; 0 for never.
    pub patience: usize,
    /// Seed of every random stream.
    pub seed: u64,
    /// Steps between checkpoints within an epoch; 0 for one at the end of each epoch only.
    pub checkpoint_every: u64,
    /// Steps between records of the training loss; 0 for one at the end of each epoch only.
    pub log_every: u64,
    /// Whether to report no progress.
    pub quiet: bool,
}

impl TrainConfig {
    /// The loss that an epoch (from 1) trains with.
    pub fn phase(&self, epoch: usize) -> LossPhase {
        if epoch <= self.defer_epochs { LossPhase::Base } else { LossPhase::Main }
    }

    /// Checks what single values cannot show.
    ///
    /// # Errors
    /// [`TrainError::Settings`], naming the flags that contradict each other.
    pub fn check(&self) -> Result<(), TrainError> {
        let wrong = |message: String| Err(TrainError::Settings(message));
        let Schedule { lr, start: _, min_lr, warm_up, decay, epochs } = &self.schedule;
        if self.defer_epochs > 0 && self.defer_epochs >= *epochs {
            return wrong(format!(
                "--defer-epochs {} leaves none of --epochs {epochs} for the chosen loss; it must be smaller, 0 for no deferral (recipes \
                 set it too)",
                self.defer_epochs
            ));
        }
        if min_lr > lr {
            return wrong(format!("--min-lr {min_lr} is above --lr {lr}; it must not be"));
        }
        if let WarmUp::Epochs(warm) = warm_up
            && warm > epochs
        {
            return wrong(format!("--warmup-epochs {warm} is more than --epochs {epochs}"));
        }
        if let Decay::Step { epochs: at, .. } = decay {
            if at.is_empty() {
                return wrong(
                    "--schedule step needs --step-epochs, for example --step-epochs 160,180, or --step-after with steps".into(),
                );
            }
            if !at.windows(2).all(|pair| pair[0] < pair[1]) {
                return wrong(format!("--step-epochs {} must ascend", list(at)));
            }
        }
        if let Decay::StepAfter { steps, .. } = decay
            && !steps.windows(2).all(|pair| pair[0] < pair[1])
        {
            return wrong(format!("--step-after {} must ascend", list(steps)));
        }
        if let Rule::Sgd(SgdConfig { nesterov: true, momentum: 0.0, .. }) = self.rule {
            return wrong("--nesterov needs a --momentum above 0".into());
        }
        Ok(())
    }
}

/// Numbers as a flag has them.
fn list<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
