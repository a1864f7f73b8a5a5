//! Sixteen float32 lanes, compiled once for each instruction set.

use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::real::PerClassTable;
use crate::{LogOdds, Real};

/// Lanes a row: one AVX-512 register, two of AVX2, four of the baseline.
pub const LANES: usize = 16;

/// An instruction set that the lanes are compiled for.
///
/// Being a type of its own, each set gives formulas of its own, which the compiler can inline into
/// the function that enables the set's instructions.
pub trait Isa: Copy + 'static {
    /// Whether `a·b + c` is one instruction; without it, a fused product is a slow library call.
    const FUSED: bool;

    /// Whether all lanes are of one class.
    const ONE_CLASS: bool = false;

    /// `mantissa · 2^n` for whole `n` in −151…129, rounded once; `n + ROUND` in `shifted` holds `n` in its low bits.
    #[inline(always)]
    fn scale(mantissa: [f32; LANES], _n: [f32; LANES], shifted: [f32; LANES]) -> [f32; LANES] {
        let mut out = mantissa;
        for (lane, shifted) in out.iter_mut().zip(shifted) {
            let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
            // In two factors, so that results below the smallest normal number round instead of vanishing.
            let half = n >> 1;
            let first = f32::from_bits(((half + 127) << 23) as u32);
            let second = f32::from_bits(((n - half + 127) << 23) as u32);
            *lane = *lane * first * second;
        }
        out
    }
}

/// Adding it to a float32 rounds to an integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// What every processor of the target has.
#[derive(Clone, Copy, Debug)]
pub struct Baseline;
/// AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;
/// AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub struct Avx512;

impl Isa for Baseline {
    const FUSED: bool = false;
}
impl Isa for Avx2 {
    const FUSED: bool = true;
}
impl Isa for Avx512 {
    const FUSED: bool = true;

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn scale(mantissa: [f32; LANES], n: [f32; LANES], _shifted: [f32; LANES]) -> [f32; LANES] {
        use std::arch::x86_64::{__m512, _mm512_scalef_ps};
        // SAFETY: arrays of sixteen float32 are what the registers hold, and code for this set runs only where
        // `dispatch_isa!` found its instructions.
        unsafe {
            let scaled = _mm512_scalef_ps(
                std::mem::transmute::<[f32; LANES], __m512>(mantissa),
                std::mem::transmute::<[f32; LANES], __m512>(n),
            );
            std::mem::transmute::<__m512, [f32; LANES]>(scaled)
        }
    }
}

/// The instruction set `I`, for lanes that are all of one class.
#[derive(Clone, Copy, Debug)]
pub struct OneClass<I>(PhantomData<I>);

impl<I: Isa> Isa for OneClass<I> {
    const FUSED: bool = I::FUSED;
    const ONE_CLASS: bool = true;

    #[inline(always)]
    fn scale(mantissa: [f32; LANES], n: [f32; LANES], shifted: [f32; LANES]) -> [f32; LANES] {
        I::scale(mantissa, n, shifted)
    }
}

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

/// Sixteen float32 numbers.
#[derive(Clone, Copy, Debug)]
pub struct Lanes<I>(pub [f32; LANES], PhantomData<I>);

impl<I: Isa> Lanes<I> {
    #[inline(always)]
    pub fn new(values: [f32; LANES]) -> Self {
        Self(values, PhantomData)
    }

    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Self::new([value; LANES])
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
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        let mut out = self.0;
        for lane in &mut out {
            *lane = f(*lane);
        }
        Self::new(out)
    }

    #[inline(always)]
    fn zip(self, rhs: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self.0;
        for (lane, rhs) in out.iter_mut().zip(rhs.0) {
            *lane = f(*lane, rhs);
        }
        Self::new(out)
    }

    /// `self · factor + addend`, fused where that is one instruction.
    #[inline(always)]
    pub fn mul_add(self, factor: Self, addend: Self) -> Self {
        let mut out = self.0;
        for ((lane, factor), addend) in out.iter_mut().zip(factor.0).zip(addend.0) {
            *lane = if I::FUSED { lane.mul_add(factor, addend) } else { *lane * factor + addend };
        }
        Self::new(out)
    }

    /// The larger of each pair; a NaN in `self` stays.
    #[inline(always)]
    pub fn max(self, rhs: Self) -> Self {
        self.zip(rhs, |a, b| if a < b { b } else { a })
    }

    /// The smaller of each pair; a NaN in `self` stays.
    #[inline(always)]
    pub fn min(self, rhs: Self) -> Self {
        self.zip(rhs, |a, b| if a > b { b } else { a })
    }

    #[inline(always)]
    pub fn largest(self) -> f32 {
        let mut width = LANES / 2;
        let mut lanes = self.0;
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
        let mut lanes = self.0;
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
    /// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`, a polynomial for `e^r`, and 2ⁿ in two factors so that
    /// results below the smallest normal number round instead of vanishing.
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
        Self::new(I::scale(poly.0, n.0, shifted.0))
    }

    /// `log(1 + t)` and `1/(1 + t)` for `t = self` in 0…1, of one division; the logarithm is `2·atanh(t / (2 + t))`,
    /// without cancellation for tiny t.
    #[inline(always)]
    fn log_and_inverse_of_one_plus(self) -> (Self, Self) {
        let (one_more, two_more) = (self + Self::splat(1.0), self + Self::splat(2.0));
        let inverse = Self::splat(1.0) / (one_more * two_more);
        let s = self * (inverse * one_more);
        let square = s * s;
        let poly = Self::splat(2.0 / 15.0)
            .mul_add(square, Self::splat(2.0 / 13.0))
            .mul_add(square, Self::splat(2.0 / 11.0))
            .mul_add(square, Self::splat(2.0 / 9.0))
            .mul_add(square, Self::splat(2.0 / 7.0))
            .mul_add(square, Self::splat(2.0 / 5.0))
            .mul_add(square, Self::splat(2.0 / 3.0))
            .mul_add(square, Self::splat(2.0));
        (s * poly, inverse * two_more)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:tt) => {
        impl<I: Isa> $trait for Lanes<I> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, rhs: Self) -> Self {
                self.zip(rhs, |a, b| a $op b)
            }
        }
        impl<I: Isa> $trait<f64> for Lanes<I> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, rhs: f64) -> Self {
                self.map(|a| a $op rhs as f32)
            }
        }
    };
}
operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

impl<I: Isa> Neg for Lanes<I> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(|a| -a)
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
    fn product_plus(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }

    #[inline(always)]
    fn select_greater(self, threshold: Self, then: Self, otherwise: Self) -> Self {
        let mut out = otherwise.0;
        for (((out, x), threshold), then) in out.iter_mut().zip(self.0).zip(threshold.0).zip(then.0) {
            *out = if x > threshold { then } else { *out };
        }
        Self::new(out)
    }

    #[inline(always)]
    fn log_odds(self) -> LogOdds<Self> {
        let zero = Self::splat(0.0);
        let tail = self.map(|a| -a.abs()).exp();
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
            let got = Lanes::<Baseline>::splat(x).exp().0[0];
            worst = worst.max(relative_error(got, f64::from(x).exp()));
        }
        assert!(worst < 3.0 * f64::from(f32::EPSILON), "{worst}");
    }

    #[test]
    fn exp_keeps_nan_and_the_ends() {
        let exp = |x| Lanes::<Baseline>::splat(x).exp().0[0];
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
                (got.log_p.0[3], want.log_p),
                (got.log_not_p.0[3], want.log_not_p),
                (got.p.0[3], want.p),
                (got.not_p.0[3], want.not_p),
            ] {
                assert!(relative_error(got, want) < 6e-7, "m = {m}: {got} against {want}");
            }
        }
    }

    #[test]
    fn reductions_cover_every_lane() {
        let lanes = Lanes::<Baseline>::new(std::array::from_fn(|i| i as f32));
        assert_eq!(lanes.sum(), 120.0);
        for at in 0..LANES {
            let mut values = [-1.0; LANES];
            values[at] = 7.0;
            assert_eq!(Lanes::<Baseline>::new(values).largest(), 7.0);
        }
    }
}
