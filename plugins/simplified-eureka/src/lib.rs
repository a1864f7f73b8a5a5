//! Simplified eureka loss: the bonus without the encouragement of rare classes (paper, Eq. 11).

use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};

/// `−log p` for `p ≤ φ`, `−log p + log(1−p) − log(1−φ)` above.
///
/// The derivative is `−(1−p)` below φ and −1 above: the loss has no lower bound.
pub struct SimplifiedEureka {
    boundary: f64,
    offset: f64,
}

impl ImbalanceLoss for SimplifiedEureka {
    fn new(params: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        let phi = params.number("phi")?;
        let offset = (-phi).ln_1p();
        // Finite also for φ = 0, so that a recorded formula has finite constants.
        Ok(Self { boundary: (phi.ln() - offset).max(f64::from(f32::MIN)), offset })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        // −log p + log(1−p) = −m
        m.value().select_greater(R::constant(self.boundary), -m.value() - self.offset, -m.log_p())
    }
}

export_loss!(SimplifiedEureka {
    id: "simplified-eureka",
    formula: "-log p + [p > phi] (log(1-p) - log(1-phi))",
    citation: "Eureka Loss (2021), Eq. 11",
    params: [
        "phi": 0.5 in 0.0..1.0, "likelihood above which predictions earn the bonus";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    fn simplified(phi: f64) -> Evaluated<SimplifiedEureka> {
        Evaluated::new(&[("phi", phi)], &[3, 1]).unwrap()
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
