//! An output layer and its softmax head, in chunks of rows, for large vocabularies.

use imbalance_core::host::Loss;
use tch::{Kind, Tensor};

use super::node::with_gradients;
use super::softmax::{gradients_in_place, softmax_loss_with, summary};
use super::{Gradients, HeadLoss, HeadOptions, LossHeadError, check_tensors};

/// Classes whose logits are computed at once.
const CLASSES: i64 = 1024;

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
        true => inputs.iter().map(|input| input.detach().f_empty_like()).collect::<Result<_, _>>()?,
        false => Vec::new(),
    };
    if n == 0 {
        gradients.iter_mut().try_for_each(|gradient| gradient.f_zero_().map(drop))?;
    }
    let (mut losses, mut log_odds) = (Vec::new(), Vec::new());
    tch::no_grad(|| -> Result<(), LossHeadError> {
        let classes = weight.size()[0];
        // One memory for all chunks: fresh memory each time costs as much as a fifth of a product.
        let all = Tensor::f_empty([chunk.min(n), classes], (hidden.kind(), hidden.device()))?;
        for start in (0..n).step_by(chunk as usize) {
            let rows = chunk.min(n - start);
            let (hidden, targets) = (hidden.f_narrow(0, start, rows)?, targets.f_narrow(0, start, rows)?);
            let weights = options.weights.map(|weights| weights.f_narrow(0, start, rows)).transpose()?;
            let options = HeadOptions { weights: weights.as_ref(), ..*options };
            let logits = all.f_narrow(0, 0, rows)?;
            // Few rows times all classes at once is what libtorch's product is slowest at.
            for first in (0..classes).step_by(CLASSES as usize) {
                let count = CLASSES.min(classes - first);
                let (to, weight) = (logits.f_narrow(1, first, count)?, weight.f_narrow(0, first, count)?);
                let transposed = weight.f_transpose(0, 1)?;
                let _ = match bias {
                    Some(bias) => bias.f_narrow(0, first, count)?.f_addmm_out(&to, &hidden, &transposed)?,
                    None => hidden.f_mm_out(&to, &transposed)?,
                };
            }
            check_tensors(&logits, &targets, &options)?;
            let of_rows = gradients_in_place(loss, logits, &targets, &options).map_err(|error| match error {
                LossHeadError::Head(error) => LossHeadError::Head(error.after(start as usize)),
                error => error,
            })?;
            losses.push(of_rows.loss);
            log_odds.extend(of_rows.log_odds);
            if differentiate {
                // Products take one kind.
                let gradient = of_rows.gradient.f_to_kind(hidden.kind())?;
                let _ = gradient.f_mm_out(&gradients[0].f_narrow(0, start, rows)?, weight)?;
                let transposed = gradient.f_transpose(0, 1)?;
                // The first chunk writes, so that nothing need be zeroed.
                let _ = match start {
                    0 => transposed.f_mm_out(&gradients[1], &hidden)?,
                    _ => gradients[1].f_addmm_(&transposed, &hidden)?,
                };
                if bias.is_some() {
                    let of_bias = gradient.f_sum_dim_intlist([0_i64].as_slice(), false, None::<Kind>)?;
                    let _ = match start {
                        0 => gradients[2].f_copy_(&of_bias).map(|()| of_bias)?,
                        _ => gradients[2].f_add_(&of_bias)?,
                    };
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
