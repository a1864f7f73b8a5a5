//! Rows of float32 lanes, compiled once for each instruction set.

use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::isa::ROUND;
#[cfg(target_arch = "x86_64")]
pub use crate::isa::{Avx2, Avx512};
pub use crate::isa::{Baseline, Isa, LANES, OneClass};
use crate::real::PerClassTable;
use crate::{LogOdds, Real};

/// Runs `$body` with `$isa` naming the best instruction set of this processor, compiled for that set.
#[doc(hidden)]
#[macro_export]
macro_rules! dispatch_isa {
    ($(#[$meta:meta])* unsafe fn $name:ident $($rest:tt)*) => {
        $crate::dispatch_isa! { @make [unsafe] [$(#[$meta])*] $name $($rest)* }
    };
    ($(#[$meta:meta])* fn $name:ident $($rest:tt)*) => {
        $crate::dispatch_isa! { @make [] [$(#[$meta])*] $name $($rest)* }
    };
    (@make [$($unsafe:tt)?] [$(#[$meta:meta])*] $name:ident $(<$generic:ident: $bound:path>)? ($($arg:ident: $type:ty),* $(,)?) -> $out:ty, $isa:ident => $body:expr) => {
        $(#[$meta])*
        #[inline]
        pub(crate) $($unsafe)? fn $name $(<$generic: $bound>)? ($($arg: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx2,fma")]
                $($unsafe)? fn avx512 $(<$generic: $bound>)? ($($arg: $type),*) -> $out {
                    type $isa = $crate::lanes::Avx512;
                    $body
                }
                #[target_feature(enable = "avx2,fma")]
                $($unsafe)? fn avx2 $(<$generic: $bound>)? ($($arg: $type),*) -> $out {
                    type $isa = $crate::lanes::Avx2;
                    $body
                }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the instructions, as just asked; the rest is the caller's promise.
                    return unsafe { avx512 $(::<$generic>)? ($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: as above.
                    return unsafe { avx2 $(::<$generic>)? ($($arg),*) };
                }
            }
            type $isa = $crate::lanes::Baseline;
            $body
        }
    };
}

/// [`LANES`] float32 numbers.
#[derive(Clone, Copy, Debug)]
pub struct Lanes<I: Isa>(I::Vector, PhantomData<I>);

impl<I: Isa> Lanes<I> {
    #[inline(always)]
    fn of(vector: I::Vector) -> Self {
        Self(vector, PhantomData)
    }

    #[inline(always)]
    pub fn new(values: [f32; LANES]) -> Self {
        Self::of(I::from_array(values))
    }

    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Self::of(I::splat(value))
    }

    #[inline(always)]
    pub fn to_array(self) -> [f32; LANES] {
        I::to_array(self.0)
    }

    /// # Safety
    /// `from` must be valid for reading `LANES` numbers; no alignment is asked for.
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self::new(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    /// # Safety
    /// `to` must be valid for writing `LANES` numbers; no alignment is asked for.
    #[inline(always)]
    pub unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.to_array()) }
    }

    /// `self · factor + addend`, fused where that is one instruction.
    #[inline(always)]
    pub fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self::of(I::mul_add(self.0, factor.0, addend.0))
    }

    /// The larger of each pair; a NaN in `self` stays.
    #[inline(always)]
    pub fn max(self, rhs: Self) -> Self {
        Self::of(I::max(self.0, rhs.0))
    }

    /// The smaller of each pair; a NaN in `self` stays.
    #[inline(always)]
    pub fn min(self, rhs: Self) -> Self {
        Self::of(I::min(self.0, rhs.0))
    }

    #[inline(always)]
    pub fn largest(self) -> f32 {
        let mut width = LANES / 2;
        let mut lanes = self.to_array();
        while width > 0 {
            for i in 0..width {
                lanes[i] = if lanes[i] < lanes[i + width] { lanes[i + width] } else { lanes[i] };
            }
            width /= 2;
        }
        lanes[0]
    }

    #[inline(always)]
    pub fn sum(self) -> f32 {
        let mut width = LANES / 2;
        let mut lanes = self.to_array();
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        lanes[0]
    }

    /// `e^self` to within 2 units in the last place; 0 below −104, infinite above 88.73, NaN for NaN.
    ///
    /// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`, a polynomial for `e^r`, and 2ⁿ, with results below the smallest normal
    /// number rounded and not lost.
    #[inline(always)]
    pub fn exp(self) -> Self {
        let x = self.max(Self::splat(-104.0)).min(Self::splat(89.0));
        let shifted = x.mul_add(Self::splat(std::f32::consts::LOG2_E), Self::splat(ROUND));
        let n = shifted - Self::splat(ROUND);
        let r = n.mul_add(Self::splat(-0.693_145_75), x);
        let r = n.mul_add(Self::splat(-1.428_606_8e-6), r);
        let poly = Self::splat(1.388_889e-3)
            .mul_add(r, Self::splat(8.333_453e-3))
            .mul_add(r, Self::splat(4.166_663_5e-2))
            .mul_add(r, Self::splat(0.166_666_65))
            .mul_add(r, Self::splat(0.5))
            .mul_add(r, Self::splat(1.0))
            .mul_add(r, Self::splat(1.0));
        Self::of(I::scale(poly.0, n.0))
    }

    /// `log self` for positive normal lanes: `e·log 2 + 2·atanh((f − 1)/(f + 1))` for `self = f·2^e`.
    #[inline(always)]
    fn ln(self) -> Self {
        let (f, e) = I::split(self.0);
        let (f, e) = (Self::of(f), Self::of(e));
        let s = (f - Self::splat(1.0)) / (f + Self::splat(1.0));
        let square = s * s;
        // Minimax for s² up to ((√2 − 1)/(√2 + 1))²; its error is below 2e-9 of the value.
        let poly = Self::splat(0.299_257_8)
            .mul_add(square, Self::splat(0.399_747_9))
            .mul_add(square, Self::splat(0.666_668_2))
            .mul_add(square, Self::splat(2.0));
        // log 2 in two parts, of which the first times any exponent is exact.
        let low = e.mul_add(Self::splat(1.428_606_8e-6), s * poly);
        e.mul_add(Self::splat(0.693_145_75), low)
    }

    /// `log(1 + t)` and `1/(1 + t)` for `t = self` in 0…1, of one division; the logarithm is `2·atanh(t / (2 + t))`,
    /// without cancellation for tiny t.
    #[inline(always)]
    fn log_and_inverse_of_one_plus(self) -> (Self, Self) {
        let (one_more, two_more) = (self + Self::splat(1.0), self + Self::splat(2.0));
        let inverse = Self::splat(1.0) / (one_more * two_more);
        let s = self * (inverse * one_more);
        let square = s * s;
        // Minimax for s² up to 1/9; its error is below 8e-9 of the value.
        let poly = Self::splat(0.281_783_34)
            .mul_add(square, Self::splat(0.279_606))
            .mul_add(square, Self::splat(0.400_249_1))
            .mul_add(square, Self::splat(0.666_663_17))
            .mul_add(square, Self::splat(2.0));
        (s * poly, inverse * two_more)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<I: Isa> $trait for Lanes<I> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, rhs: Self) -> Self {
                Self::of(I::$method(self.0, rhs.0))
            }
        }
        impl<I: Isa> $trait<f64> for Lanes<I> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, rhs: f64) -> Self {
                self.$method(Self::splat(rhs as f32))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl<I: Isa> Neg for Lanes<I> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::of(I::neg(self.0))
    }
}

impl<I: Isa> Real for Lanes<I> {
    type Index = [u32; LANES];

    #[inline(always)]
    fn constant(value: f64) -> Self {
        Self::splat(value as f32)
    }

    #[inline(always)]
    fn lookup(table: &PerClassTable, index: Self::Index) -> Self {
        if I::ONE_CLASS {
            return Self::splat(table.f32[index[0] as usize]);
        }
        Self::new(index.map(|class| table.f32[class as usize]))
    }

    #[inline(always)]
    fn exp(self) -> Self {
        Lanes::exp(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        Lanes::ln(self)
    }

    #[inline(always)]
    fn product_plus(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }

    #[inline(always)]
    fn select_greater(self, threshold: Self, then: Self, otherwise: Self) -> Self {
        Self::of(I::select_greater(self.0, threshold.0, then.0, otherwise.0))
    }

    #[inline(always)]
    fn log_odds(self) -> LogOdds<Self> {
        let zero = Self::splat(0.0);
        let tail = (-Self::of(I::abs(self.0))).exp();
        let (log_sum, larger) = tail.log_and_inverse_of_one_plus();
        let smaller = tail * larger;
        LogOdds {
            m: self,
            log_p: self.min(zero) - log_sum,
            log_not_p: -self.max(zero) - log_sum,
            p: self.select_greater(zero, larger, smaller),
            not_p: self.select_greater(zero, smaller, larger),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative_error(got: f32, want: f64) -> f64 {
        (f64::from(got) - want).abs() / want.abs().max(f64::from(f32::MIN_POSITIVE))
    }

    #[test]
    fn exp_is_within_three_units_in_the_last_place() {
        let mut worst = 0.0_f64;
        for step in 0..400_000 {
            let x = -100.0 + step as f32 * 188.0 / 400_000.0;
            let got = Lanes::<Baseline>::splat(x).exp().to_array()[0];
            worst = worst.max(relative_error(got, f64::from(x).exp()));
        }
        assert!(worst < 3.0 * f64::from(f32::EPSILON), "{worst}");
    }

    #[test]
    fn ln_is_that_of_float64() {
        for step in 1..400_000 {
            // 1e-36 to 1e36, and closely around 1.
            for x in [(step as f32 * 4.15e-4 - 83.0).exp(), 0.5 + step as f32 * 2.5e-6] {
                let (got, want) = (Lanes::<Baseline>::splat(x).ln().to_array()[5], f64::from(x).ln());
                let bound = 3e-7 * want.abs() + 6e-8 * (f64::from(x) - 1.0).abs().min(1.0);
                assert!((f64::from(got) - want).abs() <= bound, "log {x}: {got} against {want}");
            }
        }
    }

    #[test]
    fn exp_keeps_nan_and_the_ends() {
        let exp = |x| Lanes::<Baseline>::splat(x).exp().to_array()[0];
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn log_odds_agree_with_float64() {
        for step in -4000..=4000 {
            let m = step as f32 * 0.02;
            let got = Lanes::<Baseline>::splat(m).log_odds();
            let want = f64::from(m).log_odds();
            for (got, want) in [
                (got.log_p.to_array()[3], want.log_p),
                (got.log_not_p.to_array()[3], want.log_not_p),
                (got.p.to_array()[3], want.p),
                (got.not_p.to_array()[3], want.not_p),
            ] {
                assert!(relative_error(got, want) < 6e-7, "m = {m}: {got} against {want}");
            }
        }
    }

    /// Everything that a formula may do, in one number a lane.
    #[inline(always)]
    fn everything<I: Isa>(m: [f32; LANES]) -> [f32; LANES] {
        let m = Lanes::<I>::new(m);
        let of = m.log_odds();
        let sum = of.log_p * of.p + of.log_not_p / (of.not_p + 1.5) - m.min(Lanes::splat(2.0)) * 0.25;
        let chosen = m.select_greater(Lanes::splat(0.5), (-sum).exp(), sum.max(Lanes::splat(-3.0)));
        chosen.mul_add(of.p, m + (of.p + Lanes::splat(0.01)).ln()).to_array()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_instruction_set_computes_the_same() {
        #[target_feature(enable = "avx2,fma")]
        fn avx2(m: [f32; LANES]) -> [f32; LANES] {
            everything::<Avx2>(m)
        }
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn avx512(m: [f32; LANES]) -> [f32; LANES] {
            everything::<Avx512>(m)
        }
        for step in -500..500 {
            let m = std::array::from_fn(|lane| step as f32 * 0.17 + lane as f32 * 0.01);
            let baseline = everything::<Baseline>(m);
            let mut others = Vec::new();
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: as just asked.
                others.push(unsafe { avx2(m) });
            }
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: as just asked.
                others.push(unsafe { avx512(m) });
            }
            for other in others {
                for (lane, (&got, &want)) in other.iter().zip(&baseline).enumerate() {
                    assert!((got - want).abs() <= 4e-6 * (1.0 + want.abs()), "m = {}: {got} against {want}", m[lane]);
                }
            }
        }
    }

    #[test]
    fn reductions_cover_every_lane() {
        let lanes = Lanes::<Baseline>::new(std::array::from_fn(|i| i as f32));
        assert_eq!(lanes.sum(), (LANES * (LANES - 1) / 2) as f32);
        for at in 0..LANES {
            let mut values = [-1.0; LANES];
            values[at] = 7.0;
            assert_eq!(Lanes::<Baseline>::new(values).largest(), 7.0);
        }
    }
}
