//! Walking through memory once: asking for it ahead of time, and writing it past the caches.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Bytes that the processor moves at once.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Numbers from which on an output is written past the caches: 16 MiB, of which the caches would keep little for whoever
/// reads it next.
const STREAMED: usize = 4 << 20;

/// Asks for the `count` numbers at `from`, which may be beyond the end of their memory.
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "a hint that other processors do without"))]
pub(super) fn prefetch<E>(from: *const E, count: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..count * size_of::<E>()).step_by(LINE) {
        // SAFETY: a prefetch may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_byte_add(at).cast()) };
    }
}

/// Whether an output of `numbers` float32 is better written past the caches.
pub(super) fn is_streamed(numbers: usize) -> bool {
    cfg!(target_arch = "x86_64") && numbers >= STREAMED
}

/// Writes `−from` to `to` past the caches: the processor need not read what it overwrites. Other threads see it after
/// [`streamed`].
///
/// # Panics
/// The slices differ in length.
pub(super) fn stream_negated(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: as just asked.
        unsafe { stream_negated_64(from, to) };
    } else {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { stream_negated_16(from, to) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    negate(from, to);
}

/// Streams registers of `$numbers` float32.
#[cfg(target_arch = "x86_64")]
macro_rules! stream_negated {
    ($name:ident, $feature:literal, $register:ty, $numbers:literal, $load:ident, $zero:expr, $sub:ident, $stream:ident) => {
        #[target_feature(enable = $feature)]
        fn $name(from: &[f32], to: &mut [f32]) {
            // SAFETY: a register holds float32 only.
            let (before, rows, after) = unsafe { to.align_to_mut::<$register>() };
            let (from_before, from) = from.split_at(before.len());
            let (from_rows, from_after) = from.as_chunks::<$numbers>();
            for (row, from) in rows.iter_mut().zip(from_rows) {
                // SAFETY: `row` is aligned, and `from` holds as many numbers.
                unsafe { $stream((&raw mut *row).cast(), $sub($zero, $load(from.as_ptr()))) };
            }
            negate(from_before, before);
            negate(from_after, after);
        }
    };
}
#[cfg(target_arch = "x86_64")]
stream_negated!(stream_negated_16, "sse2", __m128, 4, _mm_loadu_ps, _mm_set1_ps(-0.0), _mm_sub_ps, _mm_stream_ps);
#[cfg(target_arch = "x86_64")]
stream_negated!(
    stream_negated_64,
    "avx512f",
    __m512,
    16,
    _mm512_loadu_ps,
    _mm512_set1_ps(-0.0),
    _mm512_sub_ps,
    _mm512_stream_ps
);

fn negate(from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = -from;
    }
}

/// Orders what this thread streamed before everything that it does from here on.
pub(super) fn streamed() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    unsafe {
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streaming_negates_all_at_every_alignment() {
        let from: Vec<f32> = (0..67).map(|i| i as f32 - 30.0).collect();
        for start in 0..5 {
            for len in 0..60 {
                let mut to = vec![9.0; 70];
                stream_negated(&from[..len], &mut to[start..start + len]);
                streamed();
                for (at, &value) in to.iter().enumerate() {
                    let want = if (start..start + len).contains(&at) { -from[at - start] } else { 9.0 };
                    assert_eq!(value, want, "{len} numbers at {start}, number {at}");
                }
            }
        }
    }
}
