//! A dialogue model as the training loop sees it.

use std::collections::BTreeMap;

use imbalance_core::host::{HeadError, Loss};
use imbalance_train::heads::{HeadOptions, LossHeadError, LossPath, softmax_loss_sum, softmax_loss_with};
use imbalance_train::losses::MadeLosses;
use imbalance_train::{Autocast, BatchLoss, Goal, Group, LossPhase, Precision, Sampling, Step, Task, TrainError};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::dataset::Examples;
use crate::model::{Batch, ModelError, ReplyModel};
use crate::{AnyModel, DialogueError};

/// The model with its data and both losses.
pub(crate) struct DialogueTask<'a> {
    pub store: &'a VarStore,
    pub model: &'a AnyModel,
    pub train: &'a Examples,
    pub sampling: &'a Sampling,
    pub valid: &'a Examples,
    pub losses: &'a MadeLosses,
    pub batch_size: usize,
    pub loss_path: LossPath,
    pub seed: u64,
    pub precision: Precision,
    pub device: Device,
}

/// How a split is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measuring {
    pub path: LossPath,
    pub precision: Precision,
    /// Where the model is.
    pub device: Device,
}

impl Task for DialogueTask<'_> {
    fn variables(&self) -> &VarStore {
        self.store
    }

    fn batches(&self, epoch: usize) -> Result<Vec<Vec<usize>>, TrainError> {
        Ok(self.train.epoch(self.sampling, self.batch_size, self.seed, epoch)?)
    }

    fn forward(&mut self, batch: &[usize], at: Step) -> Result<Option<BatchLoss>, TrainError> {
        if batch.is_empty() {
            return Ok(None);
        }
        let batch = self.train.batch(batch, self.device);
        let targets = batch.targets();
        let loss = self.losses.of(at.phase);
        let logits = {
            let _autocast = Autocast::begin(self.precision, self.device);
            logits_for(loss, self.model, &batch, true).map_err(TrainError::task)?
        };
        let options = HeadOptions { path: self.loss_path, ..HeadOptions::default() };
        let sum = match softmax_loss_sum(loss, logits, &targets, &options) {
            Ok(sum) => sum,
            // Of logits that are not finite the loss is none either; the loop knows step and checkpoint to name.
            Err(LossHeadError::Head(HeadError::NotFinite { .. })) => Tensor::from(f32::NAN).set_requires_grad(true),
            Err(error) => return Err(TrainError::task(error)),
        };
        Ok(Some(BatchLoss { sum, units: targets.numel() as f64 }))
    }

    fn validate(&mut self, phase: LossPhase, group: &Group) -> Result<BTreeMap<String, f64>, TrainError> {
        let how = Measuring { path: self.loss_path, precision: self.precision, device: self.device };
        let measured = measure(self.model, self.valid, self.losses.of(phase), self.batch_size, how, group);
        let measured = measured.map_err(|error| match error {
            DialogueError::Head(LossHeadError::Head(error @ HeadError::NotFinite { .. })) => TrainError::task(format!(
                "validation: {error}; the training has diverged. A smaller --lr, --clip-norm or a warm-up usually helps"
            )),
            error => TrainError::task(error),
        })?;
        Ok(BTreeMap::from([("loss".into(), measured.loss), ("perplexity".into(), measured.perplexity)]))
    }

    fn losses(&self) -> Vec<(&'static str, &Loss)> {
        self.losses.named()
    }

    fn monitor(&self) -> (&str, Goal) {
        ("loss", Goal::Minimise)
    }

    fn units_name(&self) -> &str {
        "tokens"
    }
}

/// What `loss` takes of the model: bare cosines where it asks for a normalised classifier, which it then scales itself.
fn logits_for(loss: &Loss, model: &AnyModel, batch: &Batch, train: bool) -> Result<Tensor, ModelError> {
    if takes_cosines(loss, model) { model.cosines(batch, train) } else { model.logits(batch, train) }
}

fn takes_cosines(loss: &Loss, model: &AnyModel) -> bool {
    // Asked for --normalised-classifier no, a loss gets unbounded logits.
    loss.wants_normalised_classifier() && model.cosine_scale().is_some()
}

/// Replies that are evaluated at once where no flag says.
const EVALUATION_BATCH: usize = 64;

/// What a split's replies cost under teacher forcing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Mean of the loss over target tokens.
    pub loss: f64,
    /// `exp` of the mean of `−log p` over target tokens, end tokens counted.
    pub perplexity: f64,
}

/// Loss and perplexity of every reply of `examples`, in the first process of those that share them.
pub(crate) fn measure(
    model: &AnyModel,
    examples: &Examples,
    loss: &Loss,
    batch_size: usize,
    how: Measuring,
    group: &Group,
) -> Result<Measured, DialogueError> {
    let options = HeadOptions { path: how.path, ..HeadOptions::default() };
    // Sums of the loss and of −log p, and tokens.
    let of_batch = |indices: &[usize]| -> Result<[f64; 3], DialogueError> {
        let batch = examples.batch(indices, how.device);
        let targets = batch.targets();
        let logits = {
            let _autocast = Autocast::begin(how.precision, how.device);
            logits_for(loss, model, &batch, false)?
        };
        // Perplexity is the model's, whatever the loss does to the logits.
        let scale = model.cosine_scale().filter(|_| takes_cosines(loss, model));
        let own = (scale.is_some() || !loss.adjustment().keeps_logits())
            .then(|| negative_log_likelihood(&(&logits * scale.unwrap_or(1.0)), &targets));
        let measured = softmax_loss_with(loss, logits, &targets, &options)?;
        Ok([measured.total, own.unwrap_or(measured.negative_log_likelihood), targets.numel() as f64])
    };
    let batches = examples.by_length(batch_size);
    let own: Vec<[f64; 3]> =
        tch::no_grad(|| group.turns(batches.len()).map(|turn| of_batch(&batches[turn])).collect::<Result<_, _>>())?;
    let all = group.gather(batches.len(), own).map_err(TrainError::from)?;
    let [sum, nll, tokens] =
        all.iter().fold([0.0; 3], |sums, own| [sums[0] + own[0], sums[1] + own[1], sums[2] + own[2]]);
    Ok(Measured { loss: sum / tokens, perplexity: (nll / tokens).exp() })
}

/// The sum of `−log p` over the rows.
fn negative_log_likelihood(logits: &Tensor, targets: &Tensor) -> f64 {
    logits.cross_entropy_loss::<Tensor>(targets, None, tch::Reduction::Sum, -100, 0.0).double_value(&[])
}

/// Perplexity of every reply of `examples`: `exp` of the mean of `−log p` over target tokens, for which no
/// loss is needed.
pub(crate) fn perplexity(model: &AnyModel, examples: &Examples) -> Result<f64, DialogueError> {
    let (mut nll, mut tokens) = (0.0, 0.0);
    tch::no_grad(|| -> Result<(), DialogueError> {
        for indices in examples.by_length(EVALUATION_BATCH) {
            let batch = examples.batch(&indices, Device::Cpu);
            let targets = batch.targets();
            nll += negative_log_likelihood(&model.logits(&batch, false)?, &targets);
            tokens += targets.numel() as f64;
        }
        Ok(())
    })?;
    Ok((nll / tokens).exp())
}
