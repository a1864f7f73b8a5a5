//! Balanced softmax (Ren et al. 2020).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, export_loss,
};

/// `−log p` of the logits `z_j + log n_j`: what the classes' frequencies explain need not be learnt.
///
/// At prediction the logits are taken as they are. Classes must compete, so a sigmoid head is refused.
pub struct BalancedSoftmax {
    log_counts: PerClass,
}

impl ImbalanceLoss for BalancedSoftmax {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        match params.head() {
            Head::Softmax => Ok(Self { log_counts: PerClass::from_counts(classes, f64::ln) }),
            Head::Sigmoid => Err(LossError::new(
                "it shifts competing logits by their class counts, so it needs a softmax head; this head is sigmoid"
                    .into(),
            )),
        }
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        -m.log_p()
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().bias(self.log_counts.clone())
    }
}

export_loss!(BalancedSoftmax {
    id: "balanced-softmax",
    formula: "-log p of z_j + log n_j",
    citation: "Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition (NeurIPS 2020)",
    params: [],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn loss(counts: &[u64], logits: &[f64], class: u32) -> f64 {
        Evaluated::<BalancedSoftmax>::new(&[], counts).unwrap().of_logits(logits, class).0
    }

    #[test]
    fn equal_logits_have_the_likelihood_of_their_counts() {
        for (class, share) in [(0, 0.6), (1, 0.3), (2, 0.1)] {
            assert!((loss(&[6, 3, 1], &[2.0; 3], class) + f64::ln(share)).abs() < 1e-14);
        }
        // A class without examples counts as one.
        assert!((loss(&[3, 0], &[0.0; 2], 1) - 4.0_f64.ln()).abs() < 1e-14);
    }

    proptest! {
        #[test]
        fn equal_counts_are_cross_entropy(z in prop::array::uniform3(-9.0..9.0_f64), y in 0..3_usize) {
            let expected = z.iter().map(|other| (other - z[y]).exp()).sum::<f64>().ln();
            prop_assert!((loss(&[8; 3], &z, y as u32) - expected).abs() < 1e-12);
        }

        #[test]
        fn a_shift_of_all_logits_changes_nothing(z in prop::array::uniform3(-9.0..9.0_f64), shift in -50.0..50.0_f64) {
            let shifted = z.map(|logit| logit + shift);
            prop_assert!((loss(&[60, 5, 1], &z, 2) - loss(&[60, 5, 1], &shifted, 2)).abs() < 1e-11);
        }
    }
}
