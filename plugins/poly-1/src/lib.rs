//! Poly-1 loss (Leng et al. 2022).

use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};

/// `−log p + ε(1−p)`: cross-entropy with another first coefficient of its expansion in powers of `1−p`.
///
/// The derivative is `−(1−p)(1 + εp)`: below ε = −1 the loss would punish sure predictions.
pub struct Poly1 {
    epsilon: f64,
}

impl ImbalanceLoss for Poly1 {
    fn new(params: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        Ok(Self { epsilon: params.number("epsilon")? })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        m.not_p() * self.epsilon - m.log_p()
    }
}

export_loss!(Poly1 {
    id: "poly-1",
    formula: "-log p + epsilon (1-p)",
    citation: "Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions (ICLR 2022)",
    params: [
        "epsilon": 2.0 in -1.0..=100.0, "what is added to the first coefficient; 0 is cross-entropy, the authors take 2 on ImageNet and less than 0 in detection";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    fn poly(epsilon: f64) -> Evaluated<Poly1> {
        Evaluated::new(&[("epsilon", epsilon)], &[3, 1]).unwrap()
    }

    #[test]
    fn by_hand_at_three_quarters() {
        let (loss, slope) = poly(2.0).at(3.0_f64.ln(), 0);
        assert!((loss - (0.5 - 0.75_f64.ln())).abs() < 1e-15);
        assert!((slope + 0.25 * 2.5).abs() < 1e-15);
    }

    #[test]
    fn epsilon_zero_is_cross_entropy() {
        for m in [-70.0, -3.0, 0.0, 3.0, 70.0_f64] {
            let (loss, slope) = poly(0.0).at(m, 0);
            assert!((loss - (-m).exp().ln_1p()).abs() <= 1e-12 * (1.0 + loss.abs()));
            assert!((slope + 1.0 / (1.0 + m.exp())).abs() < 1e-12);
        }
    }

    #[test]
    fn the_least_epsilon_still_rewards_confidence() {
        let loss = poly(-1.0);
        assert!((-200..=200).all(|step| loss.at(f64::from(step) * 0.1, 0).1 < 0.0));
    }
}
