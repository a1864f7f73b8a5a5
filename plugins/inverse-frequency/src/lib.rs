//! Cross-entropy weighted by inverse class frequency (paper, Eq. 4).

use imbalance_core::{
    Class, ClassCounts, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, export_loss,
};

/// `−w_c log p`, with `w_c = mean n / n_c`.
pub struct InverseFrequency {
    weight: PerClass,
}

impl ImbalanceLoss for InverseFrequency {
    fn new(_: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let mean = classes.seen().sum::<f64>() / classes.len() as f64;
        Ok(Self { weight: PerClass::from_counts(classes, |n| mean / n) })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        -(self.weight.of(class) * m.log_p())
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().weighted_by(self.weight.clone())
    }
}

export_loss!(InverseFrequency {
    id: "inverse-frequency",
    formula: "-(mean n / n_c) log p",
    citation: "Eureka Loss (2021), Eq. 4",
    params: [],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    #[test]
    fn by_hand_at_even_odds() {
        // Mean 5, the class without examples counting as one; p = ½.
        let loss = Evaluated::<InverseFrequency>::new(&[], &[12, 2, 0]).unwrap();
        for (class, weight) in [(0, 5.0 / 12.0), (1, 2.5), (2, 5.0)] {
            assert_eq!(loss.at(0.0, class), (weight * std::f64::consts::LN_2, -weight / 2.0));
        }
        let weights = PerClass::new(vec![5.0 / 12.0, 2.5, 5.0]);
        assert_eq!(loss.adjustment(), LogitAdjustment::none().weighted_by(weights));
    }

    #[test]
    fn equal_counts_are_cross_entropy() {
        let loss = Evaluated::<InverseFrequency>::new(&[], &[7, 7]).unwrap();
        assert!((loss.at(3.0_f64.ln(), 1).0 + 0.75_f64.ln()).abs() < 1e-15);
    }
}
