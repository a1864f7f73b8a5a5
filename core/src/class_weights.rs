//! Class weights from the effective number of examples.

use crate::{ClassCounts, LossError, Params, PerClass, RawParam};

/// The effective number of `n` examples, `(1 − βⁿ)/(1 − β)` (Cui et al. 2019, Eq. 2).
///
/// `1 − βⁿ` is computed as `−expm1(n·ln β)`, so that it neither cancels for β near 1 nor for small n.
/// β = 0 gives 1; β → 1 gives n.
pub fn effective_number(n: f64, beta: f64) -> f64 {
    if beta == 0.0 {
        return 1.0;
    }
    -(n * beta.ln()).exp_m1() / (1.0 - beta)
}

/// What the weights `∝ 1/E_c` are scaled to; the paper leaves it open (Eq. 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightScale {
    /// `w_c = (1/E_c)/Σ(1/E)·C`, what the authors' released code does by default.
    SumToClasses,
    /// `w_c / max w`, an earlier default of that code.
    MaxOne,
    /// `mean(E)/E_c`, Eq. 9 to the letter.
    MeanRatio,
}

impl WeightScale {
    /// The parameter that chooses among them.
    pub const PARAM: RawParam = crate::param!(
        "weight-scale": "sum-to-classes" of "sum-to-classes|max-one|mean-ratio",
        "what the class weights 1/E are scaled to: to sum to the number of classes, to a largest of 1, or mean(E)/E"
    );

    /// Reads [`WeightScale::PARAM`].
    ///
    /// # Errors
    /// The loss does not declare the parameter.
    pub fn from_params(params: &Params) -> Result<Self, LossError> {
        Ok(match params.choice("weight-scale")? {
            0 => Self::SumToClasses,
            1 => Self::MaxOne,
            _ => Self::MeanRatio,
        })
    }
}

/// The weights `w_c ∝ 1/E_c`, `[classes]`, at scale `scale`.
///
/// # Errors
/// β outside 0 ≤ β < 1.
pub fn effective_number_weights(classes: &ClassCounts, beta: f64, scale: WeightScale) -> Result<PerClass, LossError> {
    if !(0.0..1.0).contains(&beta) {
        return Err(LossError::new(format!("beta is {beta}, it must be at least 0 and less than 1")));
    }
    let inverse = PerClass::from_counts(classes, |n| 1.0 / effective_number(n, beta));
    let count = classes.len() as f64;
    let factor = match scale {
        WeightScale::SumToClasses => count / inverse.values().iter().sum::<f64>(),
        WeightScale::MaxOne => 1.0 / inverse.values().iter().copied().fold(0.0, f64::max),
        WeightScale::MeanRatio => inverse.values().iter().map(|inverse| 1.0 / inverse).sum::<f64>() / count,
    };
    inverse.scaled(factor).checked("the weight")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIFAR_10_LT_100: [u64; 10] = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50];

    fn weights(beta: f64, scale: WeightScale) -> Vec<f64> {
        let classes = ClassCounts::new(CIFAR_10_LT_100.to_vec()).unwrap();
        effective_number_weights(&classes, beta, scale).unwrap().values().to_vec()
    }

    #[test]
    fn effective_number_by_hand() {
        assert_eq!(effective_number(7.0, 0.0), 1.0);
        // (1 − .9³)/(1 − .9) = .271/.1
        assert!((effective_number(3.0, 0.9) - 2.71).abs() < 1e-12);
        // Towards β = 1 it is n; the naive form has lost every digit here.
        assert!((effective_number(5.0, 1.0 - 1e-15) - 5.0).abs() < 1e-6);
    }

    #[test]
    fn scales_are_what_they_are_called() {
        let sum: f64 = weights(0.9999, WeightScale::SumToClasses).iter().sum();
        assert!((sum - 10.0).abs() < 1e-12);
        let max_one = weights(0.9999, WeightScale::MaxOne);
        assert_eq!(max_one[9], 1.0);
        assert!(max_one.windows(2).all(|pair| pair[0] < pair[1]));
        // The design's figure: Eq. 9 to the letter is 5.4 times the default on CIFAR-10-LT-100 at β = .9999.
        let ratio = weights(0.9999, WeightScale::MeanRatio)[0] / weights(0.9999, WeightScale::SumToClasses)[0];
        assert!((ratio - 5.4).abs() < 0.05, "{ratio}");
    }

    #[test]
    fn beta_zero_is_no_weighting_and_beta_near_one_is_inverse_frequency() {
        assert_eq!(weights(0.0, WeightScale::SumToClasses), vec![1.0; 10]);
        let mean = CIFAR_10_LT_100.iter().sum::<u64>() as f64 / 10.0;
        for (weight, count) in weights(1.0 - 1e-12, WeightScale::MeanRatio).iter().zip(CIFAR_10_LT_100) {
            assert!((weight / (mean / count as f64) - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn beta_one_is_refused() {
        let classes = ClassCounts::new(vec![1, 2]).unwrap();
        assert!(effective_number_weights(&classes, 1.0, WeightScale::MaxOne).is_err());
    }
}
