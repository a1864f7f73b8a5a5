//! A scalar whose gradients are known, as a node of libtorch's graph.

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

use super::LossHeadError;

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
    let mut message = [0; 512];
    // SAFETY: all tensors live through the call, and the shim lets no exception out.
    let made = unsafe {
        imbalance_fused_loss(
            from.as_ptr(),
            gradients.as_ptr(),
            from.len(),
            raw(value),
            message.as_mut_ptr(),
            message.len(),
        )
    };
    if made.is_null() {
        // SAFETY: the shim ends its message with NUL.
        let message = unsafe { CStr::from_ptr(message.as_ptr()) };
        return Err(LossHeadError::Tensor(format!("libtorch: {}", message.to_string_lossy())));
    }
    // SAFETY: a tensor on the heap that the shim made for us.
    Ok(unsafe { Tensor::from_ptr(made.cast()) })
}
