//! Copies to a device that need not be waited for.

use std::ffi::c_char;

use tch::kind::Element;
use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

use crate::shim::made;

unsafe extern "C" {
    fn imbalance_sent(tensor: *const C_tensor, device: i16, message: *mut c_char, length: usize) -> *mut C_tensor;
}

/// A tensor of the host on `device`. A GPU has it when the work that is given to it next begins; the host goes on at once, where
/// [`Tensor::to_device`] would wait for all work that the GPU has.
///
/// # Errors
/// libtorch's.
pub fn sent(tensor: &Tensor, device: Device) -> Result<Tensor, TchError> {
    let Device::Cuda(number) = device else { return tensor.f_to_device(device) };
    // SAFETY: the tensor lives through the call.
    made(|message, length| unsafe { imbalance_sent(tensor.as_ptr(), number as i16, message, length) })
}

/// Numbers of the host as a tensor `[n]` on `device`, sent likewise.
///
/// # Panics
/// Where tch's functions without a result do: out of memory.
pub fn sent_slice<T: Element>(values: &[T], device: Device) -> Tensor {
    match sent(&Tensor::from_slice(values), device) {
        Ok(tensor) => tensor,
        Err(error) => panic!("{error}"),
    }
}
