//! Cross-entropy, the baseline of every table of the paper (Eq. 2).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, Real, export_loss,
};

/// `−log p`, of labels smoothed by ε (Szegedy et al. 2016).
///
/// ```text
/// softmax head: (1−ε)(−log p_y) + ε/C · Σ_j −log p_j = −log p + ε(z_y − mean z)
/// sigmoid head: (1−ε/2)(−log p) + ε/2 · (−log(1−p))  = −log p + ε/2 · m
/// ```
pub struct CrossEntropy {
    head: Head,
    smoothing: f64,
}

impl ImbalanceLoss for CrossEntropy {
    fn new(params: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        Ok(Self { head: params.head(), smoothing: params.number("label-smoothing")? })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        match self.head {
            Head::Sigmoid if self.smoothing > 0.0 => m.value() * (self.smoothing / 2.0) - m.log_p(),
            _ => -m.log_p(),
        }
    }

    fn adjustment(&self) -> LogitAdjustment {
        match self.head {
            Head::Softmax => LogitAdjustment::none().label_smoothing(self.smoothing),
            Head::Sigmoid => LogitAdjustment::none(),
        }
    }
}

export_loss!(CrossEntropy {
    id: "cross-entropy",
    formula: "-log p",
    citation: "Eureka Loss (2021), Eq. 2; label smoothing: Szegedy et al., Rethinking the Inception Architecture for Computer Vision (CVPR 2016)",
    params: [
        "label-smoothing": 0.0 in 0.0..1.0, "share of the target spread evenly over all classes (sigmoid head: over the two outcomes)";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    fn cross_entropy(head: Head, smoothing: f64) -> Evaluated<CrossEntropy> {
        Evaluated::on(head, &[("label-smoothing", smoothing)], &[3, 1, 1]).unwrap()
    }

    #[test]
    fn is_linear_far_below_zero_and_vanishes_far_above() {
        let loss = cross_entropy(Head::Softmax, 0.0);
        assert_eq!(loss.at(-80.0, 1), (80.0, -1.0));
        let (value, slope) = loss.at(40.0, 1);
        assert!((value / (-40.0_f64).exp() - 1.0).abs() < 1e-12 && (slope / -(-40.0_f64).exp() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn smoothing_of_a_softmax_head_by_hand() {
        // Logits log 2, log 1, log 1: p = ½, ¼, ¼. Smoothed by .3, the target for class 1 is .1, .8, .1.
        let expected = 0.1 * 2.0_f64.ln() + 0.8 * 4.0_f64.ln() + 0.1 * 4.0_f64.ln();
        let (loss, gradient) = cross_entropy(Head::Softmax, 0.3).of_logits(&[2.0_f64.ln(), 0.0, 0.0], 1);
        assert!((loss - expected).abs() < 1e-14);
        // Probability less target.
        for (got, want) in gradient.iter().zip([0.5 - 0.1, 0.25 - 0.8, 0.25 - 0.1]) {
            assert!((got - want).abs() < 1e-14, "{gradient:?}");
        }
    }

    #[test]
    fn smoothing_of_a_sigmoid_head_by_hand() {
        // p = ¾: targets .9 and .1 at ε = .2; the least loss is where p is the target.
        let loss = cross_entropy(Head::Sigmoid, 0.2);
        let expected = -0.9 * 0.75_f64.ln() - 0.1 * 0.25_f64.ln();
        assert!((loss.at(3.0_f64.ln(), 0).0 - expected).abs() < 1e-14);
        assert!(loss.at(9.0_f64.ln(), 0).1.abs() < 1e-15);
    }
}
