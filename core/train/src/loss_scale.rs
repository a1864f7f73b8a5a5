//! The factor on the loss that keeps gradients in float16 from vanishing (Micikevicius et al. 2018, "Mixed precision
//! training", section 3.2).

use serde::{Deserialize, Serialize};

use crate::exact::Exact;

/// Steps without overflow after which the factor doubles.
const PATIENCE: u64 = 2000;

/// A factor that halves when gradients overflow and doubles after 2,000 steps in which none did, as that of PyTorch's
/// `GradScaler`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: Exact,
    good: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: Exact(65_536.0), good: 0 }
    }
}

impl LossScale {
    /// What the loss is multiplied by, a power of two.
    pub fn factor(&self) -> f64 {
        self.factor.0
    }

    /// Takes in whether the gradients of a step were finite. Returns `false` where the factor is so small already that
    /// not it but the gradients are too large.
    pub fn observe(&mut self, finite: bool) -> bool {
        if finite {
            self.good += 1;
            if self.good == PATIENCE {
                *self = Self { factor: Exact(self.factor.0 * 2.0), good: 0 };
            }
            return true;
        }
        *self = Self { factor: Exact(self.factor.0 / 2.0), good: 0 };
        self.factor.0 >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_on_overflow_doubles_with_patience_and_gives_up_below_one() {
        let mut scale = LossScale::default();
        assert!(scale.observe(false));
        assert_eq!(scale.factor(), 32_768.0);
        assert!((0..1999).all(|_| scale.observe(true)));
        assert_eq!(scale.factor(), 32_768.0);
        assert!(scale.observe(true));
        assert_eq!(scale.factor(), 65_536.0);
        assert!((0..16).all(|_| scale.observe(false)));
        assert_eq!(scale.factor(), 1.0);
        assert!(!scale.observe(false));
    }
}
