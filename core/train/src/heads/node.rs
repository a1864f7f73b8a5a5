//! A scalar whose gradients are known, as a node of libtorch's graph.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use super::LossHeadError;
use crate::shim::made;

unsafe extern "C" {
    fn imbalance_fused_loss(
        inputs: *const *mut c_void,
        gradients: *const *mut c_void,
        count: usize,
        value: *mut c_void,
        message: *mut c_char,
        size: usize,
    ) -> *mut c_void;
}

/// The scalar `value`, whose gradient by each of the (at most three) inputs is the tensor beside it. One that has the
/// input's own memory makes operations that need the input again fail with libtorch's "modified by an inplace
/// operation". One of a wider kind than its input is narrowed after the backward pass has scaled it.
pub(super) fn with_gradients(value: &Tensor, inputs: &[(&Tensor, Tensor)]) -> Result<Tensor, LossHeadError> {
    let raw = |tensor: &Tensor| tensor.as_ptr().cast_mut().cast::<c_void>();
    let from: Vec<*mut c_void> = inputs.iter().map(|(input, _)| raw(input)).collect();
    let gradients: Vec<*mut c_void> = inputs.iter().map(|(_, gradient)| raw(gradient)).collect();
    // SAFETY: all tensors live through the call.
    let made = made(|message, length| unsafe {
        imbalance_fused_loss(from.as_ptr(), gradients.as_ptr(), from.len(), raw(value), message, length).cast()
    });
    made.map_err(|error| LossHeadError::Tensor(format!("libtorch: {error}")))
}
