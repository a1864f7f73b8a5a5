//! The instruction sets that lanes are compiled for.
//!
//! The operations are the sets' own instructions: left to itself, the compiler makes good vectors of loops over lanes for
//! one formula and scalar code for the next.

use std::fmt::Debug;
use std::marker::PhantomData;

/// Lanes a row: four AVX-512 registers, eight of AVX2. Operations of several registers side by side hide each other's
/// latency; with one or two, formulas run at half the speed.
pub const LANES: usize = 64;

/// Adding it to a float32 rounds to an integer, which then stands in the low bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// The bits of √½.
const ROOT_HALF: i32 = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;

/// An instruction set. Being a type of its own, each gives formulas of its own, which the compiler can inline into the
/// function that enables the set's instructions.
///
/// Nothing here may run where the processor lacks the set: `dispatch_isa!` alone names the sets.
pub trait Isa: Copy + 'static {
    /// [`LANES`] numbers.
    type Vector: Copy + Debug;
    /// Whether all lanes are of one class.
    const ONE_CLASS: bool = false;

    fn from_array(values: [f32; LANES]) -> Self::Vector;
    fn to_array(vector: Self::Vector) -> [f32; LANES];
    fn splat(value: f32) -> Self::Vector;
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b + c`, rounded once where the set can.
    fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger; `a` where either is NaN.
    fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller; `a` where either is NaN.
    fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn neg(a: Self::Vector) -> Self::Vector;
    fn abs(a: Self::Vector) -> Self::Vector;
    /// `then` where `a > b`, else `otherwise`.
    fn select_greater(a: Self::Vector, b: Self::Vector, then: Self::Vector, otherwise: Self::Vector) -> Self::Vector;
    /// `(f, e)` with `a = f · 2^e`, `√½ ≤ f < √2` and whole `e`, for positive normal `a`.
    fn split(a: Self::Vector) -> (Self::Vector, Self::Vector);
    /// `mantissa · 2^n` for whole `n` in −151…129. Sets without an instruction for it take two factors, so that results
    /// below the smallest normal number round instead of vanishing.
    fn scale(mantissa: Self::Vector, n: Self::Vector) -> Self::Vector;
}

/// The instruction set `I`, for lanes that are all of one class.
#[derive(Clone, Copy, Debug)]
pub struct OneClass<I>(PhantomData<I>);

macro_rules! forward {
    ($($name:ident($($arg:ident),*);)*) => {
        $(#[inline(always)]
        fn $name($($arg: I::Vector),*) -> I::Vector {
            I::$name($($arg),*)
        })*
    };
}

impl<I: Isa> Isa for OneClass<I> {
    type Vector = I::Vector;
    const ONE_CLASS: bool = true;

    #[inline(always)]
    fn from_array(values: [f32; LANES]) -> I::Vector {
        I::from_array(values)
    }
    #[inline(always)]
    fn to_array(vector: I::Vector) -> [f32; LANES] {
        I::to_array(vector)
    }
    #[inline(always)]
    fn splat(value: f32) -> I::Vector {
        I::splat(value)
    }
    #[inline(always)]
    fn split(a: I::Vector) -> (I::Vector, I::Vector) {
        I::split(a)
    }
    forward! {
        add(a, b);
        sub(a, b);
        mul(a, b);
        div(a, b);
        mul_add(a, b, c);
        max(a, b);
        min(a, b);
        neg(a);
        abs(a);
        select_greater(a, b, then, otherwise);
        scale(mantissa, n);
    }
}

/// What every processor of the target has.
#[derive(Clone, Copy, Debug)]
pub struct Baseline;
/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx2;
/// AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx512;

/// A set of `$count` registers of type `$register` a row, by the instructions that are given.
#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    (
        $isa:ty, [$register:ident; $count:literal], $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $max:ident, $min:ident,
        mul_add: |$x:ident, $y:ident, $z:ident| $mul_add:expr,
        neg: |$negated:ident| $neg:expr,
        abs: |$signed:ident| $abs:expr,
        select: |$a:ident, $b:ident, $then:ident, $otherwise:ident| $select:expr,
        split: |$whole:ident| $split:expr,
        scale: |$mantissa:ident, $n:ident| $scale:expr,
    ) => {
        impl Isa for $isa {
            type Vector = [$register; $count];

            #[inline(always)]
            fn from_array(values: [f32; LANES]) -> Self::Vector {
                // SAFETY: as many float32 either way.
                unsafe { std::mem::transmute::<[f32; LANES], Self::Vector>(values) }
            }
            #[inline(always)]
            fn to_array(vector: Self::Vector) -> [f32; LANES] {
                // SAFETY: as many float32 either way.
                unsafe { std::mem::transmute::<Self::Vector, [f32; LANES]>(vector) }
            }
            #[inline(always)]
            fn splat(value: f32) -> Self::Vector {
                // SAFETY: runs only where the set is.
                [unsafe { $splat(value) }; $count]
            }
            x86!(@binary add $add a b => a, b; $register; $count);
            x86!(@binary sub $sub a b => a, b; $register; $count);
            x86!(@binary mul $mul a b => a, b; $register; $count);
            x86!(@binary div $div a b => a, b; $register; $count);
            // The instruction gives its second operand where either is NaN.
            x86!(@binary max $max a b => b, a; $register; $count);
            x86!(@binary min $min a b => b, a; $register; $count);

            #[inline(always)]
            fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
                let mut out = c;
                for i in 0..$count {
                    let ($x, $y, $z) = (a[i], b[i], c[i]);
                    // SAFETY: runs only where the set is.
                    out[i] = unsafe { $mul_add };
                }
                out
            }
            #[inline(always)]
            fn neg(a: Self::Vector) -> Self::Vector {
                let mut out = a;
                for i in 0..$count {
                    let $negated = a[i];
                    // SAFETY: runs only where the set is.
                    out[i] = unsafe { $neg };
                }
                out
            }
            #[inline(always)]
            fn abs(a: Self::Vector) -> Self::Vector {
                let mut out = a;
                for i in 0..$count {
                    let $signed = a[i];
                    // SAFETY: runs only where the set is.
                    out[i] = unsafe { $abs };
                }
                out
            }
            #[inline(always)]
            fn select_greater(
                a: Self::Vector,
                b: Self::Vector,
                then: Self::Vector,
                otherwise: Self::Vector,
            ) -> Self::Vector {
                let mut out = otherwise;
                for i in 0..$count {
                    let ($a, $b, $then, $otherwise) = (a[i], b[i], then[i], otherwise[i]);
                    // SAFETY: runs only where the set is.
                    out[i] = unsafe { $select };
                }
                out
            }
            #[inline(always)]
            fn split(a: Self::Vector) -> (Self::Vector, Self::Vector) {
                let (mut fraction, mut exponent) = (a, a);
                for i in 0..$count {
                    let $whole = a[i];
                    // SAFETY: runs only where the set is.
                    (fraction[i], exponent[i]) = unsafe { $split };
                }
                (fraction, exponent)
            }
            #[inline(always)]
            fn scale(mantissa: Self::Vector, n: Self::Vector) -> Self::Vector {
                let mut out = mantissa;
                for i in 0..$count {
                    let ($mantissa, $n) = (mantissa[i], n[i]);
                    // SAFETY: runs only where the set is.
                    out[i] = unsafe { $scale };
                }
                out
            }
        }
    };
    (@binary $name:ident $instruction:ident $a:ident $b:ident => $first:ident, $second:ident; $register:ident; $count:literal) => {
        #[inline(always)]
        fn $name($a: Self::Vector, $b: Self::Vector) -> Self::Vector {
            let mut out = $a;
            for i in 0..$count {
                // SAFETY: runs only where the set is.
                out[i] = unsafe { $instruction($first[i], $second[i]) };
            }
            out
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;

    use super::{Avx2, Avx512, Baseline, Isa, LANES, ROOT_HALF};

    x86! {
        Avx512, [__m512; 4], _mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_max_ps, _mm512_min_ps,
        mul_add: |x, y, z| _mm512_fmadd_ps(x, y, z),
        neg: |a| _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(i32::MIN))),
        abs: |a| _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(i32::MAX))),
        select: |a, b, then, otherwise| _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), otherwise, then),
        split: |a| {
            let bits = _mm512_castps_si512(a);
            let above = _mm512_sub_epi32(bits, _mm512_set1_epi32(ROOT_HALF));
            let exponent = _mm512_srai_epi32::<23>(above);
            let fraction = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(exponent));
            (_mm512_castsi512_ps(fraction), _mm512_cvtepi32_ps(exponent))
        },
        scale: |mantissa, n| _mm512_scalef_ps(mantissa, n),
    }

    x86! {
        Avx2, [__m256; 8], _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_max_ps, _mm256_min_ps,
        mul_add: |x, y, z| _mm256_fmadd_ps(x, y, z),
        neg: |a| _mm256_xor_ps(a, _mm256_set1_ps(-0.0)),
        abs: |a| _mm256_andnot_ps(_mm256_set1_ps(-0.0), a),
        select: |a, b, then, otherwise| _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)),
        split: |a| {
            let bits = _mm256_castps_si256(a);
            let above = _mm256_sub_epi32(bits, _mm256_set1_epi32(ROOT_HALF));
            let exponent = _mm256_srai_epi32::<23>(above);
            let fraction = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(exponent));
            (_mm256_castsi256_ps(fraction), _mm256_cvtepi32_ps(exponent))
        },
        scale: |mantissa, n| {
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let power = |n| _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127))));
            _mm256_mul_ps(_mm256_mul_ps(mantissa, power(half)), power(_mm256_sub_epi32(n, half)))
        },
    }

    x86! {
        Baseline, [__m128; 16], _mm_set1_ps, _mm_add_ps, _mm_sub_ps, _mm_mul_ps, _mm_div_ps, _mm_max_ps, _mm_min_ps,
        mul_add: |x, y, z| _mm_add_ps(_mm_mul_ps(x, y), z),
        neg: |a| _mm_xor_ps(a, _mm_set1_ps(-0.0)),
        abs: |a| _mm_andnot_ps(_mm_set1_ps(-0.0), a),
        select: |a, b, then, otherwise| {
            let greater = _mm_cmpgt_ps(a, b);
            _mm_or_ps(_mm_and_ps(greater, then), _mm_andnot_ps(greater, otherwise))
        },
        split: |a| {
            let bits = _mm_castps_si128(a);
            let above = _mm_sub_epi32(bits, _mm_set1_epi32(ROOT_HALF));
            let exponent = _mm_srai_epi32::<23>(above);
            let fraction = _mm_sub_epi32(bits, _mm_slli_epi32::<23>(exponent));
            (_mm_castsi128_ps(fraction), _mm_cvtepi32_ps(exponent))
        },
        scale: |mantissa, n| {
            let n = _mm_cvtps_epi32(n);
            let half = _mm_srai_epi32::<1>(n);
            let power = |n| _mm_castsi128_ps(_mm_slli_epi32::<23>(_mm_add_epi32(n, _mm_set1_epi32(127))));
            _mm_mul_ps(_mm_mul_ps(mantissa, power(half)), power(_mm_sub_epi32(n, half)))
        },
    }
}

/// Elsewhere: loops over lanes, which the compiler makes vectors of as well as it can.
#[cfg(not(target_arch = "x86_64"))]
impl Isa for Baseline {
    type Vector = [f32; LANES];

    fn from_array(values: [f32; LANES]) -> Self::Vector {
        values
    }
    fn to_array(vector: Self::Vector) -> [f32; LANES] {
        vector
    }
    fn splat(value: f32) -> Self::Vector {
        [value; LANES]
    }
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] + b[i])
    }
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] - b[i])
    }
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] * b[i])
    }
    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] / b[i])
    }
    fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if a[i] < b[i] { b[i] } else { a[i] })
    }
    fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if a[i] > b[i] { b[i] } else { a[i] })
    }
    fn neg(a: Self::Vector) -> Self::Vector {
        a.map(|a| -a)
    }
    fn abs(a: Self::Vector) -> Self::Vector {
        a.map(f32::abs)
    }
    fn select_greater(a: Self::Vector, b: Self::Vector, then: Self::Vector, otherwise: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if a[i] > b[i] { then[i] } else { otherwise[i] })
    }
    fn split(a: Self::Vector) -> (Self::Vector, Self::Vector) {
        let exponent = a.map(|a| (a.to_bits() as i32 - ROOT_HALF) >> 23);
        let fraction = std::array::from_fn(|i| f32::from_bits((a[i].to_bits() as i32 - (exponent[i] << 23)) as u32));
        (fraction, exponent.map(|exponent| exponent as f32))
    }
    fn scale(mantissa: Self::Vector, n: Self::Vector) -> Self::Vector {
        let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
        std::array::from_fn(|i| {
            let n = n[i] as i32;
            mantissa[i] * power(n >> 1) * power(n - (n >> 1))
        })
    }
}
