//! Vector-scaling loss (Kini et al. 2021).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, export_loss,
};

/// `−log p` of the logits `z_j / Δ_j + τ log π_j`, with `Δ_c = (n_max / n_c)^γ` and the class priors `π_c = n_c / N`.
///
/// The additive part speeds up the rare classes early in training, the multiplicative one decides its end. Classes must
/// compete, so a sigmoid head is refused.
pub struct VectorScaling {
    scale: PerClass,
    shift: PerClass,
}

impl ImbalanceLoss for VectorScaling {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "it scales and shifts competing logits, so it needs a softmax head; this head is sigmoid".into(),
            ));
        }
        let (gamma, tau) = (params.number("gamma")?, params.number("tau")?);
        let (total, largest) = (classes.seen().sum::<f64>(), classes.seen().fold(0.0, f64::max));
        Ok(Self {
            scale: PerClass::from_counts(classes, |n| (n / largest).powf(gamma)),
            shift: PerClass::from_counts(classes, |n| tau * (n / total).ln()),
        })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        -m.log_p()
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().scale(self.scale.clone()).bias(self.shift.clone())
    }
}

export_loss!(VectorScaling {
    id: "vector-scaling",
    formula: "-log p of z_j / Delta_j + tau log pi_j, Delta_c = (n_max / n_c)^gamma",
    citation: "Kini et al., Label-Imbalanced and Group-Sensitive Classification under Overparameterization (NeurIPS 2021)",
    params: [
        "gamma": 0.3 in 0.0..=4.0, "power of the multiplicative adjustment; 0 is logit adjustment";
        "tau": 1.0 in 0.0..=100.0, "strength of the additive adjustment; 0 is class-dependent temperature";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn loss(gamma: f64, tau: f64, logits: &[f64], class: u32) -> f64 {
        let params = [("gamma", gamma), ("tau", tau)];
        Evaluated::<VectorScaling>::new(&params, &[16, 1]).unwrap().of_logits(logits, class).0
    }

    #[test]
    fn by_hand_for_two_classes() {
        // γ = ½ divides by 1 and 4: logits 2 and 4 become 2 + log 16/17 and 1 + log 1/17, which are 1 + log 16 apart.
        assert!((loss(0.5, 1.0, &[2.0, 4.0], 1) - (16.0 * 1.0_f64.exp()).ln_1p()).abs() < 1e-14);
        assert!((loss(0.5, 1.0, &[2.0, 4.0], 0) - ((-1.0_f64).exp() / 16.0).ln_1p()).abs() < 1e-14);
    }

    proptest! {
        #[test]
        fn gamma_and_tau_zero_are_cross_entropy(z in prop::array::uniform2(-9.0..9.0_f64)) {
            prop_assert!((loss(0.0, 0.0, &z, 1) - (z[0] - z[1]).exp().ln_1p()).abs() < 1e-12);
        }

        #[test]
        fn gamma_zero_is_logit_adjustment(z in prop::array::uniform2(-9.0..9.0_f64), tau in 0.0..4.0_f64) {
            let expected = (z[0] - z[1] + tau * 16.0_f64.ln()).exp().ln_1p();
            prop_assert!((loss(0.0, tau, &z, 1) - expected).abs() < 1e-12 * (1.0 + expected));
        }
    }
}
