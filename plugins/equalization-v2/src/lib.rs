//! Equalization loss v2 (Tan et al. 2021).

use imbalance_tensor::tch::{Kind, Reduction, Tensor};
use imbalance_tensor::{
    ClassCounts, Head, Inputs, LossError, Params, TensorError, TensorLoss, check_columns, export_tensor_loss, one_hot,
    pack, unpack,
};

/// Binary cross-entropy whose positives and negatives are weighted by what gradient each class has had from them so far
/// (paper, section 3):
///
/// ```text
/// Σ_j (q_j·y_j + r_j·(1 − y_j)) · BCE_j        r_j = f(g_j),  q_j = 1 + α(1 − r_j),  f(x) = 1/(1 + e^{−γ(x−μ)})
/// g_j = Σ q_j·y_j·(1 − p_j) / (Σ r_j·(1 − y_j)·p_j + 1e−10), over all training steps before
/// ```
///
/// The first step has no weights. The constant in g is the released code's; that code's extra objectness column is not
/// here.
pub struct EqualizationV2 {
    gamma: f64,
    mu: f64,
    alpha: f64,
    columns: usize,
    /// Gradient from positives and from negatives, float64 `[columns]` each; none before the first step.
    gradients: Option<[Tensor; 2]>,
}

impl EqualizationV2 {
    /// q and r of the gradients so far, `[columns]` each, of the kind and device of `logits`.
    fn weights(&mut self, logits: &Tensor) -> Result<Option<[Tensor; 2]>, TensorError> {
        let Some(gradients) = &mut self.gradients else { return Ok(None) };
        // A restored state comes from the CPU.
        for gradient in gradients.iter_mut() {
            *gradient = gradient.f_to_device(logits.device())?;
        }
        let ratio = gradients[0].f_div(&gradients[1].f_add_scalar(1e-10)?)?;
        let of_negatives = ratio.f_sub_scalar(self.mu)?.f_mul_scalar(self.gamma)?.f_sigmoid()?;
        let of_positives = of_negatives.f_neg()?.f_add_scalar(1.0)?.f_mul_scalar(self.alpha)?.f_add_scalar(1.0)?;
        Ok(Some([of_positives.f_to_kind(logits.kind())?, of_negatives.f_to_kind(logits.kind())?]))
    }
}

impl TensorLoss for EqualizationV2 {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Softmax {
            return Err(LossError::new(
                "it weighs each class's own sigmoid, so it needs a sigmoid head; this head is softmax".into(),
            ));
        }
        let [gamma, mu, alpha] = [params.number("gamma")?, params.number("mu")?, params.number("alpha")?];
        // The last class is the background, which has no column.
        Ok(Self { gamma, mu, alpha, columns: classes.len() - 1, gradients: None })
    }

    fn forward(&mut self, Inputs { logits, targets, training, .. }: &Inputs) -> Result<Tensor, TensorError> {
        check_columns(logits, self.columns)?;
        let positive = one_hot(logits, targets)?;
        let negative = positive.f_neg()?.f_add_scalar(1.0)?;
        let weight = match self.weights(logits)? {
            Some([q, r]) => positive.f_mul(&q)?.f_add(&negative.f_mul(&r)?)?,
            None => positive.f_ones_like()?,
        };
        let each = logits.f_binary_cross_entropy_with_logits(&positive, Some(&weight), None, Reduction::None)?;
        if *training {
            let of_each = logits.f_detach()?.f_sigmoid()?.f_sub(&positive)?.f_abs()?.f_mul(&weight)?;
            let sum = |kind: &Tensor| of_each.f_mul(kind)?.f_sum_dim_intlist([0_i64].as_slice(), false, Kind::Double);
            let batch = [sum(&positive)?, sum(&negative)?];
            self.gradients = Some(match self.gradients.take() {
                Some([positive, negative]) => [positive.f_add(&batch[0])?, negative.f_add(&batch[1])?],
                None => batch,
            });
        }
        Ok(each.f_sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)?)
    }

    fn state(&self) -> Result<Vec<u8>, TensorError> {
        match &self.gradients {
            Some([positive, negative]) => pack(&[positive, negative]),
            None => Ok(Vec::new()),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), TensorError> {
        self.gradients = if state.is_empty() { None } else { Some(unpack(state, self.columns)?) };
        Ok(())
    }
}

export_tensor_loss!(EqualizationV2 {
    id: "equalization-v2",
    formula: "sum_j (q_j y_j + r_j (1-y_j)) BCE_j, r_j = 1/(1+e^(-gamma (g_j-mu))), q_j = 1 + alpha (1 - r_j), g_j: gradient from positives over that from negatives so far",
    citation: "Tan et al., Equalization Loss v2: A New Gradient Balance Approach for Long-tailed Object Detection (CVPR 2021)",
    params: [
        "gamma": 12.0 in 0.0.., "steepness of the weight's rise with the gradient ratio";
        "mu": 0.8 in 0.0.., "gradient ratio at which negatives weigh one half";
        "alpha": 4.0 in 0.0.., "how much more positives may weigh";
    ],
});
