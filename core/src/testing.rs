//! What a loss's own tests call: its values in float64, and its derivative against finite differences.

use crate::dual::Dual;
use crate::{Class, ClassCounts, Head, ImbalanceLoss, LogitAdjustment, LossError, Params, PerClass, Real};

/// `T` made from `params` and `counts` `[classes]`, evaluated in float64.
pub struct Evaluated<T>(T);

impl<T: ImbalanceLoss> Evaluated<T> {
    /// Makes the loss for a softmax head; parameters that are not named here are missing, not defaulted.
    ///
    /// # Errors
    /// Those of the loss's constructor.
    pub fn new(params: &[(&str, f64)], counts: &[u64]) -> Result<Self, LossError> {
        Self::on(Head::Softmax, params, counts)
    }

    /// Makes the loss for `head`. On a sigmoid head the last class is the background.
    ///
    /// # Errors
    /// Those of the loss's constructor.
    pub fn on(head: Head, params: &[(&str, f64)], counts: &[u64]) -> Result<Self, LossError> {
        let (names, values) = params.iter().map(|&(name, value)| (name.to_owned(), value)).unzip();
        T::new(&Params::new(names, values, head), &ClassCounts::new(counts.to_vec())?).map(Self)
    }

    /// What the loss does to the logits.
    pub fn adjustment(&self) -> LogitAdjustment {
        self.0.adjustment()
    }

    /// The loss of one example of a softmax head, from its logits by way of the adjustment, and its gradient.
    ///
    /// # Shapes
    /// - `logits`, the gradient: `[classes]`, at least two
    pub fn of_logits(&self, logits: &[f64], class: u32) -> (f64, Vec<f64>) {
        let adjustment = self.0.adjustment();
        let (of, y) =
            (|table: &Option<PerClass>, c, or| table.as_ref().map_or(or, |table| table.values()[c]), class as usize);
        let margin = |c| if c == y { of(&adjustment.margin, c, 0.0) } else { 0.0 };
        let scale = |c| of(&adjustment.scale, c, 1.0);
        let adjusted: Vec<f64> =
            (0..logits.len()).map(|c| scale(c) * logits[c] + of(&adjustment.bias, c, 0.0) - margin(c)).collect();
        let others = || adjusted.iter().enumerate().filter(|&(c, _)| c != y).map(|(_, logit)| *logit);
        let largest = others().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = others().map(|logit| (logit - largest).exp()).sum();
        let (loss, slope) = self.at(adjusted[y] - largest - sum.ln(), class);
        let (smoothing, classes) = (adjustment.smoothing, adjusted.len() as f64);
        let mean = adjusted.iter().sum::<f64>() / classes;
        let gradient = adjusted.iter().enumerate().map(|(c, logit)| {
            let through_m = if c == y { slope + smoothing } else { -slope * (logit - largest).exp() / sum };
            scale(c) * (through_m - smoothing / classes)
        });
        (loss + smoothing * (adjusted[y] - mean), gradient.collect())
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
