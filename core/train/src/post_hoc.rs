//! Logit adjustment after training.

use imbalance_core::ClassCounts;

/// What is added to the logit of each class at prediction time so that a model trained on imbalanced data predicts as if
/// the classes were balanced (Menon et al. 2021, "Long-tail learning via logit adjustment", Eq. 9):
///
/// ```text
/// −τ · log π_c,    π_c = n_c / Σ n
/// ```
///
/// τ = 0 changes nothing, τ = 1 is the balanced prediction of a calibrated model. A class without training examples
/// counts as one, the rarest that there is.
///
/// # Shapes
/// - output: `[classes]`
pub fn post_hoc_bias(counts: &ClassCounts, tau: f64) -> Vec<f32> {
    let total: f64 = counts.seen().sum();
    counts.seen().map(|n| (tau * (total / n).ln()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // π = .9, .09, .01, the last class unseen; ½·ln(1/.9), ½·ln(1/.09), ½·ln 100 = ln 10.
        let counts = ClassCounts::new(vec![90, 9, 0]).unwrap();
        let expected = [0.052_680_26, 1.203_972_8, std::f32::consts::LN_10];
        for (found, expected) in post_hoc_bias(&counts, 0.5).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(post_hoc_bias(&counts, 0.0), [0.0; 3]);
    }

    #[test]
    fn at_one_it_takes_the_prior_out_of_a_calibrated_model() {
        // p(c | x) ∝ p(x | c)·π_c with p(x | c) = .2, .3: the balanced posterior is .4, .6.
        let counts = ClassCounts::new(vec![950, 50]).unwrap();
        let bias = post_hoc_bias(&counts, 1.0);
        let adjusted = [(0.2f64 * 0.95).ln() + f64::from(bias[0]), (0.3f64 * 0.05).ln() + f64::from(bias[1])];
        let share = adjusted[1].exp() / (adjusted[0].exp() + adjusted[1].exp());
        assert!((share - 0.6).abs() < 1e-6, "{share}");
    }
}
