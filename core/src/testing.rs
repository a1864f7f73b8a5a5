//! Checks that a loss's own tests call: its derivative against finite differences.

use crate::dual::Dual;
use crate::{Class, ClassCounts, Head, ImbalanceLoss, LossError, Params, Real};

/// `T` made from `params` and `counts` `[classes]`, evaluated in float64.
pub struct Evaluated<T>(T);

impl<T: ImbalanceLoss> Evaluated<T> {
    /// Makes the loss; parameters that are not named here are missing, not defaulted.
    ///
    /// # Errors
    /// Those of the loss's constructor.
    pub fn new(params: &[(&str, f64)], counts: &[u64]) -> Result<Self, LossError> {
        let (names, values) = params.iter().map(|&(name, value)| (name.to_owned(), value)).unzip();
        T::new(&Params::new(names, values, Head::Softmax), &ClassCounts::new(counts.to_vec())?).map(Self)
    }

    /// ℓ(m, class) and ℓ'(m, class).
    pub fn at(&self, m: f64, class: u32) -> (f64, f64) {
        let value = self.0.pointwise(Dual::variable(m).log_odds(), Class(class));
        (value.value, value.slope)
    }

    /// Checks, at 641 log-odds from −80 to 80, that loss and slope are finite and that the slope is
    /// the central difference of the loss to within `1e-6·(1 + |ℓ'|)`. `kinks` are log-odds where the
    /// slope may jump; nothing is compared across them.
    ///
    /// # Errors
    /// The first point that fails, with both numbers.
    pub fn check_slope(&self, class: u32, kinks: &[f64]) -> Result<(), String> {
        let h = 1e-5;
        for step in -320..=320 {
            let m = f64::from(step) * 0.25;
            let (loss, slope) = self.at(m, class);
            if !loss.is_finite() || !slope.is_finite() {
                return Err(format!("class {class}, log-odds {m}: loss {loss}, slope {slope}"));
            }
            if kinks.iter().any(|kink| (kink - m).abs() <= 2.0 * h) {
                continue;
            }
            let difference = (self.at(m + h, class).0 - self.at(m - h, class).0) / (2.0 * h);
            if (difference - slope).abs() > 1e-6 * (1.0 + slope.abs()) {
                return Err(format!("class {class}, log-odds {m}: slope {slope}, finite difference {difference}"));
            }
        }
        Ok(())
    }
}
