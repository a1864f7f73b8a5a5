//! From a [`TensorLoss`] to the entry points of the C ABI.

use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::slice;

use imbalance_core::abi::{
    self, RawAdjustment, RawAdjustmentExtension, RawMessage, RawPlugin, RawTensorExtension, RawTensorInputs,
};
use imbalance_core::export::{describe_with, destroy, guarded, prepare_with, prepared_mut, text};
use imbalance_core::{LossError, params};
use tch::Tensor;

use crate::{Inputs, TensorError, TensorLoss};

/// [`abi::TENSOR_NEEDS`] and the libtorch, in one string constant of the library.
const NEEDS: &str = concat!("toolkit.tensor.1 needs libtorch ", env!("TOOLKIT_LIBTORCH"), "\0");
const _: () = assert!(NEEDS.len() == abi::TENSOR_NEEDS.len() + crate::LIBTORCH.len() + 1);

/// The entry points of `T` added to its declarations.
pub const fn plugin<T: TensorLoss>(declared: RawPlugin) -> RawPlugin {
    RawPlugin { prepare: Some(prepare::<T>), destroy: Some(destroy::<T>), extension: Some(extension::<T>), ..declared }
}

unsafe extern "C" fn prepare<T: TensorLoss>(
    instance: *mut c_void,
    counts: *const u64,
    classes: usize,
    message: RawMessage,
) -> i32 {
    // SAFETY: the host's promise.
    unsafe { prepare_with(T::new, instance, counts, classes, message) }
}

unsafe extern "C" fn extension<T: TensorLoss>(name: *const c_char) -> *const c_void {
    // SAFETY: the host's string.
    match unsafe { text(name, "the extension's name") }.as_deref() {
        Ok(abi::ADJUSTMENT_EXTENSION) => (&raw const *Extensions::<T>::ADJUSTMENT).cast(),
        Ok(abi::TENSOR_EXTENSION) => (&raw const *Extensions::<T>::TENSOR).cast(),
        _ => std::ptr::null(),
    }
}

/// Holds the extensions of `T`: there are no generic statics, but there are generic constants.
struct Extensions<T>(PhantomData<T>);

impl<T: TensorLoss> Extensions<T> {
    const ADJUSTMENT: &'static RawAdjustmentExtension =
        &RawAdjustmentExtension { struct_size: size_of::<RawAdjustmentExtension>(), describe: describe::<T> };
    const TENSOR: &'static RawTensorExtension = &RawTensorExtension {
        struct_size: size_of::<RawTensorExtension>(),
        // SAFETY: inside the constant.
        libtorch: unsafe { params::c_str(NEEDS).add(abi::TENSOR_NEEDS.len()) },
        forward: forward::<T>,
        save_state: save_state::<T>,
        load_state: load_state::<T>,
    };
}

unsafe extern "C" fn describe<T: TensorLoss>(
    instance: *const c_void,
    classes: usize,
    adjustment: *mut RawAdjustment,
    message: RawMessage,
) -> i32 {
    // SAFETY: the host's promise.
    unsafe { describe_with(T::adjustment, instance, classes, adjustment, message) }
}

/// A tensor of the host's, shared.
///
/// # Safety
/// `tensor` is null or points to an `at::Tensor`.
unsafe fn borrowed(tensor: *mut c_void, what: &str) -> Result<Tensor, LossError> {
    if tensor.is_null() {
        return Err(LossError::new(format!("the host gave no {what}")));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { Tensor::clone_from_ptr(tensor.cast()) })
}

unsafe extern "C" fn forward<T: TensorLoss>(
    instance: *mut c_void,
    inputs: *const RawTensorInputs,
    loss: *mut *mut c_void,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: made by `create::<T>`; the host calls with one thread at a time.
        let prepared = unsafe { prepared_mut::<T>(instance)? };
        // SAFETY: the host's struct, of at least this version's size as its major version says.
        let raw = unsafe { &*inputs };
        // SAFETY: the host's tensors, of the libtorch that it checked.
        let (logits, targets) = unsafe { (borrowed(raw.logits, "logits")?, borrowed(raw.targets, "targets")?) };
        let features = match raw.features.is_null() {
            true => None,
            // SAFETY: as above.
            false => Some(unsafe { borrowed(raw.features, "features")? }),
        };
        let inputs = Inputs { logits, targets, features, training: raw.training != 0 };
        let mut made = prepared.forward(&inputs).map_err(said)?;
        // SAFETY: the host's pointer. The tensor on the heap becomes the host's, so it is not dropped here.
        unsafe { loss.write(made.as_mut_ptr().cast()) };
        std::mem::forget(made);
        Ok(())
    })
}

unsafe extern "C" fn save_state<T: TensorLoss>(
    instance: *mut c_void,
    data: *mut u8,
    capacity: usize,
    size: *mut usize,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: as for `forward`.
        let bytes = unsafe { prepared_mut::<T>(instance)? }.state().map_err(said)?;
        // SAFETY: the host's pointer, and as many bytes as it says.
        unsafe {
            size.write(bytes.len());
            if bytes.len() <= capacity {
                data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn load_state<T: TensorLoss>(
    instance: *mut c_void,
    data: *const u8,
    size: usize,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: as for `forward`.
        let prepared = unsafe { prepared_mut::<T>(instance)? };
        // SAFETY: as many bytes as the host says; a slice of none may come as null.
        let bytes = if size == 0 { &[] } else { unsafe { slice::from_raw_parts(data, size) } };
        prepared.restore(bytes).map_err(said)
    })
}

fn said(error: TensorError) -> LossError {
    LossError::new(error.to_string())
}

/// Exports a [`TensorLoss`] as a plugin, with the declarations of
/// [`export_loss!`](imbalance_core::export_loss): `export_tensor_loss!(Type { id: "…", formula: "…", citation: "…",
/// params: […] });`
#[macro_export]
macro_rules! export_tensor_loss {
    ($loss:ty { $($declarations:tt)* }) => {
        $crate::imbalance_core::export_loss!(@plugin $crate::export::plugin::<$loss>, $loss { $($declarations)* });
    };
}
