//! Operations that several losses share.

use imbalance_core::{LossError, PerClass};
use tch::{Reduction, TchError, Tensor};

/// `−log softmax(logits)` at each target.
///
/// # Shapes
/// - `logits`: `[n, classes]`; `targets`, output: `[n]`
///
/// # Errors
/// Tensors that do not fit together.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    logits.f_cross_entropy_loss::<Tensor>(targets, None, Reduction::None, -100, 0.0)
}

/// 1 at each row's target and 0 elsewhere; a row of background (−1) is all 0. Of the kind and device of `logits`.
///
/// # Shapes
/// - `logits`, output: `[n, columns]`; `targets`: `[n]`
///
/// # Errors
/// Tensors that do not fit together.
pub fn one_hot(logits: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    let positive = targets.f_ge(0)?.f_to_kind(logits.kind())?.f_unsqueeze(1)?;
    let index = targets.f_clamp_min(0)?.f_unsqueeze(1)?;
    logits.detach().f_zeros_like()?.f_scatter(1, &index, &positive)
}

/// Refuses logits of other than `columns` columns: on a sigmoid head two counts may stand for any number of columns,
/// foreground and background, which is too little for a loss that goes by each class's own.
///
/// # Errors
/// As above.
pub fn check_columns(logits: &Tensor, columns: usize) -> Result<(), LossError> {
    match logits.size().get(1) {
        Some(&found) if found as usize == columns => Ok(()),
        found => Err(LossError::new(format!(
            "it needs a count for every class, and has {columns} for {} columns of logits",
            found.unwrap_or(&0)
        ))),
    }
}

/// One number a class as a tensor of the kind and device of `like`.
///
/// # Shapes
/// - output: `[classes]`
///
/// # Errors
/// A device that refuses it.
pub fn of_classes(values: &PerClass, like: &Tensor) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(values.values())?.f_to_kind(like.kind())?.f_to_device(like.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_has_no_one() {
        let logits = Tensor::from_slice(&[0.0_f64; 6]).reshape([3, 2]);
        let hot = one_hot(&logits, &Tensor::from_slice(&[1_i64, -1, 0])).unwrap();
        assert_eq!(Vec::<f64>::try_from(hot.flatten(0, -1)).unwrap(), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    }
}
