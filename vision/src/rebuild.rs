//! Classifiers made from trained ones: τ-normalised, scaled, or of class means (Kang et al., 2020, section 4).

use imbalance_evaluation::longtail::{Groups, Predictions, score};
use imbalance_train::TrainError;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::VisionError;
use crate::augment::Loader;
use crate::model::{Classifier, ImageModelConfig, LearnableScale, ModelError};
use crate::network::{Network, NetworkConfig};
use crate::task::Evaluate;

/// τ where neither a flag nor held-out images say one: what Kang et al. (2020) found best on ImageNet-LT.
pub(crate) const COMMON_TAU: f64 = 0.7;

/// Logits over cosines of the nearest-class-mean classifier. It decides how sure the likelihoods are, not which class wins.
pub(crate) const MEAN_SCALE: f64 = 30.0;

/// Features that are added up at once.
const ROWS: usize = 1024;

/// Divides the class vectors by their lengths to the power of `tau` and leaves out the bias.
pub(crate) fn tau_normalise(network: &Network, tau: f64) -> Result<(), VisionError> {
    let normalised = network.classifier().tau_normalised(tau)?;
    let _no_grad = tch::no_grad_guard();
    network.classifier().weight().shallow_clone().f_copy_(normalised.weight())?;
    if let Classifier::Linear { bias: Some(bias), .. } = network.classifier() {
        let _ = bias.shallow_clone().f_zero_()?;
    }
    Ok(())
}

/// The τ of 0, 0.1, …, 1 with the best mean class accuracy on `held_out`.
pub(crate) fn best_tau(evaluate: &Evaluate<'_>, held_out: &Loader, classes: usize) -> Result<f64, VisionError> {
    let mut best = (0.0, f64::NEG_INFINITY);
    // The first process chooses for all.
    let Some((features, labels)) = evaluate.features(held_out)? else {
        return Ok(evaluate.group.broadcast_value(best.0).map_err(TrainError::from)?);
    };
    let features = Tensor::f_from_slice(&features)?.f_view([labels.len() as i64, -1])?.f_to_device(evaluate.device)?;
    for tenth in 0..=10 {
        let tau = f64::from(tenth) / 10.0;
        let logits = tch::no_grad(|| evaluate.network.classifier().tau_normalised(tau)?.logits(&features))?;
        let logits = Vec::<f32>::try_from(logits.f_contiguous()?.f_view([-1])?)?;
        let predictions = Predictions::from_logits(classes, logits, labels.clone())?;
        // Groups and natural accuracy are not looked at.
        let accuracy = score(&predictions, &vec![1; classes], &Groups::default())?.all;
        if accuracy > best.1 {
            best = (tau, accuracy);
        }
    }
    Ok(evaluate.group.broadcast_value(best.0).map_err(TrainError::from)?)
}

/// Multiplies the learnt factors into the classifier.
pub(crate) fn fold_scale(network: &Network, scale: &LearnableScale) -> Result<(), VisionError> {
    let _no_grad = tch::no_grad_guard();
    match network.classifier() {
        Classifier::Linear { weight, bias } => {
            let factors = scale.factors();
            let _ = weight.shallow_clone().f_mul_(&factors.f_unsqueeze(1)?)?;
            if let Some(bias) = bias {
                let _ = bias.shallow_clone().f_mul_(factors)?;
            }
            Ok(())
        }
        Classifier::Normalised { .. } => Err(ModelError::AlreadyNormalised.into()),
    }
}

/// The mean of each class's unit features over `train`, `[classes, width]`.
pub(crate) fn class_means(evaluate: &Evaluate<'_>, train: &Loader, classes: usize) -> Result<Tensor, VisionError> {
    let width = evaluate.network.classifier().weight().size()[1];
    // The direction of a sum is that of the mean, and only directions count.
    let mut sums = Tensor::f_zeros([classes as i64, width], (Kind::Float, Device::Cpu))?;
    // Added up in one order, by the first process.
    if let Some((features, labels)) = evaluate.features(train)? {
        let _no_grad = tch::no_grad_guard();
        for (rows, labels) in features.chunks(ROWS * width as usize).zip(labels.chunks(ROWS)) {
            let rows = Tensor::f_from_slice(rows)?.f_view([-1, width])?;
            let lengths = rows.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true)?.f_clamp_min(1e-6)?;
            let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
            let _ = sums.f_index_add_(0, &Tensor::f_from_slice(&labels)?, &rows.f_div(&lengths)?)?;
        }
    }
    evaluate.group.broadcast(&sums).map_err(TrainError::from)?;
    Ok(sums)
}

/// `network` with a classifier of cosines to `means`, in variables of its own.
pub(crate) fn nearest_mean(
    network: &Network,
    store: &VarStore,
    means: &Tensor,
    scale: f64,
) -> Result<(Network, VarStore), VisionError> {
    let own = network.config();
    let config = NetworkConfig { model: ImageModelConfig { cosine_scale: Some(scale), ..own.model }, ..own };
    let (network, made) = copy(store, &config)?;
    let _no_grad = tch::no_grad_guard();
    network.classifier().weight().shallow_clone().f_copy_(means)?;
    Ok((network, made))
}

/// A network of `config` with the values that `store` has under the same names in the same shapes, in the layout that they have.
pub(crate) fn copy(store: &VarStore, config: &NetworkConfig) -> Result<(Network, VarStore), VisionError> {
    let made = VarStore::new(store.device());
    let network = Network::new(&made, config, 0)?;
    let from = store.variables();
    let _no_grad = tch::no_grad_guard();
    for (name, mut to) in made.variables() {
        if let Some(value) = from.get(&name).filter(|value| value.size() == to.size()) {
            to.f_set_data(&value.f_empty_like()?)?;
            to.f_copy_(value)?;
        }
    }
    Ok((network, made))
}
