//! Cross-entropy, the baseline of every table of the paper (Eq. 2).

use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};

/// `−log p`
pub struct CrossEntropy;

impl ImbalanceLoss for CrossEntropy {
    fn new(_: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        Ok(Self)
    }

    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        -m.log_p()
    }
}

export_loss!(CrossEntropy {
    id: "cross-entropy",
    formula: "-log p",
    citation: "Eureka Loss (2021), Eq. 2",
    params: [],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    #[test]
    fn slope_is_the_difference_of_the_loss() {
        Evaluated::<CrossEntropy>::new(&[], &[3, 1]).unwrap().check_slope(0, &[]).unwrap();
    }

    #[test]
    fn is_linear_far_below_zero_and_vanishes_far_above() {
        let loss = Evaluated::<CrossEntropy>::new(&[], &[3, 1]).unwrap();
        assert_eq!(loss.at(-80.0, 1), (80.0, -1.0));
        let (value, slope) = loss.at(40.0, 1);
        assert!((value / (-40.0_f64).exp() - 1.0).abs() < 1e-12 && (slope / -(-40.0_f64).exp() - 1.0).abs() < 1e-12);
    }
}
