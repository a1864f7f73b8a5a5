//! The numbers a loss formula is written over.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::LogOdds;

/// A number of a loss formula: one `f64`, a row of SIMD lanes, or either of them with its derivative.
///
/// A loss writes its formula once over `R: Real`; the host picks the number it needs. Constants stand
/// on the right: `x * 2.0`, `x + 1.0`.
pub trait Real:
    Copy
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
{
    /// How a class is named beside this number: one id, or one id a lane.
    type Index: Copy;

    /// The same constant in every lane, with derivative 0.
    fn constant(value: f64) -> Self;

    /// The entry of each lane's class in a per-class table, with derivative 0.
    fn lookup(table: &PerClassTable, index: Self::Index) -> Self;

    /// `e^self`.
    fn exp(self) -> Self;

    /// `log self`, for positive numbers that are not denormal. Logarithms of p and 1 − p are in [`LogOdds`], exact where
    /// those vanish.
    fn ln(self) -> Self;

    /// `self · factor + addend`, in one instruction where there is one.
    #[inline(always)]
    fn product_plus(self, factor: Self, addend: Self) -> Self {
        self * factor + addend
    }

    /// `then` where `self > threshold`, else `otherwise`, lane by lane. The derivative is that of the chosen side.
    fn select_greater(self, threshold: Self, then: Self, otherwise: Self) -> Self;

    /// p, 1 − p and their logarithms for `self` as log-odds, each by a form that neither overflows nor
    /// cancels for any finite value.
    fn log_odds(self) -> LogOdds<Self>;
}

/// A value a class in both precisions, so that no evaluation converts in its inner loop.
#[derive(Clone, Debug, PartialEq)]
pub struct PerClassTable {
    pub(crate) f64: Vec<f64>,
    pub(crate) f32: Vec<f32>,
}

impl PerClassTable {
    pub(crate) fn new(values: Vec<f64>) -> Self {
        let f32 = values.iter().map(|&value| value as f32).collect();
        Self { f64: values, f32 }
    }
}

impl Real for f64 {
    type Index = u32;

    #[inline(always)]
    fn constant(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn lookup(table: &PerClassTable, index: u32) -> Self {
        table.f64[index as usize]
    }

    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn ln(self) -> Self {
        self.ln()
    }

    #[inline(always)]
    fn select_greater(self, threshold: Self, then: Self, otherwise: Self) -> Self {
        if self > threshold { then } else { otherwise }
    }

    #[inline(always)]
    fn log_odds(self) -> LogOdds<Self> {
        let tail = (-self.abs()).exp();
        let log_sum = tail.ln_1p();
        let larger = 1.0 / (1.0 + tail);
        let smaller = tail / (1.0 + tail);
        let (p, not_p) = if self > 0.0 { (larger, smaller) } else { (smaller, larger) };
        LogOdds { m: self, log_p: self.min(0.0) - log_sum, log_not_p: -self.max(0.0) - log_sum, p, not_p }
    }
}
