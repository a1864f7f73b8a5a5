//! Equalization loss (Tan et al. 2020).

use imbalance_tensor::tch::{Kind, Reduction, Tensor};
use imbalance_tensor::{
    ClassCounts, Head, Inputs, LossError, Params, PerClass, TensorError, TensorLoss, check_columns, cross_entropy,
    export_tensor_loss, of_classes, one_hot,
};

/// Examples of frequent classes do not push the scores of rare ones down (paper, section 3 and the softmax version after
/// it). With `f_j` the share of class j and `T_j = [f_j < λ]`:
///
/// ```text
/// sigmoid:  Σ_j (1 − E·T_j·(1 − y_j)) · BCE_j        E = 0 for background, 1 else
/// softmax:  −log( e^{z_y} / Σ_k w_k e^{z_k} )        w_k = 1 − β·T_k·(1 − y_k),  β ~ Bernoulli(γ)
/// ```
///
/// β is drawn for every logit of a training step, and is 0 in a measurement, which is then cross-entropy. The paper's
/// f_j counts images; here it is the class's share of all examples, background aside.
pub struct Equalization {
    head: Head,
    /// T, `[columns]`.
    rare: PerClass,
    gamma: f64,
}

impl TensorLoss for Equalization {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let (head, lambda) = (params.head(), params.number("lambda")?);
        // The last class of a sigmoid head is the background, which has no column.
        let counts = &classes.as_slice()[..classes.len() - usize::from(head == Head::Sigmoid)];
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let rare = counts.iter().map(|&n| if n as f64 / total < lambda { 1.0 } else { 0.0 }).collect();
        Ok(Self { head, rare: PerClass::new(rare), gamma: params.number("gamma")? })
    }

    fn forward(&mut self, Inputs { logits, targets, training, .. }: &Inputs) -> Result<Tensor, TensorError> {
        check_columns(logits, self.rare.values().len())?;
        let positive = one_hot(logits, targets)?;
        // T_j·(1 − y_j)
        let rare_negative = positive.f_neg()?.f_add_scalar(1.0)?.f_mul(&of_classes(&self.rare, logits)?)?;
        if self.head == Head::Sigmoid {
            let foreground = targets.f_ge(0)?.f_to_kind(logits.kind())?.f_unsqueeze(1)?;
            let weight = rare_negative.f_mul(&foreground)?.f_neg()?.f_add_scalar(1.0)?;
            let each = logits.f_binary_cross_entropy_with_logits(&positive, Some(&weight), None, Reduction::None)?;
            return Ok(each.f_sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)?);
        }
        if !training {
            return Ok(cross_entropy(logits, targets)?);
        }
        // w_k = 0 takes a term out of the sum.
        let left_out = logits.f_rand_like()?.f_lt(self.gamma)?.f_logical_and(&rare_negative.f_gt(0.0)?)?;
        Ok(cross_entropy(&logits.f_masked_fill(&left_out, f64::NEG_INFINITY)?, targets)?)
    }
}

export_tensor_loss!(Equalization {
    id: "equalization",
    formula: "sigmoid: sum_j (1 - [foreground] T_j [j!=y]) BCE_j; softmax: -log(e^z_y / sum_k (1 - beta T_k [k!=y]) e^z_k), beta ~ Bernoulli(gamma); T_j = [n_j/N < lambda]",
    citation: "Tan et al., Equalization Loss for Long-Tailed Object Recognition (CVPR 2020)",
    params: [
        "lambda": 0.00177 in 0.0..=1.0, "classes with a smaller share of the examples are rare; the released code's .00177 is for LVIS";
        "gamma": 0.9 in 0.0..=1.0, "softmax head: how likely a rare class is left out of the sum of another's example";
    ],
});
