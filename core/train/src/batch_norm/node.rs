//! The operation in libtorch's graph.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use imbalance_core::host::bf16;
use tch::{Kind, TchError, Tensor};

use super::kernel::{self, After, Backward, Shape, Value};
use crate::shim::made;

use super::{affine, side_by_side, values, values_mut};

type RawTensor = *mut c_void;
type BackwardFn = extern "C" fn(*const RawTensor, RawTensor, i64, *mut RawTensor, *mut c_char, usize) -> bool;

unsafe extern "C" {
    fn imbalance_batch_norm(
        inputs: *const RawTensor,
        flags: i64,
        backward: BackwardFn,
        message: *mut c_char,
        size: usize,
    ) -> RawTensor;
}

/// What the backward pass must know beside tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) after: After,
    /// Whether the statistics were the batch's.
    pub(super) of_batch: bool,
}

impl Flags {
    fn to_bits(self) -> i64 {
        self.after as i64 | i64::from(self.of_batch) << 8
    }

    fn from_bits(bits: i64) -> Self {
        let after = match bits & 0xff {
            0 => After::Nothing,
            1 => After::Relu,
            _ => After::AddRelu,
        };
        Self { after, of_batch: bits >> 8 != 0 }
    }
}

/// The first of `[y, mean, inverse deviation]` as computed from `[x, weight, bias]` and the added tensor.
pub(super) fn join(
    inputs: [&Tensor; 3],
    added: Option<&Tensor>,
    results: [Tensor; 3],
    flags: Flags,
) -> Result<Tensor, TchError> {
    let raw = |tensor: &Tensor| tensor.as_ptr().cast_mut().cast::<c_void>();
    let [x, weight, bias] = inputs.map(raw);
    let [y, mean, inverse_deviation] = results.each_ref().map(raw);
    let added = added.map_or(std::ptr::null_mut(), raw);
    let all = [x, weight, bias, added, y, mean, inverse_deviation];
    // SAFETY: all tensors live through the call.
    made(|message, length| unsafe {
        imbalance_batch_norm(all.as_ptr(), flags.to_bits(), backward, message, length).cast()
    })
}

/// Called by libtorch's backward pass: `saved` are x, weight, bias, y (or NULL), mean and inverse deviation.
extern "C" fn backward(
    saved: *const RawTensor,
    gradient: RawTensor,
    flags: i64,
    gradients: *mut RawTensor,
    message: *mut c_char,
    size: usize,
) -> bool {
    let computed = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: libtorch's tensors, which live through the call.
        let tensor = |raw: RawTensor| unsafe { Tensor::clone_from_ptr(raw.cast()) };
        // SAFETY: the shim passes six.
        let saved = unsafe { std::slice::from_raw_parts(saved, 6) };
        let of = |at: usize| (!saved[at].is_null()).then(|| tensor(saved[at]));
        let required = |at| of(at).ok_or_else(|| TchError::Torch("a saved tensor is missing".to_owned()));
        let saved = Saved {
            x: required(0)?,
            weight: required(1)?,
            bias: required(2)?,
            y: of(3),
            mean: required(4)?,
            inverse_deviation: required(5)?,
        };
        match saved.x.kind() {
            Kind::BFloat16 => saved.differentiate::<bf16>(&tensor(gradient), Flags::from_bits(flags)),
            _ => saved.differentiate::<f32>(&tensor(gradient), Flags::from_bits(flags)),
        }
    }));
    let said = match computed {
        Ok(Ok(computed)) => {
            for (at, tensor) in computed.into_iter().enumerate() {
                let Some(tensor) = tensor else { continue };
                // The shim takes the tensor over.
                let owned = std::mem::ManuallyDrop::new(tensor);
                // SAFETY: it passed room for four.
                unsafe { *gradients.add(at) = owned.as_ptr().cast_mut().cast() };
            }
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the backward pass of batch normalisation panicked".to_owned(),
    };
    let bytes = &said.as_bytes()[..said.len().min(size.saturating_sub(1))];
    // SAFETY: the shim's buffer holds `size` bytes and is all zeros.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), message, bytes.len()) };
    false
}

struct Saved {
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    y: Option<Tensor>,
    mean: Tensor,
    inverse_deviation: Tensor,
}

impl Saved {
    /// The gradients by x, weight, bias and the added tensor.
    fn differentiate<V: Value>(&self, gradient: &Tensor, flags: Flags) -> Result<[Option<Tensor>; 4], TchError> {
        let Self { x, weight, bias, y, mean, inverse_deviation } = self;
        let gradient = side_by_side(&gradient.f_to_kind(x.kind())?)?;
        let mut out = x.f_empty_like()?;
        let mut masked = y.as_ref().map(Tensor::f_empty_like).transpose()?;
        let of_weights = weight.requires_grad() || bias.requires_grad();
        let (mean, inverse_deviation) = (values::<f32>(mean), values::<f32>(inverse_deviation));
        let (scale, bias) = affine(values(weight), values(bias), mean, inverse_deviation);
        let pass = Backward {
            x: values::<V>(x),
            y: y.as_ref().map_or(&[][..], values::<V>),
            gradient: values::<V>(&gradient),
            scale: &scale,
            bias: &bias,
            mean,
            inverse_deviation,
            of_batch: flags.of_batch,
            of_weights,
            masked: masked.as_mut().map_or(&mut [][..], values_mut::<V>),
            out: values_mut::<V>(&mut out),
        };
        let (by_weight, by_bias) = kernel::backward(pass, Shape::new(x.numel(), weight.numel()), flags.after);
        let of = |values: &[f32]| of_weights.then(|| Tensor::f_from_slice(values)).transpose();
        Ok([Some(out), of(&by_weight)?, of(&by_bias)?, masked])
    }
}
