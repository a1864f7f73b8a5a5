//! Cross-entropy with the power bonus (paper, Eq. 10).

use imbalance_core::{
    Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, PerClass, Real, WeightScale,
    effective_number_weights, export_loss,
};

/// `−log p − w_c p^γ_b`, with `w_c` from the effective number of class c's examples.
///
/// The derivative is `−(1−p)(1 + w_c γ_b p^γ_b)`: a higher power is steeper at high likelihood.
pub struct PowerBonus {
    gamma_b: f64,
    reward: PerClass,
}

impl ImbalanceLoss for PowerBonus {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let reward = effective_number_weights(classes, params.number("beta")?, WeightScale::from_params(params)?)?;
        Ok(Self { gamma_b: params.number("gamma-b")?, reward })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        -m.log_p() - self.reward.of(class) * m.p_pow(self.gamma_b)
    }
}

export_loss!(PowerBonus {
    id: "power-bonus",
    formula: "-log p - w_c p^gamma_b",
    citation: "Eureka Loss (2021), Eq. 10",
    params: [
        "gamma-b": 1.0 in 0.0..=100.0, "power of the bonus; the higher, the more it rewards high likelihood only; 0 rewards nothing";
        "beta": 0.9999 in 0.0..1.0, "how fast further examples of a class stop counting";
        use WeightScale::PARAM;
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    /// Counts 3 and 1 at β = ½ and the largest weight 1: weights 4/7 and 1.
    fn power_bonus(gamma_b: f64, beta: f64) -> Evaluated<PowerBonus> {
        Evaluated::new(&[("gamma-b", gamma_b), ("beta", beta), ("weight-scale", 1.0)], &[3, 1]).unwrap()
    }

    #[test]
    fn by_hand_at_three_quarters() {
        let (loss, slope) = power_bonus(2.0, 0.5).at(3.0_f64.ln(), 0);
        assert!((loss - (-(0.75_f64.ln()) - 4.0 / 7.0 * 0.5625)).abs() < 1e-15);
        assert!((slope + 0.25 * (1.0 + 4.0 / 7.0 * 2.0 * 0.5625)).abs() < 1e-15);
        // Without weights every class earns the same.
        assert_eq!(power_bonus(2.0, 0.0).at(1.0, 0), power_bonus(2.0, 0.0).at(1.0, 1));
    }

    #[test]
    fn a_higher_power_and_a_rarer_class_are_steeper_at_high_likelihood() {
        // p = .95; the paper's Figure 3 orders the powers so.
        let m = 19.0_f64.ln();
        let slopes: Vec<f64> = [0.0, 1.0, 2.0, 4.0].iter().map(|&power| power_bonus(power, 0.5).at(m, 1).1).collect();
        assert!(slopes.windows(2).all(|pair| pair[0] > pair[1]), "{slopes:?}");
        assert!(power_bonus(1.0, 0.5).at(m, 1).1 < power_bonus(1.0, 0.5).at(m, 0).1);
    }
}
