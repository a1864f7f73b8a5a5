//! Class-balanced focal loss (Cui et al. 2019; the paper's FL+CB).

use imbalance_core::{
    Class, ClassCounts, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, WeightScale,
    effective_number_weights, export_loss,
};

/// `−w_c (1−p)^γ log p`, with `w_c` from the effective number of class c's examples.
///
/// With the weight inside, `−w_c (1−p')^γ log p` for `p' = exp(w_c log p)`: a widely copied baseline applies the
/// focal factor to the weighted cross-entropy. It makes the losses of rare classes far too small and is kept for parity.
pub struct ClassBalancedFocal {
    gamma: f64,
    weight: PerClass,
    weight_inside: bool,
}

impl ImbalanceLoss for ClassBalancedFocal {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let weight = effective_number_weights(classes, params.number("beta")?, WeightScale::from_params(params)?)?;
        let (gamma, weight_inside) = (params.number("gamma")?, params.flag("weight-inside")?);
        if weight_inside && gamma.fract() != 0.0 {
            return Err(LossError::new(format!("gamma is {gamma}; with weight-inside it must be a whole number")));
        }
        Ok(Self { gamma, weight, weight_inside })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        let log_likelihood = self.weight.of(class) * m.log_p();
        if !self.weight_inside {
            return -(m.not_p_pow(self.gamma) * log_likelihood);
        }
        let not_p = -log_likelihood.exp() + 1.0;
        (0..self.gamma as usize).fold(-log_likelihood, |loss, _| loss * not_p)
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().weighted_by(self.weight.clone())
    }
}

export_loss!(ClassBalancedFocal {
    id: "class-balanced-focal",
    formula: "-w_c (1-p)^gamma log p",
    citation: "Cui et al., Class-Balanced Loss Based on Effective Number of Samples (CVPR 2019); weight-inside: the code of Cao et al. (NeurIPS 2019)",
    params: [
        "beta": 0.9999 in 0.0..1.0, "how fast further examples of a class stop counting";
        use WeightScale::PARAM;
        "gamma": 1.0 in 0.0..=100.0, "how strongly sure predictions are discounted; 0 is class-balanced cross-entropy";
        "weight-inside": false, "let the focal factor see exp(-w_c CE) in place of p; gamma must be whole";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    /// Counts 3 and 1 at β = ½ and the largest weight 1: weights 4/7 and 1.
    fn focal(gamma: f64, weight_inside: f64) -> Result<Evaluated<ClassBalancedFocal>, LossError> {
        let params = [("beta", 0.5), ("weight-scale", 1.0), ("gamma", gamma), ("weight-inside", weight_inside)];
        Evaluated::new(&params, &[3, 1])
    }

    #[test]
    fn by_hand_at_three_quarters() {
        let (m, log_p) = (3.0_f64.ln(), 0.75_f64.ln());
        let outside = focal(2.0, 0.0).unwrap();
        assert!((outside.at(m, 0).0 + 4.0 / 7.0 / 16.0 * log_p).abs() < 1e-15);
        assert!((outside.at(m, 1).0 + 1.0 / 16.0 * log_p).abs() < 1e-15);
        let inside = focal(2.0, 1.0).unwrap();
        let discount = 1.0 - 0.75_f64.powf(4.0 / 7.0);
        assert!((inside.at(m, 0).0 + 4.0 / 7.0 * discount * discount * log_p).abs() < 1e-15);
        // A weight of 1 is the same on either side.
        assert!((inside.at(m, 1).0 - outside.at(m, 1).0).abs() < 1e-15);
    }

    #[test]
    fn the_slope_is_the_difference_of_the_loss_with_the_weight_inside() {
        for gamma in [0.0, 1.0, 2.0, 5.0] {
            focal(gamma, 1.0).unwrap().check_slope(0, &[]).unwrap();
        }
    }

    #[test]
    fn a_broken_gamma_inside_is_refused() {
        let said = focal(0.5, 1.0).err().unwrap().to_string();
        assert_eq!(said, "gamma is 0.5; with weight-inside it must be a whole number");
    }

    proptest! {
        #[test]
        fn gamma_zero_is_class_balanced_cross_entropy(m in -30.0..30.0_f64, inside in 0..2_u8) {
            let (loss, slope) = focal(0.0, f64::from(inside)).unwrap().at(m, 0);
            prop_assert!((loss - 4.0 / 7.0 * (-m).exp().ln_1p()).abs() < 1e-12);
            prop_assert!((slope + 4.0 / 7.0 / (1.0 + m.exp())).abs() < 1e-12);
        }
    }
}
