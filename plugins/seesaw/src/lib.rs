//! Seesaw loss (Wang et al. 2021).

use imbalance_tensor::tch::{Kind, Tensor};
use imbalance_tensor::{
    ClassCounts, Head, Inputs, LossError, Params, TensorError, TensorLoss, cross_entropy, export_tensor_loss, one_hot,
    pack, unpack,
};

/// Cross-entropy in which an example of class y pushes class j down by less where j is rarer, and by more where j is taken
/// for y (paper, section 3):
///
/// ```text
/// −log( e^{z_y} / (e^{z_y} + Σ_{j≠y} M_yj·C_j e^{z_j}) )
/// M_yj = min(1, N_j/N_y)^p        N: examples of each class seen so far, this batch included, at least 1
/// C_j  = max(1, p_j/p_y)^q        p: softmax of z, without a gradient, p_y at least eps
/// ```
///
/// Computed as `log M` and `log C` added to the logits, so that nothing overflows. The floor under p_y is that of the
/// authors' code; `eps = 0` is the paper's formula.
pub struct Seesaw {
    p: f64,
    q: f64,
    eps: f64,
    classes: usize,
    /// N, float64 `[classes]`.
    seen: Tensor,
}

impl TensorLoss for Seesaw {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "it balances competing classes, so it needs a softmax head; this head is sigmoid".into(),
            ));
        }
        let [p, q, eps] = [params.number("p")?, params.number("q")?, params.number("eps")?];
        let classes = classes.len();
        Ok(Self { p, q, eps, classes, seen: Tensor::from_slice(&vec![0.0_f64; classes]) })
    }

    fn forward(&mut self, Inputs { logits, targets, training, .. }: &Inputs) -> Result<Tensor, TensorError> {
        self.seen = self.seen.f_to_device(logits.device())?;
        if *training {
            let batch = targets.f_bincount::<Tensor>(None, self.classes as i64)?.f_to_kind(Kind::Double)?;
            self.seen = self.seen.f_add(&batch)?;
        }
        let log_seen = self.seen.f_clamp_min(1.0)?.f_log()?.f_to_kind(logits.kind())?;
        let of_true = log_seen.f_index_select(0, targets)?.f_unsqueeze(1)?;
        let mitigation = log_seen.f_sub(&of_true)?.f_clamp_max(0.0)?.f_mul_scalar(self.p)?;
        let log_p = logits.f_detach()?.f_log_softmax(1, None)?;
        let log_p_true = log_p.f_gather(1, &targets.f_unsqueeze(1)?, false)?.f_clamp_min(self.eps.ln())?;
        let compensation = log_p.f_sub(&log_p_true)?.f_clamp_min(0.0)?.f_mul_scalar(self.q)?;
        let others = one_hot(logits, targets)?.f_neg()?.f_add_scalar(1.0)?;
        let factor = mitigation.f_add(&compensation)?.f_mul(&others)?;
        Ok(cross_entropy(&logits.f_add(&factor)?, targets)?)
    }

    fn state(&self) -> Result<Vec<u8>, TensorError> {
        pack(&[&self.seen])
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), TensorError> {
        [self.seen] = unpack(state, self.classes)?;
        Ok(())
    }
}

export_tensor_loss!(Seesaw {
    id: "seesaw",
    formula: "-log(e^z_y / (e^z_y + sum_{j!=y} min(1, N_j/N_y)^p max(1, p_j/p_y)^q e^z_j)), N seen so far",
    citation: "Wang et al., Seesaw Loss for Long-Tailed Instance Segmentation (CVPR 2021)",
    params: [
        "p": 0.8 in 0.0.., "strength of the mitigation: how much less a rarer class is pushed down";
        "q": 2.0 in 0.0.., "strength of the compensation: how much more a class taken for the true one is pushed down";
        "eps": 0.01 in 0.0..1.0, "floor under the true class's likelihood in the compensation, as in the authors' code; 0 is the paper's formula";
    ],
});
