//! Class-balanced cross-entropy (Cui et al. 2019; the paper's CE+CB).

use imbalance_core::{
    Class, ClassCounts, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, WeightScale,
    effective_number_weights, export_loss,
};

/// `−w_c log p`, with `w_c` from the effective number of class c's examples.
pub struct ClassBalanced {
    weight: PerClass,
}

impl ImbalanceLoss for ClassBalanced {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let scale = WeightScale::from_params(params)?;
        Ok(Self { weight: effective_number_weights(classes, params.number("beta")?, scale)? })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        -(self.weight.of(class) * m.log_p())
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().weighted_by(self.weight.clone())
    }
}

export_loss!(ClassBalanced {
    id: "class-balanced",
    formula: "-w_c log p",
    citation: "Cui et al., Class-Balanced Loss Based on Effective Number of Samples (CVPR 2019)",
    params: [
        "beta": 0.9999 in 0.0..1.0, "how fast further examples of a class stop counting; 0 is cross-entropy, near 1 inverse frequency";
        use WeightScale::PARAM;
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    fn class_balanced(beta: f64, scale: f64) -> Evaluated<ClassBalanced> {
        Evaluated::new(&[("beta", beta), ("weight-scale", scale)], &[3, 1]).unwrap()
    }

    #[test]
    fn by_hand_at_even_odds() {
        // β = ½: effective numbers 1 + ½ + ¼ and 1, inverses 4/7 and 1; p = ½.
        let log_2 = std::f64::consts::LN_2;
        let expected = [(0.0, 8.0 / 11.0, 14.0 / 11.0), (1.0, 4.0 / 7.0, 1.0), (2.0, 11.0 / 14.0, 11.0 / 8.0)];
        for (scale, head, tail) in expected {
            let loss = class_balanced(0.5, scale);
            assert!((loss.at(0.0, 0).0 - head * log_2).abs() < 1e-14);
            assert!((loss.at(0.0, 1).0 - tail * log_2).abs() < 1e-14);
        }
    }

    #[test]
    fn beta_zero_is_cross_entropy() {
        for scale in [0.0, 1.0, 2.0] {
            let (loss, slope) = class_balanced(0.0, scale).at(3.0_f64.ln(), 0);
            assert!((loss + 0.75_f64.ln()).abs() < 1e-15 && (slope + 0.25).abs() < 1e-15);
        }
    }

    #[test]
    fn the_weighted_mean_divides_by_the_weights_that_multiply() {
        let weights = PerClass::new(vec![4.0 / 7.0, 1.0]);
        assert_eq!(class_balanced(0.5, 1.0).adjustment(), LogitAdjustment::none().weighted_by(weights));
    }
}
