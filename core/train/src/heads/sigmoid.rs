//! The sigmoid head.

use imbalance_core::Head;
use imbalance_core::host::{Element, HeadError, Loss, SigmoidHead, bf16};
use tch::{Device, Kind, Tensor};

use super::formula::{Classes, Formula};
use super::node::with_gradients;
use crate::transfer::sent;

use super::softmax::{first, in_kind_of, row_weights, summed};
use super::{Gradients, HeadLoss, HeadOptions, LossHeadError, check_tensors, numbers, whole};

/// The loss of `logits` `[n, columns]` at `targets` `[n]` (int64): a class, −1 for background, −2 for ignored.
///
/// As on the softmax head, the fused path puts the gradient into the logits' memory.
///
/// # Errors
/// Tensors of other shapes, kinds or devices; a loss made for another head or other classes; a target out of range;
/// logits that are not finite (on an accelerator these two show in the loss); no row to average over.
pub fn sigmoid_loss(
    loss: &Loss,
    logits: Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<HeadLoss, LossHeadError> {
    check_tensors(&logits, targets, options)?;
    if loss.is_whole_tensor() {
        return whole::head_loss(Head::Sigmoid, loss, &logits, targets, options);
    }
    let differentiate = logits.requires_grad();
    let (values, gradient) = tch::no_grad(|| -> Result<_, LossHeadError> {
        if options.path.fused(&logits)? {
            let target = if differentiate { Target::InPlace } else { Target::None };
            let logits = logits.detach().f_contiguous()?;
            return Ok((fused(loss, &logits, targets, options, target)?, differentiate.then_some(logits)));
        }
        let Gradients { loss, gradient, .. } = by_tensors(loss, &logits, targets, options)?;
        Ok((loss, Some(gradient)))
    })?;
    let total = values.f_sum(Kind::Double)?.f_double_value(&[])?;
    let value = Tensor::from(total as f32).f_to_device(logits.device())?;
    let sum = match gradient {
        Some(gradient) if differentiate => with_gradients(&value, &[(&logits, gradient)])?,
        _ => value,
    };
    let host_targets = Vec::<i64>::try_from(targets.f_to_device(Device::Cpu)?)?;
    let weights = options.weights.map(|weights| Vec::<f32>::try_from(weights.f_contiguous()?)).transpose()?;
    let ignored = |target: i64| target == SigmoidHead::IGNORED;
    let denominator = options.reduction.denominator(loss, &host_targets, ignored, weights.as_deref())?;
    Ok(HeadLoss { sum, total, denominator, negative_log_likelihood: 0.0 })
}

/// The sum of the loss over the rows with its graph, as [`HeadLoss::sum`], for a training that needs no more: an accelerator is
/// not waited for.
///
/// # Errors
/// See [`sigmoid_loss`].
pub fn sigmoid_loss_sum(
    loss: &Loss,
    logits: Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Tensor, LossHeadError> {
    check_tensors(&logits, targets, options)?;
    if loss.is_whole_tensor() || options.path.fused(&logits)? {
        return Ok(sigmoid_loss(loss, logits, targets, options)?.sum);
    }
    let of_rows = tch::no_grad(|| by_tensors(loss, &logits.detach(), targets, options))?;
    summed(&logits, of_rows)
}

/// Each row's loss (the sum over its logits) and the gradient of their sum, without a graph and without touching the
/// logits.
///
/// # Errors
/// See [`sigmoid_loss`].
pub fn sigmoid_gradients(
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Gradients, LossHeadError> {
    check_tensors(logits, targets, options)?;
    if loss.is_whole_tensor() {
        return whole::gradients(Head::Sigmoid, loss, logits, targets, options);
    }
    tch::no_grad(|| {
        if !options.path.fused(logits)? {
            return by_tensors(loss, logits, targets, options);
        }
        let logits = logits.f_contiguous()?;
        let gradient = logits.f_empty_like()?;
        let values = fused(loss, &logits, targets, options, Target::To(&gradient))?;
        Ok(Gradients { loss: values, log_odds: None, gradient })
    })
}

/// Where the fused head's gradient goes.
enum Target<'a> {
    None,
    InPlace,
    To(&'a Tensor),
}

fn fused(
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
    gradient: Target<'_>,
) -> Result<Tensor, LossHeadError> {
    let values = Tensor::f_zeros([targets.size()[0]], (Kind::Float, Device::Cpu))?;
    let (targets, weights) = (targets.f_contiguous()?, options.weights.map(Tensor::f_contiguous).transpose()?);
    let mut head = SigmoidHead::new(loss, logits.size()[1] as usize)?;
    // SAFETY: contiguous float32 on the CPU, as checked, alive through this function.
    if let Some(weights) = weights.as_ref().map(|weights| unsafe { numbers::<f32>(weights) }) {
        head = head.weighting(weights);
    }
    match logits.kind() {
        // SAFETY: contiguous, on the CPU and of this kind.
        Kind::BFloat16 => unsafe { run::<bf16>(&head, logits, &targets, &values, gradient) },
        // SAFETY: as above: the path takes float32 beside bfloat16 only.
        _ => unsafe { run::<f32>(&head, logits, &targets, &values, gradient) },
    }?;
    Ok(values)
}

/// # Safety
/// All tensors are contiguous and on the CPU, the logits of kind `E`, and nobody else uses their memory meanwhile.
unsafe fn run<E: Element>(
    head: &SigmoidHead<'_>,
    logits: &Tensor,
    targets: &Tensor,
    values: &Tensor,
    gradient: Target<'_>,
) -> Result<(), HeadError> {
    // SAFETY: the caller's promise.
    let (logits, targets, values) = unsafe { (numbers::<E>(logits), numbers::<i64>(targets), numbers(values)) };
    match gradient {
        Target::None => head.forward(logits, targets, values),
        Target::InPlace => head.forward_backward_in_place(logits, targets, values),
        // SAFETY: as large as the logits, and of their kind.
        Target::To(to) => head.forward_backward(logits, targets, values, unsafe { numbers::<E>(to) }),
    }
}

/// The head by tensor operations: all logits as negatives, then the positives' own.
fn by_tensors(
    loss: &Loss,
    logits: &Tensor,
    targets: &Tensor,
    options: &HeadOptions<'_>,
) -> Result<Gradients, LossHeadError> {
    let (device, columns) = (logits.device(), logits.size()[1]);
    let kind = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    // Checks head and classes.
    SigmoidHead::new(loss, columns as usize)?;
    debug_assert_eq!(loss.head(), Head::Sigmoid);
    let ignored = targets.f_eq(SigmoidHead::IGNORED)?;
    if device == Device::Cpu {
        let bad = targets.f_lt(SigmoidHead::IGNORED)?.f_logical_or(&targets.f_ge(columns)?)?;
        if let Some(row) = first(&bad)? {
            let others = "; -1 is background, -2 ignored";
            let target = targets.f_int64_value(&[row])?;
            return Err(HeadError::Target { row: row as usize, target, classes: columns as usize, others }.into());
        }
    }
    let binary = loss.classes() == 2;
    let adjustment = loss.adjustment();
    let table =
        |values: &Vec<f64>| Ok::<_, LossHeadError>(sent(&Tensor::f_from_slice(values)?.f_to_kind(kind)?, device)?);
    // One entry for each column: the foreground's for all where there are only two classes.
    let of_columns = |values: &Vec<f64>| -> Result<Tensor, LossHeadError> {
        let values = table(values)?;
        Ok(if binary {
            values.f_narrow(0, 0, 1)?.f_expand([columns], false)?
        } else {
            values.f_narrow(0, 0, columns)?
        })
    };
    let scale = adjustment.scale.as_ref().map(of_columns).transpose()?;
    let mut z = logits.f_to_kind(kind)?.f_masked_fill(&ignored.f_unsqueeze(1)?, 0.0)?;
    if device == Device::Cpu
        && let Some(at) = first(&z.f_isfinite()?.f_logical_not()?.f_flatten(0, -1)?)?
    {
        let log_odds = z.f_flatten(0, -1)?.f_double_value(&[at])? as f32;
        return Err(HeadError::NotFinite { row: (at / columns) as usize, log_odds }.into());
    }
    if let Some(scale) = &scale {
        z = z.f_mul(scale)?;
    }
    if let Some(bias) = &adjustment.bias {
        z = z.f_add(&of_columns(bias)?)?;
    }
    let formula = Formula::new(loss, kind, device)?;
    let background = loss.classes() as i64 - 1;
    let (values, slope) = formula.eval(&z.f_neg()?, &Classes::All(background))?;
    let (mut values, mut gradient) = (values.f_contiguous()?, slope.f_neg()?);
    // Of each row the column that its target names, the first where it names none and the entry stays: to ask which rows have one
    // would be to wait for an accelerator.
    let positive = targets.f_ge(0)?;
    let columns_of = targets.f_clamp_min(0)?;
    let classes = if binary { columns_of.f_zeros_like()? } else { columns_of.shallow_clone() };
    let at = columns_of.f_unsqueeze(1)?;
    let entry = |all: &Tensor| all.f_gather(1, &at, false)?.f_squeeze_dim(1);
    let mut m = entry(&z)?;
    if let Some(margin) = &adjustment.margin {
        m = m.f_sub(&table(margin)?.f_index_select(0, &classes)?)?;
    }
    let (of_positive, slope_of_positive) = formula.eval(&m, &Classes::Each(&classes))?;
    let replaced = |all: &Tensor, by: &Tensor| -> Result<Tensor, LossHeadError> {
        let entries = by.f_where_self(&positive, &entry(all)?)?;
        Ok(all.f_scatter(1, &at, &entries.f_unsqueeze(1)?)?)
    };
    values = replaced(&values, &of_positive)?;
    gradient = replaced(&gradient, &slope_of_positive)?;
    let mut of_row = values.f_sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)?;
    if let Some(scale) = &scale {
        gradient = gradient.f_mul_(scale)?;
    }
    if let Some(weight) = row_weights(Some(&ignored), options, kind, device)? {
        of_row = of_row.f_mul(&weight)?;
        gradient = gradient.f_mul_(&weight.f_unsqueeze(1)?)?;
    }
    Ok(Gradients { loss: of_row, log_odds: None, gradient: in_kind_of(logits, gradient)? })
}
