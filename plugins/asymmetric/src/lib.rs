//! Asymmetric loss (Ridnik, Ben-Baruch et al. 2021).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LossError, Params, PerClass, Real, export_loss,
};

/// Focal loss with a power of its own for negatives, whose probability is shifted down by a margin.
///
/// ```text
/// positive: −(1−p)^γ⁺ log p
/// negative: −q^γ⁻ log(1−q),  q = max(1−p−clip, 0): the positive's probability less the margin
/// ```
///
/// On a sigmoid head the last class is the background, whose examples are the negatives.
///
/// On a softmax head the single-label form sums `−t_j w_j log p_j` over the classes, with t the labels. Those of the
/// false classes are 0 unless they are smoothed, so what remains is the positive's term of the true class: focal loss.
/// `gamma-neg` and `clip` would do nothing there and must stay 0.
pub struct Asymmetric {
    gamma_pos: f64,
    gamma_neg: f64,
    clip: f64,
    /// 1 for the background of a sigmoid head, else 0.
    negative: Option<PerClass>,
}

impl ImbalanceLoss for Asymmetric {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let (gamma_neg, clip) = (params.number("gamma-neg")?, params.number("clip")?);
        let negative = match params.head() {
            Head::Softmax => {
                if let Some((name, value)) = [("gamma-neg", gamma_neg), ("clip", clip)].iter().find(|of| of.1 != 0.0) {
                    return Err(LossError::new(format!(
                        "{name} is {value}; a softmax head has no negatives for it, it must be 0"
                    )));
                }
                None
            }
            Head::Sigmoid => {
                let background = classes.len() - 1;
                Some(PerClass::new((0..classes.len()).map(|class| f64::from(class == background)).collect()))
            }
        };
        if gamma_neg.fract() != 0.0 {
            return Err(LossError::new(format!("gamma-neg is {gamma_neg}; it must be a whole number")));
        }
        Ok(Self { gamma_pos: params.number("gamma-pos")?, gamma_neg, clip, negative })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        let positive = -(m.not_p_pow(self.gamma_pos) * m.log_p());
        match &self.negative {
            Some(negative) => negative.of(class).select_greater(R::constant(0.5), self.of_negative(m), positive),
            None => positive,
        }
    }
}

impl Asymmetric {
    #[inline(always)]
    fn of_negative<R: Real>(&self, m: LogOdds<R>) -> R {
        // 1 − q = p + clip is no likelihood of its own: at least clip, so that its plain logarithm is exact.
        let loss = match self.clip {
            0.0 => -m.log_p(),
            clip => -(m.p() + clip).ln(),
        };
        let probability = m.not_p() - self.clip;
        let focused = loss * whole_power(probability, self.gamma_neg as u32);
        m.not_p().select_greater(R::constant(self.clip), focused, R::constant(0.0))
    }
}

/// `base^exponent` by repeated squaring; the base may be 0 or below.
#[inline(always)]
fn whole_power<R: Real>(base: R, exponent: u32) -> R {
    match exponent {
        0 => R::constant(1.0),
        1 => base,
        2 => base * base,
        4 => base * base * (base * base),
        _ => (1..exponent).fold(base, |power, _| power * base),
    }
}

export_loss!(Asymmetric {
    id: "asymmetric",
    formula: "positive: -(1-p)^gamma+ log p; negative: -q^gamma- log(1-q), q = max(1-p-clip, 0)",
    citation: "Ridnik, Ben-Baruch et al., Asymmetric Loss For Multi-Label Classification (ICCV 2021)",
    params: [
        "gamma-pos": 0.0 in 0.0..=100.0, "how strongly sure positives are discounted";
        "gamma-neg": 0.0 or 4.0 for sigmoid in 0.0..=32.0, "how strongly sure negatives are discounted, a whole number (sigmoid head)";
        "clip": 0.0 or 0.05 for sigmoid in 0.0..1.0, "probability below which a negative costs nothing (sigmoid head)";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn asymmetric(head: Head, gamma_pos: f64, gamma_neg: f64, clip: f64) -> Result<Evaluated<Asymmetric>, LossError> {
        Evaluated::on(head, &[("gamma-pos", gamma_pos), ("gamma-neg", gamma_neg), ("clip", clip)], &[3, 1, 96])
    }

    #[test]
    fn by_hand_on_a_sigmoid_head() {
        let loss = asymmetric(Head::Sigmoid, 1.0, 4.0, 0.05).unwrap();
        // A positive at p = ¾: −¼ log ¾. A negative whose positive has ¼: q = .2, −.2⁴ log .8.
        assert!((loss.at(3.0_f64.ln(), 1).0 + 0.25 * 0.75_f64.ln()).abs() < 1e-15);
        assert!((loss.at(3.0_f64.ln(), 2).0 + 0.0016 * 0.8_f64.ln()).abs() < 1e-15);
        // A negative whose positive has .04, less than the margin, costs nothing.
        assert_eq!(loss.at(24.0_f64.ln(), 2), (0.0, 0.0));
    }

    #[test]
    fn mistakes_of_negatives_are_bounded_by_the_margin() {
        // p = 0: q = .95, −.95⁴ log .05.
        let (loss, slope) = asymmetric(Head::Sigmoid, 0.0, 4.0, 0.05).unwrap().at(-80.0, 2);
        assert!((loss + 0.95_f64.powi(4) * 0.05_f64.ln()).abs() < 1e-14 && slope.abs() < 1e-30);
    }

    #[test]
    fn the_slope_is_the_difference_of_the_loss_for_every_power() {
        for (gamma_neg, clip) in [(0.0, 0.05_f64), (1.0, 0.2), (2.0, 0.05), (3.0, 0.0)] {
            let kink = ((1.0 - clip) / clip).ln();
            asymmetric(Head::Sigmoid, 0.0, gamma_neg, clip).unwrap().check_slope(2, &[kink]).unwrap();
        }
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        let said = |made: Result<Evaluated<Asymmetric>, LossError>| made.err().unwrap().to_string();
        let softmax = said(asymmetric(Head::Softmax, 0.0, 4.0, 0.0));
        assert_eq!(softmax, "gamma-neg is 4; a softmax head has no negatives for it, it must be 0");
        assert!(said(asymmetric(Head::Softmax, 0.0, 0.0, 0.1)).starts_with("clip is 0.1"));
        assert!(
            said(asymmetric(Head::Sigmoid, 0.0, 2.5, 0.05)).starts_with("gamma-neg is 2.5; it must be a whole number")
        );
    }

    proptest! {
        #[test]
        fn without_powers_and_margin_it_is_cross_entropy(m in -30.0..30.0_f64, class in 0..3_u32) {
            for head in [Head::Softmax, Head::Sigmoid] {
                let (loss, slope) = asymmetric(head, 0.0, 0.0, 0.0).unwrap().at(m, class);
                prop_assert!((loss - (-m).exp().ln_1p()).abs() < 1e-12);
                prop_assert!((slope + 1.0 / (1.0 + m.exp())).abs() < 1e-12);
            }
        }
    }
}
