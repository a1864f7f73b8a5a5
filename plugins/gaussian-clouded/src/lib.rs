//! Gaussian clouded logit adjustment (Li et al. 2022).

use imbalance_tensor::tch::Tensor;
use imbalance_tensor::{
    ClassCounts, Head, Inputs, LogitAdjustment, LossError, Params, PerClass, RawParam, TensorError, TensorLoss,
    cross_entropy, export_tensor_loss, of_classes, one_hot, param,
};

/// Cross-entropy of cosines from which noise is taken, more of it for rarer classes (paper, section 3, and the released
/// code, which scales the noise by `noise` and may take a margin off the true class):
///
/// ```text
/// −log softmax( s·(cos_j − noise·δ_j·|ε_j| − [j = y]·margin) )_y
/// δ_c = (log n_max − log n_c) / (log n_max − log n_min)        ε ~ N(0, 1/3), cut at ±1
/// ```
///
/// 1/3 is ε's standard deviation. A measurement draws no noise. ε comes from libtorch's generator, so that a seeded run
/// repeats.
pub struct GaussianClouded {
    scale: f64,
    /// `s·noise·δ`, `[classes]`.
    cloud: PerClass,
    margin: f64,
    classes: usize,
}

/// Above 0: the scale multiplies the logits.
const SCALE: RawParam =
    RawParam { bounds: 0, ..param!("scale": 30.0 in 0.0.., "what the cosines, noise and margin are multiplied by") };

impl TensorLoss for GaussianClouded {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "its cosines are of competing classes, so it needs a softmax head; this head is sigmoid".into(),
            ));
        }
        let [scale, noise, margin] = [params.number("scale")?, params.number("noise")?, params.number("margin")?];
        let (least, most) = classes.seen().fold((f64::INFINITY, 1.0_f64), |(a, b), n| (a.min(n), b.max(n)));
        // Balanced classes have no clouds, rather than 0/0.
        let range = if most > least { (most / least).ln() } else { 1.0 };
        let cloud = PerClass::from_counts(classes, |n| scale * noise * (most / n).ln() / range);
        Ok(Self { scale, cloud, margin: scale * margin, classes: classes.len() })
    }

    /// The logits come multiplied by the scale.
    fn forward(&mut self, Inputs { logits, targets, training, .. }: &Inputs) -> Result<Tensor, TensorError> {
        if !training {
            return Ok(cross_entropy(logits, targets)?);
        }
        let noise = logits.f_detach()?.f_randn_like()?.f_div_scalar(3.0)?.f_abs()?.f_clamp_max(1.0)?;
        let clouded = logits.f_sub(&noise.f_mul(&of_classes(&self.cloud, logits)?)?)?;
        let margin = one_hot(logits, targets)?.f_mul_scalar(self.margin)?;
        Ok(cross_entropy(&clouded.f_sub(&margin)?, targets)?)
    }

    fn adjustment(&self) -> LogitAdjustment {
        let scale = PerClass::new(vec![self.scale; self.classes]);
        LogitAdjustment::none().scale(scale).normalised_classifier()
    }
}

export_tensor_loss!(GaussianClouded {
    id: "gaussian-clouded",
    formula: "-log softmax(s (cos_j - noise delta_j |eps_j| - [j=y] margin))_y, delta_c = log(n_max/n_c) / log(n_max/n_min), eps ~ N(0, 1/3) within 1",
    citation: "Li et al., Long-Tailed Visual Recognition via Gaussian Clouded Logit Adjustment (CVPR 2022)",
    params: [
        use SCALE;
        "noise": 0.5 in 0.0.., "the rarest class's cloud, in cosines";
        "margin": 0.0 in 0.0.., "taken off the true class's cosine, beside its noise";
    ],
});
