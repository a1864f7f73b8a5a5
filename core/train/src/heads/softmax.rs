//! The softmax head.

use imbalance_core::Head;
use imbalance_core::host::{Element, HeadError, Loss, SoftmaxHead, bf16};
use tch::{Device, Kind, TchError, Tensor};

use super::formula::{Classes, Formula};
use super::node::with_gradients;
use crate::transfer::sent;

use super::{Gradients, HeadLoss, HeadOptions, LossHeadError, check_tensors, numbers, softplus, whole};

/// The loss of `logits` `[n, classes]` at `targets` `[n]` (int64), by the path that suits their device.
///
/// # Errors
/// See [`softmax_loss_with`].
pub fn softmax_loss(loss: &Loss, logits: Tensor, targets: &Tensor) -> Result<HeadLoss, LossHeadError> {
    softmax_loss_with(loss, logits, targets, &HeadOptions::default())
}

/// The loss of `logits` `[n, classes]` at `targets` `[n]` (int64, on the same device).
///
/// Where the logits carry a graph and the path is fused, their memory becomes the gradient's, so that nothing of
/// their size is held beside it; an operation that needs its logits again (a softmax, say) makes the backward
/// pass fail with libtorch's "modified by an inplace operation".
///
/// # Errors
/// Tensors of other shapes, kinds or devices; a target out of range; logits that are not finite (on an accelerator,
/// where asking would wait for it, these two show in the loss); no row to average over.
pub fn softmax_loss_with(
    loss: &Loss,
    logits: Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<HeadLoss, LossHeadError> {
    check_tensors(&logits, targets, options)?;
    if loss.is_whole_tensor() {
        return whole::head_loss(Head::Softmax, loss, &logits, targets, options);
    }
    let differentiate = logits.requires_grad();
    let of_rows = tch::no_grad(|| -> Result<Gradients, LossHeadError> {
        if differentiate {
            return gradients_in_place(loss, logits.detach(), targets, options);
        }
        if !options.path.fused(&logits)? {
            return by_tensors(loss, &logits, targets, options);
        }
        let logits = logits.f_contiguous()?;
        let (loss, log_odds) = fused(loss, &logits, targets, options, Target::None)?;
        Ok(Gradients { loss, log_odds: Some(log_odds), gradient: logits })
    })?;
    let mut head = summary(loss, &of_rows, targets, options)?;
    if differentiate {
        head.sum = with_gradients(&head.sum.to_device(logits.device()), &[(&logits, of_rows.gradient)])?;
    }
    Ok(head)
}

/// The sum of the loss over the rows with its graph, as [`HeadLoss::sum`], for a training that needs no more: an accelerator is
/// not waited for.
///
/// # Errors
/// See [`softmax_loss_with`].
pub fn softmax_loss_sum(
    loss: &Loss,
    logits: Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Tensor, LossHeadError> {
    check_tensors(&logits, targets, options)?;
    if loss.is_whole_tensor() || options.path.fused(&logits)? {
        return Ok(softmax_loss_with(loss, logits, targets, options)?.sum);
    }
    let of_rows = tch::no_grad(|| by_tensors(loss, &logits.detach(), targets, options))?;
    summed(&logits, of_rows)
}

/// The sum of the rows' losses, float32, with the gradient as its graph where `logits` have one.
pub(super) fn summed(logits: &Tensor, of_rows: Gradients) -> Result<Tensor, LossHeadError> {
    let sum = of_rows.loss.f_sum(Kind::Double)?.f_to_kind(Kind::Float)?;
    if logits.requires_grad() { with_gradients(&sum, &[(logits, of_rows.gradient)]) } else { Ok(sum) }
}

/// The head's loss without a graph, from its rows.
pub(super) fn summary(
    loss: &Loss,
    of_rows: &Gradients,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<HeadLoss, LossHeadError> {
    let double = |tensor: &Tensor| Ok::<_, LossHeadError>(Vec::<f64>::try_from(tensor.f_to_kind(Kind::Double)?)?);
    let total: f64 = double(&of_rows.loss)?.iter().sum();
    let targets = Vec::<i64>::try_from(targets.f_to_device(Device::Cpu)?)?;
    let ignored = |target: i64| Some(target) == options.ignore_index;
    let weights = options.weights.map(|weights| Vec::<f32>::try_from(weights.f_contiguous()?)).transpose()?;
    let log_odds = of_rows.log_odds.as_ref().map(double).transpose()?.unwrap_or_default();
    let counted = log_odds.iter().zip(&targets).filter(|&(_, &target)| !ignored(target));
    Ok(HeadLoss {
        // A sum beyond float32 is infinite there, which the training loop reports, rather than libtorch's error.
        sum: Tensor::from(total as f32),
        total,
        denominator: options.reduction.denominator(loss, &targets, ignored, weights.as_deref())?,
        negative_log_likelihood: counted.map(|(&m, _)| softplus(-m)).sum(),
    })
}

/// Each row's loss and the gradient of their sum, by the fused path in the memory of `logits`, which have no graph.
pub(super) fn gradients_in_place(
    loss: &Loss,
    logits: Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Gradients, LossHeadError> {
    if !options.path.fused(&logits)? {
        return by_tensors(loss, &logits, targets, options);
    }
    let logits = logits.f_contiguous()?;
    let (loss, log_odds) = fused(loss, &logits, targets, options, Target::InPlace)?;
    Ok(Gradients { loss, log_odds: Some(log_odds), gradient: logits })
}

/// Each row's loss and the gradient of their sum, without a graph and without touching the logits.
///
/// # Errors
/// See [`softmax_loss_with`].
pub fn softmax_gradients(
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Gradients, LossHeadError> {
    check_tensors(logits, targets, options)?;
    if loss.is_whole_tensor() {
        return whole::gradients(Head::Softmax, loss, logits, targets, options);
    }
    tch::no_grad(|| {
        if !options.path.fused(logits)? {
            return by_tensors(loss, logits, targets, options);
        }
        let logits = logits.f_contiguous()?;
        let gradient = logits.f_empty_like()?;
        let (values, log_odds) = fused(loss, &logits, targets, options, Target::To(&gradient))?;
        Ok(Gradients { loss: values, log_odds: Some(log_odds), gradient })
    })
}

/// Where the fused head's gradient goes.
enum Target<'a> {
    None,
    InPlace,
    To(&'a Tensor),
}

/// Loss and log-odds of each row by the fused kernel, float32 `[n]`.
fn fused(
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
    gradient: Target<'_>,
) -> Result<(Tensor, Tensor), LossHeadError> {
    let rows = targets.size()[0];
    let make = || Tensor::f_zeros([rows], (Kind::Float, Device::Cpu));
    let (values, log_odds) = (make()?, make()?);
    let (targets, weights) = (targets.f_contiguous()?, options.weights.map(Tensor::f_contiguous).transpose()?);
    let mut head = SoftmaxHead::new(loss);
    if let Some(index) = options.ignore_index {
        head = head.ignoring(index);
    }
    // SAFETY: contiguous float32 on the CPU, as checked, alive through this function.
    if let Some(weights) = weights.as_ref().map(|weights| unsafe { numbers::<f32>(weights) }) {
        head = head.weighting(weights);
    }
    match logits.kind() {
        // SAFETY: contiguous, on the CPU and of this kind.
        Kind::BFloat16 => unsafe { run::<bf16>(&head, logits, &targets, &values, &log_odds, gradient) },
        // SAFETY: as above: the path takes float32 beside bfloat16 only.
        _ => unsafe { run::<f32>(&head, logits, &targets, &values, &log_odds, gradient) },
    }?;
    Ok((values, log_odds))
}

/// # Safety
/// All tensors are contiguous and on the CPU, the logits of kind `E`, and nobody else uses their memory meanwhile.
unsafe fn run<E: Element>(
    head: &SoftmaxHead<'_>,
    logits: &Tensor,
    targets: &Tensor,
    values: &Tensor,
    log_odds: &Tensor,
    gradient: Target<'_>,
) -> Result<(), HeadError> {
    // SAFETY: the caller's promise.
    let (targets, values, log_odds) = unsafe { (numbers::<i64>(targets), numbers(values), numbers(log_odds)) };
    // SAFETY: the caller's promise.
    let logits = unsafe { numbers::<E>(logits) };
    match gradient {
        Target::None => head.forward(logits, targets, values, log_odds),
        Target::InPlace => head.forward_backward_in_place(logits, targets, values, log_odds),
        // SAFETY: as large as the logits, and of their kind.
        Target::To(to) => head.forward_backward(logits, targets, values, log_odds, unsafe { numbers::<E>(to) }),
    }
}

/// The head by tensor operations, on any device; float64 stays float64, all else is float32 inside.
fn by_tensors(
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Gradients, LossHeadError> {
    let (device, classes) = (logits.device(), loss.classes() as i64);
    let kind = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    if logits.size()[1] != classes {
        let expected = "a softmax head takes one count for each logit";
        let columns = logits.size()[1] as usize;
        return Err(HeadError::Classes { columns, classes: classes as usize, expected }.into());
    }
    let ignored = options.ignore_index.map(|index| targets.f_eq(index)).transpose()?;
    let targets = match &ignored {
        Some(ignored) => targets.f_masked_fill(ignored, 0_i64)?,
        None => targets.shallow_clone(),
    };
    if device == Device::Cpu {
        let bad = targets.f_lt(0)?.f_logical_or(&targets.f_ge(classes)?)?;
        if let Some(row) = first(&bad)? {
            let target = targets.f_int64_value(&[row])?;
            let error = HeadError::Target { row: row as usize, target, classes: classes as usize, others: "" };
            return Err(error.into());
        }
    }
    let adjustment = loss.adjustment();
    let table =
        |values: &Vec<f64>| Ok::<_, LossHeadError>(sent(&Tensor::f_from_slice(values)?.f_to_kind(kind)?, device)?);
    let scale = adjustment.scale.as_ref().map(table).transpose()?;
    let mut z = logits.f_to_kind(kind)?;
    if let Some(scale) = &scale {
        z = z.f_mul(scale)?;
    }
    if let Some(bias) = &adjustment.bias {
        z = z.f_add(&table(bias)?)?;
    }
    let index = targets.f_unsqueeze(1)?;
    let mut true_logit = z.f_gather(1, &index, false)?.f_squeeze_dim(1)?;
    let margin = adjustment.margin.as_ref().map(table).transpose()?;
    let margin = margin.map(|margin| margin.f_index_select(0, &targets)).transpose()?;
    if let Some(margin) = &margin {
        true_logit = true_logit.f_sub(margin)?;
    }
    let smoothing = adjustment.label_smoothing;
    let smoothed = match smoothing > 0.0 {
        true => {
            let mut sum = z.f_sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)?;
            if let Some(margin) = &margin {
                sum = sum.f_sub(margin)?;
            }
            Some(true_logit.f_sub(&sum.f_div_scalar(classes as f64)?)?.f_mul_scalar(smoothing)?)
        }
        false => None,
    };
    // The true class is left out of the sum itself: nothing cancels when it is almost certain.
    let others = z.f_scatter_value(1, &index, f64::NEG_INFINITY)?;
    drop(z);
    let largest = others.f_amax([1_i64].as_slice(), true)?;
    let mut exponentials = others.f_sub(&largest)?.f_exp()?;
    drop(others);
    let sum = exponentials.f_sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)?;
    let mut m = true_logit.f_sub(&largest.f_squeeze_dim(1)?)?.f_sub(&sum.f_log()?)?;
    if let Some(ignored) = &ignored {
        m = m.f_masked_fill(ignored, 0.0)?;
    }
    if device == Device::Cpu
        && let Some(row) = first(&m.f_isfinite()?.f_logical_not()?)?
    {
        let log_odds = m.f_double_value(&[row])? as f32;
        return Err(HeadError::NotFinite { row: row as usize, log_odds }.into());
    }
    let (mut values, mut slope) = Formula::new(loss, kind, device)?.eval(&m, &Classes::Each(&targets))?;
    if let Some(smoothed) = &smoothed {
        values = values.f_add(smoothed)?;
    }
    let weight = row_weights(ignored.as_ref(), options, kind, device)?;
    if let Some(weight) = &weight {
        // Not by a product alone: what is ignored may be NaN.
        values = values.f_mul(weight)?.f_where_self(&weight.f_gt(0.0)?, &Tensor::f_zeros([], (kind, device))?)?;
        slope = slope.f_mul(weight)?;
    }
    let mut gradient = exponentials.f_mul_(&slope.f_neg()?.f_div(&sum)?.f_unsqueeze(1)?)?;
    let mut true_gradient = slope;
    if smoothing > 0.0 {
        let uniform = match &weight {
            Some(weight) => weight.f_mul_scalar(smoothing / classes as f64)?,
            None => Tensor::f_full([], smoothing / classes as f64, (kind, device))?.f_expand_as(&true_gradient)?,
        };
        gradient = gradient.f_sub_(&uniform.f_unsqueeze(1)?)?;
        true_gradient = true_gradient.f_add(&uniform.f_mul_scalar(classes as f64 - 1.0)?)?;
    }
    gradient = gradient.f_scatter_(1, &index, &true_gradient.f_unsqueeze(1)?)?;
    if let Some(scale) = &scale {
        gradient = gradient.f_mul_(scale)?;
    }
    if let Some(ignored) = &ignored {
        gradient = gradient.f_masked_fill_(&ignored.f_unsqueeze(1)?, 0.0)?;
    }
    Ok(Gradients { loss: values, log_odds: Some(m), gradient: in_kind_of(logits, gradient)? })
}

/// A gradient in the kind of the logits. For float16 it stays float32: most of a softmax's gradients are too small for that kind
/// before the loss's scale is on them, which the backward pass brings.
pub(super) fn in_kind_of(logits: &Tensor, gradient: Tensor) -> Result<Tensor, TchError> {
    if logits.kind() == Kind::Half { Ok(gradient) } else { gradient.f_to_kind(logits.kind()) }
}

/// The rows' weights, 0 where a row is ignored; none where all are 1.
pub(super) fn row_weights(
    ignored: Option<&Tensor>,
    options: &HeadOptions<'_>,
    kind: Kind,
    device: Device,
) -> Result<Option<Tensor>, LossHeadError> {
    let given = options.weights.map(|weights| weights.f_to_kind(kind)?.f_to_device(device)).transpose()?;
    Ok(match (given, ignored) {
        (Some(weights), Some(ignored)) => Some(weights.f_masked_fill(ignored, 0.0)?),
        (Some(weights), None) => Some(weights),
        (None, Some(ignored)) => Some(ignored.f_logical_not()?.f_to_kind(kind)?),
        (None, None) => None,
    })
}

/// The first true entry of a boolean `[n]`.
pub(super) fn first(bad: &Tensor) -> Result<Option<i64>, LossHeadError> {
    if bad.numel() == 0 || !bool::try_from(bad.f_any()?)? {
        return Ok(None);
    }
    Ok(Some(bad.f_to_kind(Kind::Int64)?.f_argmax(0, false)?.f_int64_value(&[])?))
}
