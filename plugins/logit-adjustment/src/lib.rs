//! The logit-adjusted loss (Menon et al. 2021).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, export_loss,
};

/// `−log p` of the logits `z_j + τ log π_j`, with the class priors `π_c = n_c / N`.
///
/// At prediction the logits are taken as they are; τ = 1 is balanced softmax. Classes must compete, so a sigmoid head is
/// refused.
pub struct LogitAdjusted {
    shift: PerClass,
}

impl ImbalanceLoss for LogitAdjusted {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "it shifts competing logits by their priors, so it needs a softmax head; this head is sigmoid".into(),
            ));
        }
        let (tau, total) = (params.number("tau")?, classes.seen().sum::<f64>());
        Ok(Self { shift: PerClass::from_counts(classes, |n| tau * (n / total).ln()) })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        -m.log_p()
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().bias(self.shift.clone())
    }
}

export_loss!(LogitAdjusted {
    id: "logit-adjustment",
    formula: "-log p of z_j + tau log pi_j, pi_c = n_c / N",
    citation: "Menon et al., Long-Tail Learning via Logit Adjustment (ICLR 2021), Eq. 10",
    params: [
        "tau": 1.0 in 0.0..=100.0, "strength of the adjustment; 0 is cross-entropy";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn loss(tau: f64, logits: &[f64], class: u32) -> f64 {
        Evaluated::<LogitAdjusted>::new(&[("tau", tau)], &[3, 1, 1]).unwrap().of_logits(logits, class).0
    }

    #[test]
    fn equal_logits_have_the_likelihood_of_their_priors_to_the_tau() {
        // Priors .6, .2, .2; squared they are as 9 : 1 : 1.
        assert!((loss(1.0, &[0.0; 3], 0) + 0.6_f64.ln()).abs() < 1e-14);
        assert!((loss(2.0, &[0.0; 3], 0) - (11.0 / 9.0_f64).ln()).abs() < 1e-14);
        assert!((loss(2.0, &[0.0; 3], 2) - 11.0_f64.ln()).abs() < 1e-14);
    }

    proptest! {
        #[test]
        fn tau_zero_is_cross_entropy(z in prop::array::uniform3(-9.0..9.0_f64), y in 0..3_usize) {
            let expected = z.iter().map(|other| (other - z[y]).exp()).sum::<f64>().ln();
            prop_assert!((loss(0.0, &z, y as u32) - expected).abs() < 1e-12);
        }

        #[test]
        fn more_adjustment_asks_more_of_the_rare(z in prop::array::uniform3(-9.0..9.0_f64), tau in 0.0..4.0_f64) {
            prop_assert!(loss(tau + 0.5, &z, 0) < loss(tau, &z, 0));
        }
    }
}
