//! Losses that take whole tensors, by their plugin's own operations.

use std::sync::LazyLock;

use imbalance_core::abi::RawTensorInputs;
use imbalance_core::host::{HeadError, Loss, Plugin, SigmoidHead};
use imbalance_core::{Head, LossError};
use tch::{Device, Kind, Tensor};

use super::softmax::first;
use super::{Gradients, HeadLoss, HeadOptions, LossHeadError, LossPath};
use crate::manifest::libtorch_version;

/// The libtorch that runs, as `2.11.0`: a build's own name (`+cpu`) is left out. Where it does not say, the one that this
/// was compiled for.
static LIBTORCH: LazyLock<String> = LazyLock::new(|| match libtorch_version() {
    Some(version) => version.split('+').next().unwrap_or_default().to_owned(),
    None => imbalance_tensor::LIBTORCH.to_owned(),
});

/// Whether the plugin was built for the libtorch that runs; one that takes no tensors always was.
///
/// # Errors
/// It was not: its tensors and this program's are laid out differently.
pub fn check_libtorch(plugin: &Plugin) -> Result<(), LossHeadError> {
    match plugin.libtorch() {
        Some(built_for) if built_for != *LIBTORCH => Err(LossHeadError::Loss(LossError::new(format!(
            "loss `{}` was built for libtorch {built_for}, this toolkit runs {}: build it again for that libtorch",
            plugin.id(),
            *LIBTORCH
        )))),
        _ => Ok(()),
    }
}

/// The loss of each example, `[n]` with its graph, of a loss that takes whole tensors. While `training`, the loss may
/// accumulate and draw random numbers.
///
/// # Shapes
/// - `logits`: `[n, columns]`, float32 or float64, after the loss's adjustment; n ≥ 1
/// - `targets`: `[n]`, int64, none to be ignored; `features`: `[n, width]`
///
/// # Errors
/// A plugin for another libtorch, what the plugin says, or an output of another shape.
pub fn whole_tensor_loss(
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    features: Option<&Tensor>,
    training: bool,
) -> Result<Tensor, LossHeadError> {
    check_libtorch(loss.plugin())?;
    let pointer = |tensor: &Tensor| tensor.as_ptr().cast_mut().cast();
    let inputs = RawTensorInputs {
        struct_size: size_of::<RawTensorInputs>(),
        logits: pointer(logits),
        targets: pointer(targets),
        features: features.map_or(std::ptr::null_mut(), pointer),
        training: training.into(),
    };
    // SAFETY: tensors of the libtorch that the plugin was built for, alive through the call.
    let made = unsafe { loss.forward_tensors(&inputs) }.map_err(HeadError::from)?;
    // SAFETY: a tensor on the heap that the plugin made for us, of the same libtorch and so of the same allocator.
    let made = unsafe { Tensor::from_ptr(made.cast()) };
    if made.size() != targets.size() || made.kind() != logits.kind() || made.device() != logits.device() {
        return Err(LossHeadError::Tensor(format!(
            "loss `{}` gave a tensor {:?} {:?} on {:?}; expected one number an example, {:?} {:?} on {:?}",
            loss.id(),
            made.kind(),
            made.size(),
            made.device(),
            logits.kind(),
            targets.size(),
            logits.device()
        )));
    }
    Ok(made)
}

/// What is left of a batch when its ignored rows are.
struct Batch {
    /// The rows that count, int64; none where all do.
    rows: Option<Tensor>,
    /// After the loss's scale and bias.
    logits: Tensor,
    targets: Tensor,
    features: Option<Tensor>,
    weights: Option<Tensor>,
}

/// The sum over the batch with its graph, by way of the plugin. Rows with logits that carry a graph are trained on.
///
/// # Errors
/// See [`softmax_loss_with`](super::softmax_loss_with) and [`whole_tensor_loss`].
pub(super) fn head_loss(
    head: Head,
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<HeadLoss, LossHeadError> {
    let batch = Batch::new(head, loss, logits, targets, options)?;
    let sum = batch.losses(loss, logits.requires_grad())?.f_sum(None::<Kind>)?;
    let negative_log_likelihood = match head {
        Head::Softmax => tch::no_grad(|| {
            let log_p = batch.logits.f_detach()?.f_log_softmax(1, None)?;
            log_p.f_gather(1, &batch.targets.f_unsqueeze(1)?, false)?.f_sum(Kind::Double)?.f_double_value(&[])
        })?,
        Head::Sigmoid => 0.0,
    };
    let host_targets = Vec::<i64>::try_from(targets.f_to_device(Device::Cpu)?)?;
    let weights = options.weights.map(|weights| Vec::<f32>::try_from(weights.f_contiguous()?)).transpose()?;
    let ignored = |target: i64| Some(target) == ignored_target(head, options);
    Ok(HeadLoss {
        total: sum.f_detach()?.f_double_value(&[])?,
        sum,
        denominator: options.reduction.denominator(loss, &host_targets, ignored, weights.as_deref())?,
        negative_log_likelihood: -negative_log_likelihood,
    })
}

/// Each row's loss and the gradient of their sum, without a graph and without touching the logits; a training step for
/// the loss.
///
/// # Errors
/// See [`head_loss`].
pub(super) fn gradients(
    head: Head,
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Gradients, LossHeadError> {
    tch::with_grad(|| {
        let leaf = logits.f_detach()?.f_set_requires_grad(true)?;
        let batch = Batch::new(head, loss, &leaf, targets, options)?;
        let losses = batch.losses(loss, true)?;
        let gradient = Tensor::f_run_backward(&[losses.f_sum(None::<Kind>)?], &[&leaf], false, false)?;
        let gradient = gradient.into_iter().next().map_or_else(|| leaf.f_zeros_like(), Ok)?;
        let losses = losses.f_detach()?;
        let losses = match &batch.rows {
            Some(rows) => {
                Tensor::f_zeros(targets.size(), (losses.kind(), losses.device()))?.f_index_copy(0, rows, &losses)?
            }
            None => losses,
        };
        Ok(Gradients { loss: losses, log_odds: None, gradient })
    })
}

/// The target of rows that count for nothing.
fn ignored_target(head: Head, options: &HeadOptions<'_>) -> Option<i64> {
    match head {
        Head::Softmax => options.ignore_index,
        Head::Sigmoid => Some(SigmoidHead::IGNORED),
    }
}

impl Batch {
    /// Of logits, targets and weights that fit together.
    fn new(
        head: Head,
        loss: &Loss,
        logits: &Tensor,
        targets: &Tensor,
        options: &HeadOptions<'_>,
    ) -> Result<Self, LossHeadError> {
        if options.path == LossPath::Fused {
            return Err(LossHeadError::Tensor(format!(
                "loss `{}` takes whole tensors and has no fused kernel; the loss path must be tensor or auto",
                loss.id()
            )));
        }
        let columns = logits.size()[1];
        check_classes(head, loss, columns)?;
        if let Some(features) = options.features
            && (features.size().first() != targets.size().first() || features.device() != logits.device())
        {
            return Err(LossHeadError::Tensor(format!(
                "features are {:?} {:?} on {:?}; expected one row for each of {:?} logits on {:?}",
                features.kind(),
                features.size(),
                features.device(),
                logits.size(),
                logits.device()
            )));
        }
        let kept = ignored_target(head, options).map(|ignored| targets.f_ne(ignored)).transpose()?;
        let rows = kept.map(|kept| kept.f_nonzero()?.f_squeeze_dim(1)).transpose()?;
        let rows = rows.filter(|rows| rows.size() != targets.size());
        let keep = |tensor: &Tensor| match &rows {
            Some(rows) => tensor.f_index_select(0, rows),
            None => Ok(tensor.shallow_clone()),
        };
        let row = |at: i64| match &rows {
            Some(rows) => Ok::<_, LossHeadError>(rows.f_int64_value(&[at])? as usize),
            None => Ok(at as usize),
        };
        let kind = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let (logits, targets) = (keep(logits)?.f_to_kind(kind)?, keep(targets)?);
        if logits.device() == Device::Cpu {
            let (least, others) = match head {
                Head::Softmax => (0, ""),
                Head::Sigmoid => (-1, "; -1 is background, -2 ignored"),
            };
            let bad = targets.f_lt(least)?.f_logical_or(&targets.f_ge(columns)?)?;
            if let Some(at) = first(&bad)? {
                let target = targets.f_int64_value(&[at])?;
                return Err(HeadError::Target { row: row(at)?, target, classes: columns as usize, others }.into());
            }
            if let Some(at) = first(&logits.f_isfinite()?.f_logical_not()?.f_flatten(0, -1)?)? {
                let log_odds = logits.f_flatten(0, -1)?.f_double_value(&[at])? as f32;
                return Err(HeadError::NotFinite { row: row(at / columns)?, log_odds }.into());
            }
        }
        let weights = match options.weights {
            Some(weights) => Some(keep(&weights.f_to_device(logits.device())?)?.f_to_kind(kind)?),
            None => None,
        };
        let features = options.features.map(keep).transpose()?;
        Ok(Self { logits: adjusted(loss, logits)?, targets, features, weights, rows })
    }

    /// The weighted loss of each row that counts.
    fn losses(&self, loss: &Loss, training: bool) -> Result<Tensor, LossHeadError> {
        if self.targets.numel() == 0 {
            // Nothing, with the graph that a backward pass asks for.
            return Ok(self.logits.f_sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)?);
        }
        let losses = whole_tensor_loss(loss, &self.logits, &self.targets, self.features.as_ref(), training)?;
        if losses.device() == Device::Cpu
            && let Some(at) = first(&losses.f_isfinite()?.f_logical_not()?)?
        {
            let row = self.rows.as_ref().map_or(Ok(at), |rows| rows.f_int64_value(&[at]))?;
            return Err(LossHeadError::Tensor(format!(
                "loss `{}`: the loss of row {row} is {}, from finite logits",
                loss.id(),
                losses.f_double_value(&[at])?
            )));
        }
        match &self.weights {
            Some(weights) => Ok(losses.f_mul(weights)?),
            None => Ok(losses),
        }
    }
}

/// Whether the loss was made for this head, of so many columns.
fn check_classes(head: Head, loss: &Loss, columns: i64) -> Result<(), LossHeadError> {
    if head == Head::Sigmoid {
        SigmoidHead::new(loss, columns as usize)?;
    } else if loss.head() != head {
        let id = loss.id().to_owned();
        return Err(HeadError::Made { id, made: "sigmoid", wanted: "softmax" }.into());
    } else if columns as usize != loss.classes() {
        let expected = "a softmax head takes one count for each logit";
        return Err(HeadError::Classes { columns: columns as usize, classes: loss.classes(), expected }.into());
    }
    Ok(())
}

/// The logits after the loss's scale and bias.
fn adjusted(loss: &Loss, logits: Tensor) -> Result<Tensor, LossHeadError> {
    let adjustment = loss.adjustment();
    if adjustment.margin.is_some() || adjustment.label_smoothing != 0.0 {
        let said = "a loss of whole tensors has no margin and no label smoothing but its own";
        return Err(LossError::new(format!("loss `{}`: {said}", loss.id())).into());
    }
    let columns = logits.size()[1];
    let of_columns = |values: &Vec<f64>| -> Result<Tensor, LossHeadError> {
        let values = Tensor::f_from_slice(values)?.f_to_kind(logits.kind())?.f_to_device(logits.device())?;
        // On a sigmoid head the background's is the last, and the foreground's the first of two.
        Ok(match loss.head() {
            Head::Sigmoid if loss.classes() == 2 => values.f_narrow(0, 0, 1)?,
            _ => values.f_narrow(0, 0, columns)?,
        })
    };
    let mut z = logits.shallow_clone();
    if let Some(scale) = &adjustment.scale {
        z = z.f_mul(&of_columns(scale)?)?;
    }
    if let Some(bias) = &adjustment.bias {
        z = z.f_add(&of_columns(bias)?)?;
    }
    Ok(z)
}
