//! LADE: label distribution disentangling (Hong et al. 2021).

use imbalance_tensor::tch::{Kind, Tensor};
use imbalance_tensor::{
    ClassCounts, Head, Inputs, LossError, Params, PerClass, TensorError, TensorLoss, cross_entropy, export_tensor_loss,
    of_classes, one_hot,
};

/// Prior-compensating softmax, and a regulariser that makes the logits the log ratio of densities with the label
/// distribution out of it (paper, section 3). With π the shares of the classes, n the batch and n_c its examples of c:
///
/// ```text
/// ℓ_i = −log softmax(z_i + log π)_{y_i} + α·Σ_c π_c·R_c
/// R_c = −(1/n_c) Σ_{y_i=c} z_ic + s_c + λ·s_c²        s_c = log( (1/n) Σ_i u_i e^{z_ic} )
/// ```
///
/// u is the importance weight of a uniform label distribution, `1/(C·π_{y_i})`: the example's own. The released code has
/// the column's in its place, `1/(C·π_c)`; that is `importance = class`. R is of the whole batch and added to each
/// example, so that the mean holds it once. The trained logits predict as if the classes were balanced.
pub struct Lade {
    lambda: f64,
    alpha: f64,
    of_example: bool,
    /// π, `[classes]`.
    prior: PerClass,
    /// `−log(C·π)`, `[classes]`.
    log_importance: PerClass,
}

impl TensorLoss for Lade {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "it compensates the prior of a softmax, so it needs a softmax head; this head is sigmoid".into(),
            ));
        }
        let total: f64 = classes.seen().sum();
        Ok(Self {
            lambda: params.number("lambda")?,
            alpha: params.number("alpha")?,
            of_example: params.choice("importance")? == 0,
            prior: PerClass::from_counts(classes, |n| n / total),
            log_importance: PerClass::from_counts(classes, |n| (total / n / classes.len() as f64).ln()),
        })
    }

    fn forward(&mut self, Inputs { logits, targets, .. }: &Inputs) -> Result<Tensor, TensorError> {
        let prior = of_classes(&self.prior, logits)?;
        let loss = cross_entropy(&logits.f_add(&prior.f_log()?)?, targets)?;
        let log_importance = of_classes(&self.log_importance, logits)?;
        let log_importance = match self.of_example {
            true => log_importance.f_index_select(0, targets)?.f_unsqueeze(1)?,
            false => log_importance.f_unsqueeze(0)?,
        };
        let log_mean =
            |of: &Tensor| of.f_logsumexp([0_i64].as_slice(), false)?.f_sub_scalar((of.size()[0] as f64).ln());
        let spread = log_mean(&logits.f_add(&log_importance)?)?;
        let positive = one_hot(logits, targets)?;
        let over_rows = |of: &Tensor| of.f_sum_dim_intlist([0_i64].as_slice(), false, None::<Kind>);
        // A class without examples in the batch has nothing to average.
        let own = over_rows(&logits.f_mul(&positive)?)?.f_div(&over_rows(&positive)?.f_clamp_min(1.0)?)?;
        let of_classes = spread.f_add(&spread.f_square()?.f_mul_scalar(self.lambda)?)?.f_sub(&own)?;
        let regulariser = of_classes.f_mul(&prior)?.f_sum(logits.kind())?;
        Ok(loss.f_add(&regulariser.f_mul_scalar(self.alpha)?)?)
    }
}

export_tensor_loss!(Lade {
    id: "lade",
    formula: "-log softmax(z + log pi)_y + alpha sum_c pi_c (-mean_{y=c} z_c + s_c + lambda s_c^2), s_c = log mean_i u_i e^z_ic, u_i = 1/(C pi_y)",
    citation: "Hong et al., Disentangling Label Distribution for Long-tailed Visual Recognition (CVPR 2021)",
    params: [
        "lambda": 0.1 in 0.0.., "strength of the squared term";
        "alpha": 0.1 in 0.0.., "strength of the regulariser beside the prior-compensating softmax";
        "importance": "example" of "example|class", "whose importance weight: that of the example's label, or of the column as in the released code";
    ],
});
