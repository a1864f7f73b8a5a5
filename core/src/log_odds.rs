//! The log-odds of the true class, and the class itself, as a loss sees them.

use crate::Real;

/// The log-odds `m` of the true class and everything about its likelihood `p = σ(m)`.
///
/// ```text
/// softmax head: m = z_y − logsumexp_{j≠y} z_j      sigmoid head: m = x for a positive, −x for a negative
/// log p = −softplus(−m)      log(1−p) = −softplus(m)
/// ```
///
/// Every value is exact to rounding for every finite `m`: no clamp, no cancellation.
#[derive(Clone, Copy, Debug)]
pub struct LogOdds<R> {
    pub(crate) m: R,
    pub(crate) log_p: R,
    pub(crate) log_not_p: R,
    pub(crate) p: R,
    pub(crate) not_p: R,
}

impl<R: Real> LogOdds<R> {
    /// The log-odds `m` itself.
    #[inline(always)]
    pub fn value(&self) -> R {
        self.m
    }

    /// The likelihood `p` of the true class.
    #[inline(always)]
    pub fn p(&self) -> R {
        self.p
    }

    /// `1 − p`, without cancellation near `p = 1`.
    #[inline(always)]
    pub fn not_p(&self) -> R {
        self.not_p
    }

    /// `log p`.
    #[inline(always)]
    pub fn log_p(&self) -> R {
        self.log_p
    }

    /// `log(1 − p)`, finite for every finite `m`.
    #[inline(always)]
    pub fn log_not_p(&self) -> R {
        self.log_not_p
    }

    /// `p^exponent` as `exp(exponent · log p)`, or as products for 0, 1 and 2.
    #[inline(always)]
    pub fn p_pow(&self, exponent: f64) -> R {
        power(self.p, self.log_p, exponent)
    }

    /// `(1 − p)^exponent` as `exp(exponent · log(1 − p))`, or as products for 0, 1 and 2; its derivative has no pole at
    /// `p = 1` for any exponent.
    #[inline(always)]
    pub fn not_p_pow(&self, exponent: f64) -> R {
        power(self.not_p, self.log_not_p, exponent)
    }
}

/// `base^exponent`. The exponents that people use most need no exponential.
#[inline(always)]
fn power<R: Real>(base: R, log_base: R, exponent: f64) -> R {
    if exponent == 0.0 {
        R::constant(1.0)
    } else if exponent == 1.0 {
        base
    } else if exponent == 2.0 {
        base * base
    } else {
        (log_base * exponent).exp()
    }
}

/// The true class of an example, of each lane at once.
#[derive(Clone, Copy, Debug)]
pub struct Class<R: Real>(pub(crate) R::Index);
