//! What logits may be made of.

use half::bf16;
use half::slice::HalfFloatSliceExt as _;

/// A number of the logits and their gradient. Whatever it is, the arithmetic is float32's.
pub trait Element: Copy + Send + Sync + 'static {
    /// Whether it is float32 itself, which needs no copy.
    const IS_F32: bool;

    /// The numbers themselves where they are float32 already.
    fn as_f32(numbers: &[Self]) -> Option<&[f32]>;

    /// The numbers themselves where they are float32 already.
    fn as_f32_mut(numbers: &mut [Self]) -> Option<&mut [f32]>;

    /// Copies `from` to float32.
    fn widen(from: &[Self], to: &mut [f32]);

    /// Rounds `from` to this kind, to nearest, ties to even.
    fn narrow(from: &[f32], to: &mut [Self]);
}

impl Element for f32 {
    const IS_F32: bool = true;

    fn as_f32(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }

    fn as_f32_mut(numbers: &mut [Self]) -> Option<&mut [f32]> {
        Some(numbers)
    }

    fn widen(from: &[Self], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Element for bf16 {
    const IS_F32: bool = false;

    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }

    fn as_f32_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }

    fn widen(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        to.convert_from_f32_slice(from);
    }
}
