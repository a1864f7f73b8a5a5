//! The fused softmax head on tensors: a scalar loss whose gradient is already in its graph.

use std::ffi::{CStr, c_char, c_void};

use imbalance_core::host::{HeadError, Loss, SoftmaxHead};
use tch::{Device, Kind, Tensor};

/// Why a loss could not be put on a tensor.
#[derive(Debug, thiserror::Error)]
pub enum LossHeadError {
    /// The logits or targets themselves.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Tensors that the head does not take.
    #[error("{0}")]
    Tensor(String),
}

/// A loss over a batch of softmax logits.
#[derive(Debug)]
pub struct HeadLoss {
    /// The sum of the loss over the rows, a scalar with its graph.
    pub sum: Tensor,
    /// The same number.
    pub total: f64,
    /// The sum of `−log p` over the rows, whatever the loss: what perplexity is made of.
    pub negative_log_likelihood: f64,
}

unsafe extern "C" {
    fn imbalance_fused_loss(
        logits: *mut c_void,
        gradient: *mut c_void,
        value: f64,
        message: *mut c_char,
        size: usize,
    ) -> *mut c_void;
}

/// The loss of `logits` `[n, classes]` (float32, on the CPU) at `targets` `[n]` (int64).
///
/// Where the logits carry a graph, their memory becomes the gradient's, so that nothing of their size
/// is held beside it; an operation that needs its logits again (a softmax, say) makes the backward
/// pass fail with libtorch's "modified by an inplace operation".
///
/// # Errors
/// Tensors of other shapes, kinds or devices; a target out of range; logits that are not finite.
pub fn softmax_loss(loss: &Loss, logits: Tensor, targets: &Tensor) -> Result<HeadLoss, LossHeadError> {
    let wrong = |message: String| LossHeadError::Tensor(message);
    let (size, kind, device) = (logits.size(), logits.kind(), logits.device());
    if size.len() != 2 || kind != Kind::Float || device != Device::Cpu {
        return Err(wrong(format!(
            "logits are {kind:?} {size:?} on {device:?}; the fused head takes Float [n, classes] on the CPU"
        )));
    }
    if targets.kind() != Kind::Int64 || targets.size() != [size[0]] || targets.device() != Device::Cpu {
        return Err(wrong(format!(
            "targets are {:?} {:?} on {:?}; expected Int64 [{}] on the CPU",
            targets.kind(),
            targets.size(),
            targets.device(),
            size[0]
        )));
    }
    let (logits, targets) = (logits.contiguous(), targets.contiguous());
    let rows = size[0] as usize;
    let (mut values, mut log_odds) = (vec![0.0_f32; rows], vec![0.0_f32; rows]);
    let head = SoftmaxHead::new(loss);
    // SAFETY: contiguous int64 on the CPU, alive through this function.
    let targets = unsafe { slice(targets.data_ptr().cast::<i64>(), rows) };
    // SAFETY: contiguous float32 on the CPU, alive through this function, and nobody else reads it meanwhile.
    let numbers = unsafe { slice(logits.data_ptr().cast::<f32>(), logits.numel()) };
    let differentiate = logits.requires_grad();
    if differentiate {
        head.forward_backward_in_place(numbers, targets, &mut values, &mut log_odds)?;
    } else {
        head.forward(numbers, targets, &mut values, &mut log_odds)?;
    }
    let total: f64 = values.iter().copied().map(f64::from).sum();
    // A sum beyond float32 is infinite there, which the training loop reports, rather than libtorch's error.
    let sum = if differentiate { with_gradient(&logits, f64::from(total as f32))? } else { Tensor::from(total as f32) };
    let negative_log_likelihood = log_odds.iter().map(|&m| softplus(-f64::from(m))).sum();
    Ok(HeadLoss { sum, total, negative_log_likelihood })
}

/// The scalar `value`, whose gradient by `logits` stands in the logits' own memory.
fn with_gradient(logits: &Tensor, value: f64) -> Result<Tensor, LossHeadError> {
    let gradient = logits.detach();
    let mut message = [0; 512];
    // SAFETY: both tensors live through the call, and the shim lets no exception out.
    let made = unsafe {
        imbalance_fused_loss(
            logits.as_ptr().cast_mut().cast(),
            gradient.as_ptr().cast_mut().cast(),
            value,
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

/// # Safety
/// `from` must hold `len` numbers for as long as the slice is used, and nobody else may use them.
unsafe fn slice<'a, T>(from: *mut T, len: usize) -> &'a mut [T] {
    // SAFETY: the caller's promise; libtorch's pointer to nothing may be null.
    if len == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(from, len) } }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
