//! Encouraging loss (Zhao et al. 2022), by the authors of the eureka loss.

use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};

/// `−log p + log(1−p)` for `p ≤ LE`; above, the bonus goes on along its tangent: the conservative bonus
/// `log(1−LE) − (p−LE)/(1−LE)`.
pub struct Encouraging {
    log_end: f64,
}

impl ImbalanceLoss for Encouraging {
    fn new(params: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        Ok(Self { log_end: params.number("log-end")? })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        // −log p + log(1−p) = −m
        let rewarded = -m.value();
        if self.log_end == 1.0 {
            return rewarded;
        }
        let rest = 1.0 - self.log_end;
        // −(p−LE)/(1−LE) = (1−p)/(1−LE) − 1
        let conservative = m.not_p() / rest - m.log_p() + (rest.ln() - 1.0);
        m.p().select_greater(R::constant(self.log_end), conservative, rewarded)
    }
}

export_loss!(Encouraging {
    id: "encouraging",
    formula: "p <= LE: -log p + log(1-p); above: -log p + log(1-LE) - (p-LE)/(1-LE)",
    citation: "Zhao et al., Well-classified Examples are Underestimated in Classification with Deep Neural Networks (AAAI 2022)",
    params: [
        "log-end": 0.75 in 0.0..=1.0, "LE, the likelihood from which the bonus is linear in p; 1 is the normal bonus, to be lower where the accuracy is";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn encouraging(log_end: f64) -> Evaluated<Encouraging> {
        Evaluated::new(&[("log-end", log_end)], &[3, 1]).unwrap()
    }

    #[test]
    fn by_hand_at_nine_tenths() {
        // −log .9 + log ¼ − (.9 − .75)/.25; slope −.1 − .09/.25.
        let (loss, slope) = encouraging(0.75).at(9.0_f64.ln(), 0);
        assert!((loss - (0.25_f64.ln() - 0.9_f64.ln() - 0.6)).abs() < 1e-14);
        assert!((slope + 0.1 + 0.36).abs() < 1e-14);
        // Below LE, and everywhere with the normal bonus: −m.
        assert_eq!(encouraging(0.75).at(1.0, 0), (-1.0, -1.0));
        assert_eq!(encouraging(1.0).at(60.0, 0), (-60.0, -1.0));
    }

    proptest! {
        #[test]
        fn loss_and_slope_are_continuous_at_the_log_end(log_end in 0.01..0.99_f64) {
            let (loss, at) = (encouraging(log_end), (log_end / (1.0 - log_end)).ln());
            let (below, above) = (loss.at(at - 1e-9, 0), loss.at(at + 1e-9, 0));
            prop_assert!((below.0 - above.0).abs() < 1e-7 && (below.1 - above.1).abs() < 1e-7);
        }

        #[test]
        fn a_higher_end_is_no_less_steep(m in -20.0..20.0_f64, low in 0.0..1.0_f64, high in 0.0..1.0_f64) {
            let slope = |log_end: f64| encouraging(log_end).at(m, 0).1;
            prop_assert!(slope(low.max(high)) <= slope(low.min(high)) + 1e-12);
        }
    }
}
