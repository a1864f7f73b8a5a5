//! Influence-balanced loss (Park et al. 2021).

use imbalance_tensor::tch::{Kind, Tensor};
use imbalance_tensor::{
    ClassCounts, Head, Inputs, LossError, Params, PerClass, TensorError, TensorLoss, cross_entropy, export_tensor_loss,
    of_classes,
};

/// Cross-entropy divided by each example's influence on the classifier (paper, section 3):
///
/// ```text
/// λ_y · α / (‖p − y‖₁·‖h‖₁ + .001) · (−log p_y)        λ_c = C·(1/n_c) / Σ 1/n
/// ```
///
/// with h the features that the classifier sees. The released code differentiates through the factor too;
/// `fixed-factor` takes it for a number, a weight as in the paper's text. Meant for a second phase: the authors begin
/// with it half-way (`--defer-epochs`).
pub struct InfluenceBalanced {
    alpha: f64,
    fixed_factor: bool,
    /// λ, `[classes]`; none: 1.
    weight: Option<PerClass>,
}

impl TensorLoss for InfluenceBalanced {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "its influence is that of a softmax classifier, so it needs a softmax head; this head is sigmoid"
                    .into(),
            ));
        }
        let inverse = PerClass::from_counts(classes, |n| 1.0 / n);
        let mean = inverse.values().iter().sum::<f64>() / classes.len() as f64;
        let weight = params.flag("class-weights")?.then(|| inverse.scaled(1.0 / mean));
        Ok(Self { alpha: params.number("alpha")?, fixed_factor: params.flag("fixed-factor")?, weight })
    }

    fn forward(&mut self, Inputs { logits, targets, features, .. }: &Inputs) -> Result<Tensor, TensorError> {
        let Some(features) = features else {
            return Err(LossError::new(
                "it needs the features that the classifier sees, which were not given with the logits".into(),
            )
            .into());
        };
        let loss = cross_entropy(logits, targets)?;
        // ‖p − y‖₁ = 2(1 − p_y), exact also where p_y is almost 1.
        let gradient = loss.f_neg()?.f_expm1()?.f_mul_scalar(-2.0)?;
        let features = features.f_to_kind(logits.kind())?.f_flatten(1, -1)?;
        let norm = features.f_abs()?.f_sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)?;
        let mut factor = gradient.f_mul(&norm)?.f_add_scalar(1e-3)?.f_reciprocal()?.f_mul_scalar(self.alpha)?;
        if self.fixed_factor {
            factor = factor.f_detach()?;
        }
        if let Some(weight) = &self.weight {
            factor = factor.f_mul(&of_classes(weight, logits)?.f_index_select(0, targets)?)?;
        }
        Ok(loss.f_mul(&factor)?)
    }
}

export_tensor_loss!(InfluenceBalanced {
    id: "influence-balanced",
    formula: "-lambda_y alpha log p_y / (|p - y|_1 |h|_1 + .001), lambda_c = C (1/n_c) / sum 1/n, h the features",
    citation: "Park et al., Influence-Balanced Loss for Imbalanced Visual Classification (ICCV 2021)",
    params: [
        "alpha": 1000.0 in 0.0.., "scale of the loss; the authors' is 1000";
        "class-weights": true, "the class weights lambda, the authors' IBReweight";
        "fixed-factor": false, "no gradient through the factor, which is then a weight; the released code has one";
    ],
});
