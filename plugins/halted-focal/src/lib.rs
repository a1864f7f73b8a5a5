//! Halted focal loss: focal loss that goes on as cross-entropy where the likelihood is high (paper, Eq. 6).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LossError, Params, PerClass, Real, export_loss,
};

/// Focal loss for `p ≤ φ`, `−α_c [log p − (1−(1−φ)^γ) log φ]` above, for the rarest `⌈t·C⌉` classes; focal loss for
/// the rest.
///
/// Equation 6 prints the constant with a spare α and a sign that breaks the continuity it is there for. Classes of equal
/// count are ranked by their id. On a sigmoid head the foreground is one class, the rare one, and the
/// background, whose counts come last, the other: t = ½ halts the foreground only, t = 1 both.
///
/// The authors' detection code compares the logit x with 0, not the likelihood of the true class with φ. With
/// `halt-on = logit` the background is therefore halted where the foreground is likely: above
/// `x = log(φ/(1−φ))`, where p falls below 1 − φ, the number that then stands for φ in the constant. A softmax head has
/// no negatives and knows no difference.
pub struct HaltedFocal {
    gamma: f64,
    alpha: PerClass,
    /// 1, or −1 where the loss is halted below a log-odds.
    side: PerClass,
    threshold: PerClass,
    offset: PerClass,
}

impl ImbalanceLoss for HaltedFocal {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let (gamma, alpha, phi) = (params.number("gamma")?, params.number("alpha")?, params.number("phi")?);
        let on_logit = params.choice("halt-on")? == 1;
        let halted = halted(classes, params.head(), params.number("tail-fraction")?);
        let of = |value: &dyn Fn(bool, usize) -> f64| {
            let background = |class| params.head() == Head::Sigmoid && class + 1 == classes.len();
            PerClass::new((0..classes.len()).map(|class| value(background(class), class)).collect())
        };
        // (1−(1−φ)^γ) log φ; nothing is below φ = 0.
        let offset = |phi: f64| if phi > 0.0 { (1.0 - (1.0 - phi).powf(gamma)) * phi.ln() } else { 0.0 };
        // Finite, so that a recorded formula has finite constants; no log-odds in float32 is larger.
        let never = f64::from(f32::MAX);
        let boundary = (phi.ln() - (-phi).ln_1p()).clamp(-never, never);
        Ok(Self {
            gamma,
            alpha: of(&|background, _| if background { 1.0 - alpha } else { alpha }),
            side: of(&|background, _| if background && on_logit { -1.0 } else { 1.0 }),
            threshold: of(&|_, class| if halted[class] { boundary } else { never }),
            offset: of(&|background, _| offset(if background && on_logit { 1.0 - phi } else { phi })),
        })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        let focal = m.not_p_pow(self.gamma) * m.log_p();
        let halted = m.log_p() - self.offset.of(class);
        let side = self.side.of(class) * m.value();
        -(self.alpha.of(class) * side.select_greater(self.threshold.of(class), halted, focal))
    }
}

/// Which classes are among the rarest fraction, `[classes]`.
fn halted(classes: &ClassCounts, head: Head, fraction: f64) -> Vec<bool> {
    let count = classes.len();
    // 0.07 · 100 is a little more than 7 in float64; the eighth class is not meant.
    let rarest = |of: usize| (fraction * of as f64 - 1e-9).ceil() as usize;
    match head {
        Head::Sigmoid => (0..count).map(|class| usize::from(class + 1 == count) < rarest(2)).collect(),
        Head::Softmax => {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by_key(|&class| classes.as_slice()[class]);
            let mut halted = vec![false; count];
            order.iter().take(rarest(count)).for_each(|&class| halted[class] = true);
            halted
        }
    }
}

export_loss!(HaltedFocal {
    id: "halted-focal",
    formula: "p <= phi: -alpha_c (1-p)^gamma log p; above, for rare classes: -alpha_c [log p - (1-(1-phi)^gamma) log phi]",
    citation: "Eureka Loss (2021), Eq. 6",
    params: [
        "gamma": 1.0 or 2.0 for sigmoid in 0.0..=100.0, "how strongly sure predictions are discounted; 0 is cross-entropy";
        "alpha": 1.0 or 0.25 for sigmoid in 0.0..=1.0, "weight of every class (softmax head), or of the foreground, with 1 - alpha for the background (sigmoid head)";
        "phi": 0.5 in 0.0..=1.0, "likelihood above which the discount halts; 1 is focal loss";
        "tail-fraction": 1.0 in 0.0..=1.0, "the rarest share of the classes, for which it halts; 0 is focal loss";
        "halt-on": "likelihood" of "likelihood|logit", "what is compared with phi: the true class's likelihood, or (as the authors' detection code does) the foreground's";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;
    use proptest::prelude::*;

    fn halted_focal(head: Head, values: [f64; 5], counts: &[u64]) -> Evaluated<HaltedFocal> {
        let names = ["gamma", "alpha", "phi", "tail-fraction", "halt-on"];
        let params: Vec<(&str, f64)> = names.into_iter().zip(values).collect();
        Evaluated::on(head, &params, counts).unwrap()
    }

    fn log_odds(p: f64) -> f64 {
        (p / (1.0 - p)).ln()
    }

    #[test]
    fn by_hand_on_both_sides() {
        let loss = halted_focal(Head::Softmax, [1.0, 1.0, 0.5, 1.0, 0.0], &[3, 1]);
        // p = ¼: −¾ log ¼. p = ¾: −log ¾ + ½ log ½, with the slope of cross-entropy.
        assert!((loss.at(log_odds(0.25), 0).0 + 0.75 * 0.25_f64.ln()).abs() < 1e-15);
        let (value, slope) = loss.at(log_odds(0.75), 0);
        assert!((value - (0.5 * 0.5_f64.ln() - 0.75_f64.ln())).abs() < 1e-15 && (slope + 0.25).abs() < 1e-15);
    }

    #[test]
    fn the_rarest_classes_are_halted_lower_ids_first_among_equals() {
        let halted_at = |fraction: f64, counts: &[u64]| -> Vec<u32> {
            let loss = halted_focal(Head::Softmax, [1.0, 1.0, 0.5, fraction, 0.0], counts);
            // At p = ¾ focal loss has slope (1−p)(p log p − (1−p)); halted, it has that of cross-entropy.
            (0..counts.len() as u32).filter(|&class| (loss.at(log_odds(0.75), class).1 + 0.25).abs() < 1e-12).collect()
        };
        let counts = [40, 10, 10, 30, 0];
        assert_eq!(halted_at(0.0, &counts), [] as [u32; 0]);
        assert_eq!(halted_at(0.01, &counts), [4]);
        assert_eq!(halted_at(0.4, &counts), [1, 4]);
        assert_eq!(halted_at(0.41, &counts), [1, 2, 4]);
        assert_eq!(halted_at(0.8, &counts), [1, 2, 3, 4]);
        assert_eq!(halted_at(1.0, &counts), [0, 1, 2, 3, 4]);
        // 0.07 · 100 = 7.000000000000001
        assert_eq!(halted_at(0.07, &[1; 100]).len(), 7);
    }

    #[test]
    fn a_sigmoid_head_halts_the_foreground_first() {
        // Two foreground classes, one more frequent than the background.
        let slope = |fraction, class| {
            halted_focal(Head::Sigmoid, [2.0, 0.25, 0.5, fraction, 0.0], &[900, 5, 100]).at(log_odds(0.75), class).1
        };
        let (halted, background) = (-0.25 * 0.25, -0.75 * 0.25);
        for class in [0, 1] {
            assert!((slope(0.5, class) - halted).abs() < 1e-15);
            assert!((slope(0.0, class) - halted).abs() > 0.01);
        }
        assert!((slope(0.5, 2) - background).abs() > 0.01 && (slope(1.0, 2) - background).abs() < 1e-15);
    }

    #[test]
    fn halted_on_the_logit_the_background_turns_round() {
        let loss = halted_focal(Head::Sigmoid, [2.0, 0.25, 0.5, 1.0, 1.0], &[1, 100]);
        // Background at logit x = log 3, so p = ¼: halted, −¾ [log ¼ − ¾ log ½].
        let (value, slope) = loss.at(-(3.0_f64.ln()), 1);
        assert!((value + 0.75 * (0.25_f64.ln() - 0.75 * 0.5_f64.ln())).abs() < 1e-15);
        assert!((slope + 0.75 * 0.75).abs() < 1e-15);
        // At x = −log 3, p = ¾: focal, −¾ · ¼² log ¾. The foreground is as before.
        assert!((loss.at(3.0_f64.ln(), 1).0 + 0.75 / 16.0 * 0.75_f64.ln()).abs() < 1e-15);
        assert!((loss.at(3.0_f64.ln(), 0).1 + 0.25 * 0.25).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn is_continuous_at_phi(gamma in 0.0..6.0_f64, phi in 0.01..0.99_f64, halt_on in 0..2_u8) {
            let loss = halted_focal(Head::Sigmoid, [gamma, 0.25, phi, 1.0, f64::from(halt_on)], &[1, 9]);
            for (class, at) in [(0, log_odds(phi)), (1, if halt_on == 1 { -log_odds(phi) } else { log_odds(phi) })] {
                let (below, above) = (loss.at(at - 1e-9, class).0, loss.at(at + 1e-9, class).0);
                prop_assert!((below - above).abs() < 1e-7, "class {}: {} against {}", class, below, above);
            }
        }

        #[test]
        fn is_focal_loss_without_a_tail_or_with_phi_one(gamma in 0.0..6.0_f64, m in -20.0..20.0_f64) {
            let p = 1.0 / (1.0 + (-m).exp());
            let focal = -(1.0 / (1.0 + m.exp())).powf(gamma) * p.ln();
            for (phi, tail) in [(0.5, 0.0), (1.0, 1.0)] {
                let loss = halted_focal(Head::Softmax, [gamma, 1.0, phi, tail, 0.0], &[3, 1]).at(m, 1).0;
                prop_assert!((loss - focal).abs() < 1e-12 * (1.0 + focal));
            }
        }
    }
}
