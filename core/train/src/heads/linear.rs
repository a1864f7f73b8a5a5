//! An output layer and its softmax head, in chunks of rows, for large vocabularies.

use imbalance_core::host::Loss;
use tch::{Kind, Tensor};

use super::node::with_gradients;
use super::softmax::{gradients_in_place, softmax_loss_with, summary};
use super::{Gradients, HeadLoss, HeadOptions, LossHeadError, check_tensors};

/// The loss of the logits `hidden · weightᵀ + bias`, of which never more than `chunk` rows exist at once.
///
/// All gradients are computed on the way, so that the backward pass only scales them. A loss that takes whole tensors gets
/// all logits at once, and the hidden states as the features.
///
/// # Shapes
/// - `hidden`: `[n, width]`; `weight`: `[classes, width]`; `bias`: `[classes]`, if any
/// - `targets`: `[n]`, int64
///
/// # Errors
/// See [`softmax_loss_with`](super::softmax_loss_with); a chunk of no rows.
pub fn linear_softmax_loss(
    loss: &Loss,
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    targets: &Tensor,
    chunk: i64,
    options: &HeadOptions<'_>,
) -> Result<HeadLoss, LossHeadError> {
    let n = match (hidden.size().as_slice(), weight.size().as_slice()) {
        (&[n, width], &[_, other]) if width == other => n,
        (hidden, weight) => {
            return Err(LossHeadError::Tensor(format!(
                "hidden states are {hidden:?} and the weight {weight:?}; expected [n, width] and [classes, width]"
            )));
        }
    };
    if chunk < 1 {
        return Err(LossHeadError::Tensor(format!("chunks of {chunk} rows; at least 1 is needed")));
    }
    if loss.is_whole_tensor() {
        let logits = hidden.f_linear(weight, bias)?;
        let options = HeadOptions { features: options.features.or(Some(hidden)), ..*options };
        return softmax_loss_with(loss, logits, targets, &options);
    }
    let inputs: Vec<&Tensor> = [Some(hidden), Some(weight), bias].into_iter().flatten().collect();
    let differentiate = inputs.iter().any(|input| input.requires_grad());
    let mut gradients: Vec<Tensor> = match differentiate {
        true => inputs.iter().map(|input| input.detach().f_zeros_like()).collect::<Result<_, _>>()?,
        false => Vec::new(),
    };
    let (mut losses, mut log_odds) = (Vec::new(), Vec::new());
    tch::no_grad(|| -> Result<(), LossHeadError> {
        let transposed = weight.f_transpose(0, 1)?;
        for start in (0..n).step_by(chunk as usize) {
            let rows = chunk.min(n - start);
            let (hidden, targets) = (hidden.f_narrow(0, start, rows)?, targets.f_narrow(0, start, rows)?);
            let weights = options.weights.map(|weights| weights.f_narrow(0, start, rows)).transpose()?;
            let options = HeadOptions { weights: weights.as_ref(), ..*options };
            let logits = match bias {
                Some(bias) => bias.f_addmm(&hidden, &transposed)?,
                None => hidden.f_matmul(&transposed)?,
            };
            check_tensors(&logits, &targets, &options)?;
            let of_rows = gradients_in_place(loss, logits, &targets, &options).map_err(|error| match error {
                LossHeadError::Head(error) => LossHeadError::Head(error.after(start as usize)),
                error => error,
            })?;
            losses.push(of_rows.loss);
            log_odds.extend(of_rows.log_odds);
            if differentiate {
                let gradient = of_rows.gradient;
                gradients[0].f_narrow(0, start, rows)?.f_copy_(&gradient.f_matmul(weight)?)?;
                let _ = gradients[1].f_addmm_(&gradient.f_transpose(0, 1)?, &hidden)?;
                if bias.is_some() {
                    let _ =
                        gradients[2].f_add_(&gradient.f_sum_dim_intlist([0_i64].as_slice(), false, None::<Kind>)?)?;
                }
            }
        }
        Ok(())
    })?;
    let empty = Tensor::f_zeros([0], (Kind::Float, hidden.device()))?;
    let cat = |parts: &[Tensor]| if parts.is_empty() { Ok(empty.shallow_clone()) } else { Tensor::f_cat(parts, 0) };
    let of_rows = Gradients { loss: cat(&losses)?, log_odds: Some(cat(&log_odds)?), gradient: empty.shallow_clone() };
    let mut head = summary(loss, &of_rows, targets, options)?;
    if differentiate {
        let inputs: Vec<_> = inputs.into_iter().zip(gradients).collect();
        head.sum = with_gradients(&head.sum.to_device(hidden.device()), &inputs)?;
    }
    Ok(head)
}
