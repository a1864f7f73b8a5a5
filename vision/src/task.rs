//! An image classifier as the training loop sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbalance_core::host::{HeadError, Loss};
use imbalance_evaluation::longtail::{Groups, Predictions, score};
use imbalance_train::heads::{HeadOptions, LossHeadError, LossPath, softmax_loss_sum, softmax_loss_with};
use imbalance_train::losses::MadeLosses;
use imbalance_train::{
    Autocast, BatchLoss, Goal, Group, LossPhase, Precision, Sampling, Share, Step, Task, TrainError, sent,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::VisionError;
use crate::augment::{Augment, Layout, LoadError, LoadedBatch, Loader, LoaderOptions};
use crate::data::Split;
use crate::device_images::{BatchKey, DeviceImages};
use crate::mixing::{Mixed, Mixing};
use crate::model::{BilateralModel, LearnableScale, bilateral_alpha};
use crate::network::Network;

/// Images that are evaluated at once.
const EVALUATION_BATCH: usize = 500;

/// The classifier's part of the weights that a second stage trains.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trained<'a> {
    /// Everything.
    All,
    /// The classifier; features come from the frozen backbone.
    Classifier,
    /// These factors.
    Scale(&'a LearnableScale),
}

/// The model with its data and losses.
pub(crate) struct VisionTask<'a> {
    pub store: &'a VarStore,
    pub network: &'a Network,
    pub trained: Trained<'a>,
    pub loader: Loader,
    /// In the place of the loader where images stay on an accelerator.
    pub on_device: Option<OnDevice>,
    pub sampling: &'a Sampling,
    /// Of the re-balancing branch of a network with two.
    pub reversed: Option<&'a Sampling>,
    pub valid: &'a Loader,
    pub losses: &'a MadeLosses,
    pub train_counts: &'a [u64],
    pub groups: Groups,
    pub batch_size: usize,
    pub epochs: usize,
    pub loss_path: LossPath,
    pub mixing: Option<Mixing>,
    pub precision: Precision,
    pub device: Device,
    pub seed: u64,
}

/// Training images on the device, and the place in the epoch of each of this process's batches to come, the next one last.
pub(crate) struct OnDevice {
    pub images: DeviceImages,
    pub keys: Vec<BatchKey>,
}

/// A batch's images, and which of the batch they are.
struct Ready {
    images: Tensor,
    positions: Vec<usize>,
}

/// A loader of `split` for evaluation or training.
pub(crate) fn loader(split: Arc<Split>, augment: Augment, options: LoaderOptions) -> Result<Loader, VisionError> {
    Ok(Loader::new(split, augment, options)?)
}

/// A batch's pixels as the model takes them, `[n, 3, size, size]` in either memory format.
pub(crate) fn images(loader: &Loader, batch: &LoadedBatch, device: Device) -> Result<Tensor, VisionError> {
    let (n, size) = (batch.positions().len() as i64, loader.size() as i64);
    let pixels = Tensor::f_from_slice(batch.pixels())?;
    let pixels = match loader.layout() {
        Layout::ChannelsFirst => pixels.f_view([n, 3, size, size])?,
        Layout::ChannelsLast => pixels.f_view([n, size, size, 3])?.f_permute([0, 3, 1, 2])?,
    };
    Ok(sent(&pixels, device)?)
}

impl VisionTask<'_> {
    /// Features for training: those of both branches mixed, where there are two.
    fn features(&self, xs: &Tensor, at: Step) -> Result<Tensor, VisionError> {
        match (self.network, self.trained) {
            (Network::Bilateral(model), Trained::All) => {
                let half = xs.size()[0] / 2;
                let alpha = bilateral_alpha(at.epoch as u64, self.epochs as u64);
                let (uniform, reversed) = (xs.f_narrow(0, 0, half)?, xs.f_narrow(0, half, half)?);
                Ok(BilateralModel::mixed_features(model, &uniform, &reversed, alpha)?)
            }
            (network, Trained::All) => Ok(network.features(xs, true)?),
            // Statistics of the normalisations are frozen, too.
            (network, _) => Ok(tch::no_grad(|| network.features(xs, false))?.detach()),
        }
    }

    /// The images of the next batch.
    fn next(&mut self, batch: &[usize]) -> Result<Ready, VisionError> {
        if let Some(OnDevice { images, keys }) = &mut self.on_device
            && let Some(key) = keys.pop()
        {
            let ready = Ready { images: images.batch(batch, key)?, positions: (0..batch.len()).collect() };
            return Ok(match self.loader.layout() {
                Layout::ChannelsLast => ready,
                Layout::ChannelsFirst => Ready { images: ready.images.f_contiguous()?, ..ready },
            });
        }
        let Some(loaded) = self.loader.next_batch()? else {
            return Err(LoadError::NotStarted.into());
        };
        Ok(Ready { images: images(&self.loader, &loaded, self.device)?, positions: loaded.positions().to_vec() })
    }

    fn loss(&self, batch: &[usize], ready: Ready, at: Step) -> Result<BatchLoss, VisionError> {
        let Ready { images, positions } = ready;
        let loss = self.losses.of(at.phase);
        let labels: Vec<i64> =
            positions.iter().map(|&position| i64::from(self.loader.split().labels[batch[position]])).collect();
        let targets = sent(&Tensor::f_from_slice(&labels)?, self.device)?;
        let mixed = self.mixing.map(|mixing| mixing.apply(images.shallow_clone(), at.step)).transpose()?;
        let features = {
            let _autocast = Autocast::begin(self.precision, self.device);
            self.features(mixed.as_ref().map_or(&images, |mixed| &mixed.images), at)?
        };
        // The classifier costs next to nothing, and bfloat16 is coarse for cosines times 30.
        let features = features.f_to_kind(Kind::Float)?;
        let logits = self.network.classify(&features, takes_cosines(loss, self.network))?;
        let logits = match self.trained {
            Trained::Scale(scale) => scale.apply(&logits)?,
            _ => logits,
        };
        let options = HeadOptions { path: self.loss_path, features: Some(&features), ..HeadOptions::default() };
        if let Some(Mixed { partners, share, .. }) = mixed {
            let others: Vec<i64> = partners.iter().map(|&partner| labels[partner]).collect();
            let others = sent(&Tensor::f_from_slice(&others)?, self.device)?;
            // The head overwrites the logits that it is given.
            let again = logits.f_mul_scalar(1.0)?;
            let own = softmax_loss_sum(loss, logits, &targets, &options)?;
            let other = softmax_loss_sum(loss, again, &others, &options)?;
            let sum = own.f_mul_scalar(share)?.f_add(&other.f_mul_scalar(1.0 - share)?)?;
            return Ok(BatchLoss { sum, units: labels.len() as f64 });
        }
        if self.reversed.is_none() {
            let sum = softmax_loss_sum(loss, logits, &targets, &options)?;
            return Ok(BatchLoss { sum, units: labels.len() as f64 });
        }
        // One mixture of two images has both classes (Zhou et al., 2020, Eq. 3).
        let half = labels.len() as i64 / 2;
        let alpha = bilateral_alpha(at.epoch as u64, self.epochs as u64);
        // The head overwrites the logits that it is given.
        let again = logits.f_mul_scalar(1.0)?;
        let conventional = softmax_loss_sum(loss, logits, &targets.f_narrow(0, 0, half)?, &options)?;
        let rebalancing = softmax_loss_sum(loss, again, &targets.f_narrow(0, half, half)?, &options)?;
        let sum = conventional.f_mul_scalar(alpha)?.f_add(&rebalancing.f_mul_scalar(1.0 - alpha)?)?;
        Ok(BatchLoss { sum, units: half as f64 })
    }
}

/// Whether `loss` gets bare cosines, which it scales itself.
fn takes_cosines(loss: &Loss, network: &Network) -> bool {
    // Asked for --normalised-classifier no, a loss gets unbounded logits.
    loss.wants_normalised_classifier() && network.cosine_scale().is_some()
}

impl Task for VisionTask<'_> {
    fn variables(&self) -> &VarStore {
        self.store
    }

    fn batches(&self, epoch: usize) -> Result<Vec<Vec<usize>>, TrainError> {
        let mut batches = self.sampling.batches(self.batch_size, self.seed, epoch)?;
        if let Some(reversed) = self.reversed {
            // Another order than the uniform one's.
            let seed = imbalance_train::derive(self.seed, imbalance_train::Stream::Order, 0);
            for (batch, of_reversed) in batches.iter_mut().zip(reversed.batches(self.batch_size, seed, epoch)?) {
                batch.extend(of_reversed);
            }
        }
        Ok(batches)
    }

    fn share(&self, batch: &[usize], group: &Group) -> Vec<usize> {
        // Of both branches, where there are two.
        let of = |branch: &[usize]| branch[group.part(branch.len())].to_vec();
        match self.reversed {
            Some(_) => batch.chunks(batch.len() / 2).flat_map(of).collect(),
            None => of(batch),
        }
    }

    fn begin_epoch(&mut self, epoch: usize, batches: &[Share], done: usize) -> Result<(), TrainError> {
        let some = |batches: &[Share]| batches.iter().filter(|batch| !batch.examples.is_empty()).count();
        let first = some(&batches[..done]);
        let batches = batches.iter().filter(|batch| !batch.examples.is_empty());
        if let Some(on_device) = &mut self.on_device {
            let key = |batch: &Share| BatchKey { seed: self.seed, epoch: epoch as u64, first: batch.first as u64 };
            on_device.keys = batches.skip(first).map(key).collect();
            on_device.keys.reverse();
            return Ok(());
        }
        let batches = batches.map(|batch| (batch.examples.clone(), batch.first as u64)).collect();
        self.loader.start_parts(batches, first, self.seed, epoch as u64).map_err(TrainError::task)
    }

    fn forward(&mut self, batch: &[usize], at: Step) -> Result<Option<BatchLoss>, TrainError> {
        if batch.is_empty() {
            return Ok(None);
        }
        let ready = self.next(batch).map_err(TrainError::task)?;
        if self.reversed.is_some() && ready.positions.len() < batch.len() {
            return Err(TrainError::task(
                "images were skipped, of which --method bbn needs pairs; use --on-bad-image fail",
            ));
        }
        if ready.positions.is_empty() {
            return Ok(None);
        }
        match self.loss(batch, ready, at) {
            // Of logits that are not finite the loss is none either; the loop knows step and checkpoint to name.
            Err(VisionError::Head(LossHeadError::Head(HeadError::NotFinite { .. }))) => {
                Ok(Some(BatchLoss { sum: Tensor::from(f32::NAN).set_requires_grad(true), units: batch.len() as f64 }))
            }
            result => result.map(Some).map_err(TrainError::task),
        }
    }

    fn validate(&mut self, phase: LossPhase, group: &Group) -> Result<BTreeMap<String, f64>, TrainError> {
        let scale = match self.trained {
            Trained::Scale(scale) => Some(scale),
            _ => None,
        };
        let (network, precision, device) = (self.network, self.precision, self.device);
        let evaluate = Evaluate { network, scale, precision, device, bias: None, group };
        let measured = evaluate.measure(self.valid, self.losses.of(phase), self.loss_path);
        let measured = measured.map_err(|error| match error {
            VisionError::Head(LossHeadError::Head(error @ HeadError::NotFinite { .. })) => TrainError::task(format!(
                "validation: {error}; the training has diverged. A smaller --lr, --clip-norm or a warm-up usually helps"
            )),
            error => TrainError::task(error),
        })?;
        let Some((predictions, loss)) = measured else { return Ok(BTreeMap::new()) };
        let scores = score(&predictions, self.train_counts, &self.groups).map_err(TrainError::task)?;
        let named = [
            ("accuracy", Some(scores.all)),
            ("many", scores.many),
            ("medium", scores.medium),
            ("few", scores.few),
            ("natural", scores.natural),
            ("loss", Some(loss)),
        ];
        Ok(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    fn losses(&self) -> Vec<(&'static str, &Loss)> {
        self.losses.named()
    }

    fn monitor(&self) -> (&str, Goal) {
        ("accuracy", Goal::Maximise)
    }

    fn units_name(&self) -> &str {
        "images"
    }
}

/// How images become predictions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluate<'a> {
    pub network: &'a Network,
    /// The factors of a second stage in training.
    pub scale: Option<&'a LearnableScale>,
    pub precision: Precision,
    pub device: Device,
    /// Added to the logits, `[classes]`.
    pub bias: Option<&'a Tensor>,
    /// The processes that share the images. The first of them has the results, and the others nothing.
    pub group: &'a Group,
}

/// A number for each class of image after image, `[n, classes]`, with the labels.
pub(crate) type Rows = (Vec<f32>, Vec<usize>);

/// The same of a batch, as it travels between processes.
type OfBatch = (Vec<f32>, Vec<i64>);

impl Evaluate<'_> {
    /// Logits of all images of `loader` that can be decoded, with their labels.
    pub(crate) fn logits(&self, loader: &Loader) -> Result<Option<Rows>, VisionError> {
        let of_batch = |features, targets| Ok((numbers(&self.finish(&self.classify(&features, false)?)?)?, targets));
        Ok(self.each(loader, of_batch)?.map(joined))
    }

    /// Features of all images of `loader` that can be decoded, `[n, width]`, with their labels.
    pub(crate) fn features(&self, loader: &Loader) -> Result<Option<Rows>, VisionError> {
        Ok(self.each(loader, |features, targets| Ok((numbers(&features)?, targets)))?.map(joined))
    }

    /// The predictions with the mean of `loss`.
    fn measure(&self, loader: &Loader, loss: &Loss, path: LossPath) -> Result<Option<(Predictions, f64)>, VisionError> {
        let cosines = takes_cosines(loss, self.network);
        let of_batch = |features: Tensor, targets: Vec<i64>| -> Result<(OfBatch, f64), VisionError> {
            let taken = self.classify(&features, cosines)?;
            let logits = if cosines { self.classify(&features, false)? } else { taken.shallow_clone() };
            let logits = numbers(&self.finish(&logits)?)?;
            let options = HeadOptions { path, features: Some(&features), ..HeadOptions::default() };
            let on_device = Tensor::f_from_slice(&targets)?.f_to_device(self.device)?;
            let sum = softmax_loss_with(loss, taken, &on_device, &options)?.total;
            Ok(((logits, targets), sum))
        };
        let Some(all) = self.each(loader, of_batch)? else { return Ok(None) };
        let (all, sums): (Vec<_>, Vec<f64>) = all.into_iter().unzip();
        let (logits, labels) = joined(all);
        let images = labels.len() as f64;
        let classes = self.network.config().model.classes as usize;
        Ok(Some((Predictions::from_logits(classes, logits, labels)?, sums.iter().sum::<f64>() / images)))
    }

    fn classify(&self, features: &Tensor, cosines: bool) -> Result<Tensor, VisionError> {
        let logits = self.network.classify(features, cosines)?;
        Ok(match self.scale {
            Some(scale) => scale.apply(&logits)?,
            None => logits,
        })
    }

    fn finish(&self, logits: &Tensor) -> Result<Tensor, VisionError> {
        Ok(match self.bias {
            Some(bias) => logits.f_add(&bias.f_to_device(logits.device())?)?,
            None => logits.shallow_clone(),
        })
    }

    /// What `of` makes of the float32 features and the labels of each batch, in order; nothing of a batch of which no image can
    /// be decoded.
    fn each<T: Serialize + DeserializeOwned>(
        &self,
        loader: &Loader,
        of: impl Fn(Tensor, Vec<i64>) -> Result<T, VisionError>,
    ) -> Result<Option<Vec<T>>, VisionError> {
        let of_batch = |number| self.batch(loader, number)?.map(|(features, labels)| of(features, labels)).transpose();
        let batches = loader.split().labels.len().div_ceil(EVALUATION_BATCH);
        let own = tch::no_grad(|| self.group.turns(batches).map(of_batch).collect::<Result<Vec<_>, _>>())?;
        let all = self.group.gather(batches, own).map_err(TrainError::from)?;
        Ok(self.group.is_first().then(|| all.into_iter().flatten().collect()))
    }

    /// Features and labels of one batch; none where no image of it can be decoded.
    fn batch(&self, loader: &Loader, number: usize) -> Result<Option<(Tensor, Vec<i64>)>, VisionError> {
        let split = loader.split();
        let start = number * EVALUATION_BATCH;
        let batch: Vec<usize> = (start..split.labels.len().min(start + EVALUATION_BATCH)).collect();
        let loaded = loader.load_batch(&batch, 0, 0, 0)?;
        if loaded.positions().is_empty() {
            return Ok(None);
        }
        let labels = loaded.positions().iter().map(|&position| i64::from(split.labels[batch[position]])).collect();
        let features = {
            let _autocast = Autocast::begin(self.precision, self.device);
            self.network.features(&images(loader, &loaded, self.device)?, false)?
        };
        Ok(Some((features.f_to_kind(Kind::Float)?, labels)))
    }
}

/// The elements of a matrix, row after row.
fn numbers(matrix: &Tensor) -> Result<Vec<f32>, VisionError> {
    Ok(Vec::try_from(matrix.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?)?)
}

/// The batches as one.
fn joined(batches: Vec<OfBatch>) -> Rows {
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for (of_batch, targets) in batches {
        rows.extend(of_batch);
        labels.extend(targets.iter().map(|&label| label as usize));
    }
    (rows, labels)
}
