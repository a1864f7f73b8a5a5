//! Eureka loss: rewards sure, correct predictions of rare classes (paper, Eqs. 7 to 9).

use imbalance_core::{
    Class, ClassCounts, ImbalanceLoss, LogOdds, LogitAdjustment, LossError, Params, PerClass, Real, WeightScale,
    effective_number_weights, export_loss,
};

/// `−a_c log p + w_c log(1−p)`, with `w_c` from the effective number of class c's examples; `a_c` is 1,
/// or `w_c` where the loss is class-balanced too (the paper's EL+CB).
///
/// Equation 7 with Eq. 8 as printed would punish confidence; Eq. 11 agrees with the sign here. The
/// derivative, `−a_c(1−p) − w_c p`, is bounded and never vanishes; the loss has no lower bound.
pub struct Eureka {
    likelihood: PerClass,
    reward: PerClass,
    bonus_eps: f64,
}

impl ImbalanceLoss for Eureka {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let reward = effective_number_weights(classes, params.number("beta")?, WeightScale::from_params(params)?)?;
        let likelihood =
            if params.flag("class-balanced")? { reward.clone() } else { PerClass::from_counts(classes, |_| 1.0) };
        Ok(Self { likelihood, reward, bonus_eps: params.number("bonus-eps")? })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        let bonus = if self.bonus_eps > 0.0 {
            let floor = R::constant(self.bonus_eps);
            m.not_p().select_greater(floor, m.log_not_p(), R::constant(self.bonus_eps.ln()))
        } else {
            m.log_not_p()
        };
        -(self.likelihood.of(class) * m.log_p()) + self.reward.of(class) * bonus
    }

    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none().weighted_by(self.likelihood.clone())
    }
}

export_loss!(Eureka {
    id: "eureka",
    formula: "-log p + w_c log(1-p)",
    citation: "High-Likelihood Area Matters: Rewarding Correct, Rare Class Predictions Under Imbalanced Distributions (2021), Eqs. 7-9",
    params: [
        "beta": 0.9999 in 0.0..1.0, "how fast further examples of a class stop counting; the paper takes .999 for dialogue";
        use WeightScale::PARAM;
        "bonus-eps": 0.0 in 0.0..1.0, "least 1-p that the bonus sees; 0 is exact, the authors' code uses 1e-5";
        "class-balanced": false, "weigh -log p by w_c too (the paper's EL+CB)";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    const COUNTS: [u64; 3] = [5000, 100, 10];

    fn eureka(beta: f64, bonus_eps: f64, class_balanced: f64) -> Evaluated<Eureka> {
        let params =
            [("beta", beta), ("weight-scale", 0.0), ("bonus-eps", bonus_eps), ("class-balanced", class_balanced)];
        Evaluated::new(&params, &COUNTS).unwrap()
    }

    #[test]
    fn is_linear_without_encouragement() {
        // β = 0: w = 1 and −log p + log(1−p) = −m.
        for m in [-60.0, -1.0, 0.0, 2.5, 60.0] {
            let (loss, slope) = eureka(0.0, 0.0, 0.0).at(m, 1);
            assert!((loss + m).abs() < 1e-12 && (slope + 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn slope_is_bounded_and_steeper_for_rarer_classes() {
        let loss = eureka(0.9999, 0.0, 0.0);
        for m in [-50.0, 0.0, 5.0, 50.0] {
            let slopes: Vec<f64> = (0..3).map(|class| loss.at(m, class).1).collect();
            assert!(slopes[0] >= slopes[1] && slopes[1] >= slopes[2], "{slopes:?}");
            assert!(slopes.iter().all(|&slope| (-3.0..0.0).contains(&slope)), "{slopes:?}");
        }
    }

    #[test]
    fn the_bonus_is_clamped_where_the_authors_clamp_it() {
        // 1 − p = 1e-5 where m = log(1e5 − 1); above, −log p + w log 1e-5 has the slope of cross-entropy.
        let loss = eureka(0.0, 1e-5, 0.0);
        assert!((loss.at(11.0, 1).0 + 11.0).abs() < 1e-12);
        let (value, slope) = loss.at(12.0, 1);
        assert!((value - ((-12.0_f64).exp().ln_1p() + 1e-5_f64.ln())).abs() < 1e-12);
        assert!((slope + 1.0 / (1.0 + 12.0_f64.exp())).abs() < 1e-15);
    }

    #[test]
    fn class_balanced_weighs_both_terms() {
        // p = ½: the two terms cancel, their slopes add up to −w.
        let (plain, balanced) = (eureka(0.99, 0.0, 0.0), eureka(0.99, 0.0, 1.0));
        for class in 0..3 {
            let weight = -(2.0 * plain.at(0.0, class).1 + 1.0);
            let (loss, slope) = balanced.at(0.0, class);
            assert!(loss.abs() < 1e-15 && (slope + weight).abs() < 1e-14);
        }
    }

    #[test]
    fn by_hand_at_even_odds() {
        // p = ½: log 2 · (1 − w); weights of 5000, 100, 10 examples at β = .99.
        let number = |n: i32| (1.0 - 0.99_f64.powi(n)) / 0.01;
        let inverse = [1.0 / number(5000), 1.0 / number(100), 1.0 / number(10)];
        let weight = inverse[2] / inverse.iter().sum::<f64>() * 3.0;
        let (loss, slope) = eureka(0.99, 0.0, 0.0).at(0.0, 2);
        assert!((loss - std::f64::consts::LN_2 * (1.0 - weight)).abs() < 1e-12);
        assert!((slope + 0.5 + weight / 2.0).abs() < 1e-12);
    }
}
