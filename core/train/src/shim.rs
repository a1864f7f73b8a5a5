//! Calls of the C++ shim (`shim/`), which lets no exception out and leaves a message instead.

use std::ffi::{CStr, c_char};

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// The tensor that `call` makes on the heap for us, or, where it gives NULL, the message that it leaves in the buffer of so many
/// bytes, zeros, that it is given.
pub(crate) fn made(call: impl FnOnce(*mut c_char, usize) -> *mut C_tensor) -> Result<Tensor, TchError> {
    let mut result = std::ptr::null_mut();
    done(|message, length| {
        result = call(message, length);
        !result.is_null()
    })?;
    // SAFETY: a tensor on the heap that the shim made for us.
    Ok(unsafe { Tensor::from_ptr(result) })
}

/// Nothing where `call` says `true`, else the message that it leaves likewise.
pub(crate) fn done(call: impl FnOnce(*mut c_char, usize) -> bool) -> Result<(), TchError> {
    let mut message = [0u8; 1024];
    if call(message.as_mut_ptr().cast(), message.len()) {
        return Ok(());
    }
    Err(TchError::Torch(CStr::from_bytes_until_nul(&message).unwrap_or_default().to_string_lossy().into_owned()))
}
