//! Simplified eureka loss: the bonus without the encouragement of rare classes (paper, Eq. 11).

use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};

/// `−log p` for `p ≤ φ`, `−log p + log(1−p) − log(1−φ)` above.
///
/// The derivative is `−(1−p)` below φ and −1 above: the loss has no lower bound, and a network that is trained with it alone drives
/// its logits up without end. With `bonus-eps` the bonus stays what it is at 1−p = ε, and the derivative is `−(1−p)` again beyond.
pub struct SimplifiedEureka {
    boundary: f64,
    offset: f64,
    bonus_eps: f64,
}

impl ImbalanceLoss for SimplifiedEureka {
    fn new(params: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        let (phi, bonus_eps) = (params.number("phi")?, params.number("bonus-eps")?);
        if bonus_eps >= 1.0 - phi {
            let reason = format!("bonus-eps is {bonus_eps}; it must be less than 1 - phi, which is {}", 1.0 - phi);
            return Err(LossError::new(reason));
        }
        let offset = (-phi).ln_1p();
        // Finite also for φ = 0, so that a recorded formula has finite constants.
        Ok(Self { boundary: (phi.ln() - offset).max(f64::from(f32::MIN)), offset, bonus_eps })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        // −log p + log(1−p) = −m
        let rewarded = if self.bonus_eps > 0.0 {
            let least = -m.log_p() + R::constant(self.bonus_eps.ln());
            m.not_p().select_greater(R::constant(self.bonus_eps), -m.value(), least)
        } else {
            -m.value()
        };
        m.value().select_greater(R::constant(self.boundary), rewarded - self.offset, -m.log_p())
    }
}

export_loss!(SimplifiedEureka {
    id: "simplified-eureka",
    formula: "-log p + [p > phi] (log(1-p) - log(1-phi))",
    citation: "Eureka Loss (2021), Eq. 11",
    params: [
        "phi": 0.5 in 0.0..1.0, "likelihood above which predictions earn the bonus";
        "bonus-eps": 0.0 in 0.0..1.0, "least 1-p that the bonus sees; 0 is exact and has no lower bound; less than 1 - phi";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    fn simplified(phi: f64) -> Evaluated<SimplifiedEureka> {
        stopped(phi, 0.0).unwrap()
    }

    fn stopped(phi: f64, bonus_eps: f64) -> Result<Evaluated<SimplifiedEureka>, LossError> {
        Evaluated::new(&[("phi", phi), ("bonus-eps", bonus_eps)], &[3, 1])
    }

    #[test]
    fn the_bonus_ends_at_its_least() {
        let (exact, stopped_at) = (simplified(0.5), stopped(0.5, 1e-5).unwrap());
        for m in [-3.0, 0.5, 4.0, 11.5] {
            assert_eq!(exact.at(m, 0), stopped_at.at(m, 0));
        }
        // 1 − p = 1e-6: −log p + log 1e-5 − log ½, and the slope of cross-entropy.
        let (loss, slope) = stopped_at.at((1.0_f64 / 1e-6 - 1.0).ln(), 0);
        assert!((loss - (-(-1e-6_f64).ln_1p() + (2e-5_f64).ln())).abs() < 1e-12, "{loss}");
        assert!((slope + 1e-6).abs() < 1e-12, "{slope}");
        let refused = stopped(0.5, 0.5).err().unwrap().to_string();
        assert!(refused.contains("bonus-eps is 0.5; it must be less than 1 - phi, which is 0.5"), "{refused}");
    }

    #[test]
    fn slope_is_that_of_cross_entropy_below_phi_and_one_above() {
        let loss = simplified(0.5);
        for p in [0.001, 0.25, 0.5_f64] {
            let (value, slope) = loss.at((p / (1.0 - p)).ln(), 0);
            assert!((value + p.ln()).abs() < 1e-14 && (slope + 1.0 - p).abs() < 1e-14);
        }
        for m in [1e-6, 1.0, 10.0, 80.0] {
            assert_eq!(loss.at(m, 1).1, -1.0);
        }
    }

    #[test]
    fn by_hand_at_three_quarters() {
        // −log ¾ + log ¼ − log ½, also from φ = ¼: − log ¾ in the end.
        assert!((simplified(0.5).at(3.0_f64.ln(), 0).0 - (2.0 / 3.0_f64).ln()).abs() < 1e-15);
        assert!((simplified(0.25).at(3.0_f64.ln(), 0).0 - (4.0 / 9.0_f64).ln()).abs() < 1e-15);
    }

    #[test]
    fn phi_zero_rewards_everywhere() {
        assert_eq!(simplified(0.0).at(-80.0, 0), (80.0, -1.0));
    }
}
