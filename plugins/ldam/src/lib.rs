//! Label-distribution-aware margin loss (Cao et al. 2019).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, RawParam, Real,
    WeightScale, effective_number_weights, export_loss, param,
};

/// `−w_y log p` of the logits `s·(z_j − [j = y]·Δ_y)`, with `Δ_c = max-margin · n_c^−¼ / max n^−¼`.
///
/// The logits should be cosines of unit features and unit class vectors, for which margin and scale are meant. With
/// β = 0 every weight w is 1. The margin is one between competing classes, so a sigmoid head is refused.
pub struct Ldam {
    scale: PerClass,
    margin: PerClass,
    weight: PerClass,
}

/// Above 0: the scale multiplies the logits.
const SCALE: RawParam =
    RawParam { bounds: 0, ..param!("scale": 30.0 in 0.0.., "what the cosines and margins are multiplied by") };

impl ImbalanceLoss for Ldam {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        if params.head() == Head::Sigmoid {
            return Err(LossError::new(
                "its margin is between competing classes, so it needs a softmax head; this head is sigmoid".into(),
            ));
        }
        let (largest, scale) = (params.number("max-margin")?, params.number("scale")?);
        // n^−¼ is largest for the rarest class.
        let rarest = classes.seen().fold(f64::INFINITY, f64::min);
        Ok(Self {
            scale: PerClass::from_counts(classes, |_| scale),
            margin: PerClass::from_counts(classes, |n| scale * largest * (rarest / n).powf(0.25)),
            weight: effective_number_weights(classes, params.number("beta")?, WeightScale::from_params(params)?)?,
        })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        -(self.weight.of(class) * m.log_p())
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none()
            .scale(self.scale.clone())
            .margin(self.margin.clone())
            .weighted_by(self.weight.clone())
            .normalised_classifier()
    }
}

export_loss!(Ldam {
    id: "ldam",
    formula: "-w_y log p of s (z_j - [j=y] Delta_y), Delta_c = max-margin n_c^(-1/4) / max n^(-1/4)",
    citation: "Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss (NeurIPS 2019)",
    params: [
        "max-margin": 0.5 in 0.0.., "margin of the rarest class, in cosines; the authors take .3 on iNaturalist";
        use SCALE;
        "beta": 0.0 in 0.0..1.0, "class weights by the effective number, as in deferred re-weighting; 0 is no weights";
        use WeightScale::PARAM;
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn ldam(max_margin: f64, scale: f64, beta: f64, counts: &[u64]) -> Evaluated<Ldam> {
        let params = [("max-margin", max_margin), ("scale", scale), ("beta", beta), ("weight-scale", 1.0)];
        Evaluated::new(&params, counts).unwrap()
    }

    #[test]
    fn by_hand_for_cosines() {
        // Counts 16 and 1 have margins ¼ and ½; times 4, logits of .5 become 1 against 2 and 2 against 0.
        let loss = ldam(0.5, 4.0, 0.0, &[16, 1]);
        assert!((loss.of_logits(&[0.5, 0.5], 0).0 - 1.0_f64.exp().ln_1p()).abs() < 1e-14);
        assert!((loss.of_logits(&[0.5, 0.5], 1).0 - 2.0_f64.exp().ln_1p()).abs() < 1e-14);
        // β = ½, counts 3 and 1: weights 4/7 and 1.
        let weighted = ldam(0.0, 1.0, 0.5, &[3, 1]);
        assert!((weighted.of_logits(&[0.0, 0.0], 0).0 - 4.0 / 7.0 * 2.0_f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn asks_for_cosines() {
        let said = format!("{:?}", ldam(0.5, 30.0, 0.0, &[16, 1]).adjustment());
        assert!(said.contains("normalised: true"), "{said}");
    }

    proptest! {
        #[test]
        fn is_cross_entropy_without_margin_and_scale(z in prop::array::uniform3(-9.0..9.0_f64), y in 0..3_usize) {
            let loss = ldam(0.0, 1.0, 0.0, &[700, 20, 3]).of_logits(&z, y as u32).0;
            let expected = z.iter().map(|other| (other - z[y]).exp()).sum::<f64>().ln();
            prop_assert!((loss - expected).abs() < 1e-12);
        }

        #[test]
        fn a_rarer_class_has_a_larger_margin_and_loss(many in 2..10_000_u64, few in 1..10_000_u64) {
            prop_assume!(few < many);
            let loss = ldam(0.5, 30.0, 0.0, &[many, few, 5]);
            prop_assert!(loss.of_logits(&[0.1; 3], 1).0 > loss.of_logits(&[0.1; 3], 0).0);
        }
    }
}
