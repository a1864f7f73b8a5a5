//! Calling a loss that takes whole tensors. What the tensors are is between the plugin and the tensor library's user;
//! here they are pointers.

use std::ffi::c_void;
use std::sync::PoisonError;

use super::message::Message;
use super::{EvalError, Loss};
use crate::LossError;
use crate::abi::{self, RawMessage, RawTensorExtension, RawTensorInputs};

impl Loss {
    /// Whether it takes whole tensors instead of log-odds.
    pub fn is_whole_tensor(&self) -> bool {
        self.plugin().is_whole_tensor()
    }

    /// The loss of each example of a batch of tensors: a new `at::Tensor` `[n]` with its graph, which is the caller's.
    ///
    /// # Errors
    /// What the plugin says, or that this loss takes no tensors.
    ///
    /// # Safety
    /// The pointers of `inputs` are to tensors as [`RawTensorInputs`] describes them, alive through the call, of the very
    /// libtorch that [`Plugin::libtorch`](super::Plugin::libtorch) names.
    pub unsafe fn forward_tensors(&self, inputs: &RawTensorInputs) -> Result<*mut c_void, EvalError> {
        let mut made = std::ptr::null_mut();
        let said = |message| EvalError::Plugin { id: self.id().into(), message };
        self.call(|extension, instance, message| {
            // SAFETY: a prepared instance that the lock keeps to this thread; the caller's promise about the tensors.
            unsafe { (extension.forward)(instance, inputs, &mut made, message) }
        })
        .map_err(said)?;
        if made.is_null() { Err(said("gave no tensor".into())) } else { Ok(made) }
    }

    /// What the loss has accumulated over the batches so far, as bytes for [`Loss::restore`]; empty for a loss that
    /// accumulates nothing.
    ///
    /// # Errors
    /// What the plugin says.
    pub fn state(&self) -> Result<Vec<u8>, LossError> {
        if !self.is_whole_tensor() {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::new();
        loop {
            let mut size = 0;
            self.call(|extension, instance, message| {
                // SAFETY: as many bytes as are said, a prepared instance, and the lock.
                unsafe { (extension.save_state)(instance, bytes.as_mut_ptr(), bytes.len(), &mut size, message) }
            })
            .map_err(|said| LossError::new(format!("loss `{}`, saving its state: {said}", self.id())))?;
            // The first call tells the size.
            let complete = size <= bytes.len();
            bytes.resize(size, 0);
            if complete {
                return Ok(bytes);
            }
        }
    }

    /// Goes on from what [`Loss::state`] of an equal loss gave.
    ///
    /// # Errors
    /// Bytes that are no state of this loss.
    pub fn restore(&self, state: &[u8]) -> Result<(), LossError> {
        let fail = |said: String| LossError::new(format!("loss `{}`, restoring its state: {said}", self.id()));
        if !self.is_whole_tensor() {
            let said = format!("{} bytes are given, but it accumulates nothing", state.len());
            return if state.is_empty() { Ok(()) } else { Err(fail(said)) };
        }
        self.call(|extension, instance, message| {
            // SAFETY: as many bytes as are said, a prepared instance, and the lock.
            unsafe { (extension.load_state)(instance, state.as_ptr(), state.len(), message) }
        })
        .map_err(fail)
    }

    /// Calls an entry point of the extension on the instance, which nobody else uses meanwhile.
    fn call(&self, entry: impl FnOnce(&RawTensorExtension, *mut c_void, RawMessage) -> i32) -> Result<(), String> {
        let Some(extension) = self.plugin().tensor_extension() else {
            return Err("it is a function of the log-odds and takes no tensors".into());
        };
        let (instance, changing) = self.changing();
        let mut message = Message::new();
        // A thread that panicked while it held the lock left nothing half done: the plugin's code does not unwind.
        let _alone = changing.lock().unwrap_or_else(PoisonError::into_inner);
        let code = entry(extension, instance, message.raw());
        if code == abi::OK { Ok(()) } else { Err(message.text(code)) }
    }
}
