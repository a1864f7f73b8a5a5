//! Class-dependent temperatures (Ye et al. 2020).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, export_loss,
};

/// `−log p` of the logits `z_j / a_j`, with temperatures `a_c = (n_max / n_c)^γ`: the logits of rare classes must grow
/// larger in training, to make up for test features that deviate from the training ones.
///
/// At prediction the logits are taken as they are. Classes must compete, so a sigmoid head is refused.
pub struct ClassDependentTemperature {
    scale: PerClass,
}

impl ImbalanceLoss for ClassDependentTemperature {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "its temperatures are of competing logits, so it needs a softmax head; this head is sigmoid".into(),
            ));
        }
        let (gamma, largest) = (params.number("gamma")?, classes.seen().fold(0.0, f64::max));
        Ok(Self { scale: PerClass::from_counts(classes, |n| (n / largest).powf(gamma)) })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        -m.log_p()
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().scale(self.scale.clone())
    }
}

export_loss!(ClassDependentTemperature {
    id: "class-dependent-temperature",
    formula: "-log p of z_j / a_j, a_c = (n_max / n_c)^gamma",
    citation: "Ye et al., Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning (2020)",
    params: [
        "gamma": 0.3 in 0.0..=4.0, "power of the temperatures; 0 is cross-entropy";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn loss(gamma: f64, logits: &[f64], class: u32) -> f64 {
        let made = Evaluated::<ClassDependentTemperature>::new(&[("gamma", gamma)], &[16, 1]).unwrap();
        made.of_logits(logits, class).0
    }

    #[test]
    fn by_hand_for_two_classes() {
        // γ = ½: temperatures 1 and 4, so logits 2 and 4 become 2 and 1.
        assert!((loss(0.5, &[2.0, 4.0], 1) - 1.0_f64.exp().ln_1p()).abs() < 1e-14);
    }

    #[test]
    fn a_rare_class_needs_a_larger_logit_for_the_same_likelihood() {
        assert!((loss(0.5, &[2.0, 0.0], 0) - loss(0.5, &[0.0, 8.0], 1)).abs() < 1e-14);
    }

    proptest! {
        #[test]
        fn gamma_zero_is_cross_entropy(z in prop::array::uniform2(-9.0..9.0_f64)) {
            prop_assert!((loss(0.0, &z, 1) - (z[0] - z[1]).exp().ln_1p()).abs() < 1e-12);
        }
    }
}
