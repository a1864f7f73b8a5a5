//! A number with its derivative by the log-odds: forward differentiation.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::real::PerClassTable;
use crate::{LogOdds, Real};

/// `value` and its derivative `slope` by the log-odds.
#[derive(Clone, Copy, Debug)]
pub struct Dual<R> {
    pub value: R,
    pub slope: R,
}

impl<R: Real> Dual<R> {
    /// The variable of differentiation: slope 1.
    #[inline(always)]
    pub fn variable(value: R) -> Self {
        Self { value, slope: R::constant(1.0) }
    }
}

impl<R: Real> Neg for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { value: -self.value, slope: -self.slope }
    }
}

impl<R: Real> Add for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        Self { value: self.value + rhs.value, slope: self.slope + rhs.slope }
    }
}

impl<R: Real> Sub for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        Self { value: self.value - rhs.value, slope: self.slope - rhs.slope }
    }
}

impl<R: Real> Mul for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, rhs: Self) -> Self {
        Self { value: self.value * rhs.value, slope: self.slope.product_plus(rhs.value, self.value * rhs.slope) }
    }
}

impl<R: Real> Div for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn div(self, rhs: Self) -> Self {
        let value = self.value / rhs.value;
        Self { value, slope: (self.slope - value * rhs.slope) / rhs.value }
    }
}

impl<R: Real> Add<f64> for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn add(self, rhs: f64) -> Self {
        Self { value: self.value + rhs, slope: self.slope }
    }
}

impl<R: Real> Sub<f64> for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, rhs: f64) -> Self {
        Self { value: self.value - rhs, slope: self.slope }
    }
}

impl<R: Real> Mul<f64> for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, rhs: f64) -> Self {
        Self { value: self.value * rhs, slope: self.slope * rhs }
    }
}

impl<R: Real> Div<f64> for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn div(self, rhs: f64) -> Self {
        Self { value: self.value / rhs, slope: self.slope / rhs }
    }
}

impl<R: Real> Real for Dual<R> {
    type Index = R::Index;

    #[inline(always)]
    fn constant(value: f64) -> Self {
        Self { value: R::constant(value), slope: R::constant(0.0) }
    }

    #[inline(always)]
    fn lookup(table: &PerClassTable, index: Self::Index) -> Self {
        Self { value: R::lookup(table, index), slope: R::constant(0.0) }
    }

    #[inline(always)]
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, slope: self.slope * value }
    }

    #[inline(always)]
    fn ln(self) -> Self {
        Self { value: self.value.ln(), slope: self.slope / self.value }
    }

    #[inline(always)]
    fn select_greater(self, threshold: Self, then: Self, otherwise: Self) -> Self {
        Self {
            value: self.value.select_greater(threshold.value, then.value, otherwise.value),
            slope: self.value.select_greater(threshold.value, then.slope, otherwise.slope),
        }
    }

    #[inline(always)]
    fn log_odds(self) -> LogOdds<Self> {
        let of = self.value.log_odds();
        let p_slope = of.p * of.not_p * self.slope;
        LogOdds {
            m: self,
            log_p: Self { value: of.log_p, slope: of.not_p * self.slope },
            log_not_p: Self { value: of.log_not_p, slope: -(of.p * self.slope) },
            p: Self { value: of.p, slope: p_slope },
            not_p: Self { value: of.not_p, slope: -p_slope },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A formula that uses every operation, against central differences.
    #[test]
    fn every_operation_has_the_derivative_of_its_differences() {
        fn formula<R: Real>(m: R) -> R {
            let of = m.log_odds();
            let ratio = (of.p() * 3.0 + 0.5) / (of.not_p() + 1.0) - of.log_p() * of.log_not_p();
            let powered = of.p_pow(1.7) - of.not_p_pow(0.5) / 2.0;
            ratio + (of.p() + 0.01).ln() + m.select_greater(R::constant(0.25), powered, -powered * of.value()) - 0.125
        }
        for step in -40..=40 {
            let m = f64::from(step) * 0.5 + 0.1;
            let h = 1e-6;
            let difference = (formula(m + h) - formula(m - h)) / (2.0 * h);
            let slope = formula(Dual::variable(m)).slope;
            assert!((difference - slope).abs() < 1e-7 * (1.0 + slope.abs()), "m = {m}: {difference} against {slope}");
        }
    }
}
