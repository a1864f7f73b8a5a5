//! Losses on tensors: the softmax, the sigmoid and the linear softmax head, fused on the CPU or as tensor operations
//! on any device.

use std::fmt;

use imbalance_core::LossError;
use imbalance_core::host::{HeadError, Reduction};
use tch::{Device, Kind, TchError, Tensor};

mod formula;
mod linear;
mod node;
mod sigmoid;
mod softmax;
mod whole;

pub use linear::linear_softmax_loss;
pub use sigmoid::{sigmoid_gradients, sigmoid_loss, sigmoid_loss_sum};
pub use softmax::{softmax_gradients, softmax_loss, softmax_loss_sum, softmax_loss_with};
pub use whole::{check_libtorch, whole_tensor_loss};

/// Why a loss could not be put on a tensor.
#[derive(Debug, thiserror::Error)]
pub enum LossHeadError {
    /// The logits or targets themselves.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Tensors that the head does not take.
    #[error("{0}")]
    Tensor(String),
    /// The loss's formula.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A tensor operation.
    #[error(transparent)]
    Torch(#[from] TchError),
}

/// How a loss is computed on a head (`--loss-path`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossPath {
    /// Fused for float32 and bfloat16 on the CPU, tensor operations elsewhere.
    #[default]
    Auto,
    /// The fused kernels of the CPU.
    Fused,
    /// Tensor operations of the recorded expression.
    Tensor,
}

impl LossPath {
    /// Whether logits of this kind on this device go through the fused kernels.
    ///
    /// # Errors
    /// The fused kernels were asked for and do not take them.
    fn fused(self, logits: &Tensor) -> Result<bool, LossHeadError> {
        let takes = logits.device() == Device::Cpu && matches!(logits.kind(), Kind::Float | Kind::BFloat16);
        match self {
            Self::Auto => Ok(takes),
            Self::Tensor => Ok(false),
            Self::Fused if takes => Ok(true),
            Self::Fused => Err(LossHeadError::Tensor(format!(
                "the fused loss path takes Float or BFloat16 logits on the CPU, these are {:?} on {:?}; the tensor path \
                 takes any",
                logits.kind(),
                logits.device()
            ))),
        }
    }
}

impl fmt::Display for LossPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fused => "fused",
            Self::Tensor => "tensor",
        })
    }
}

/// What a head may be told beside loss, logits and targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadOptions<'a> {
    /// How the loss is computed.
    pub path: LossPath,
    /// Rows of a softmax head with this target count for nothing.
    pub ignore_index: Option<i64>,
    /// A weight for each row, `[n]`, float32 on the CPU.
    pub weights: Option<&'a Tensor>,
    /// What [`HeadLoss::denominator`] is.
    pub reduction: Reduction,
    /// What the logits were made from, `[n, width]`, for a loss of whole tensors that asks for it.
    pub features: Option<&'a Tensor>,
}

/// A loss over a batch of logits.
#[derive(Debug)]
pub struct HeadLoss {
    /// The sum of the loss over the rows, a scalar with its graph.
    pub sum: Tensor,
    /// The same number.
    pub total: f64,
    /// What the reduction divides the sum by.
    pub denominator: f64,
    /// The sum of `−log p` over the rows, whatever the loss: what perplexity is made of. Zero on a sigmoid head.
    pub negative_log_likelihood: f64,
}

/// Each row's loss, and the gradient of their sum by the logits, in the logits' kind; of float16 in float32.
#[derive(Debug)]
pub struct Gradients {
    /// `[n]`
    pub loss: Tensor,
    /// m of each row, `[n]`; none on a sigmoid head.
    pub log_odds: Option<Tensor>,
    /// `[n, classes]`
    pub gradient: Tensor,
}

/// Checks `[n, columns]` logits against `[n]` int64 targets on the same device, and the weights.
fn check_tensors(logits: &Tensor, targets: &Tensor, options: &HeadOptions<'_>) -> Result<(i64, i64), LossHeadError> {
    let size = logits.size();
    let wrong = |message: String| Err(LossHeadError::Tensor(message));
    if size.len() != 2 || !matches!(logits.kind(), Kind::Float | Kind::Double | Kind::BFloat16 | Kind::Half) {
        return wrong(format!(
            "logits are {:?} {size:?}; a head takes Float, Double, BFloat16 or Half [n, classes]",
            logits.kind()
        ));
    }
    if targets.kind() != Kind::Int64 || targets.size() != [size[0]] || targets.device() != logits.device() {
        return wrong(format!(
            "targets are {:?} {:?} on {:?}; expected Int64 [{}] on {:?}",
            targets.kind(),
            targets.size(),
            targets.device(),
            size[0],
            logits.device()
        ));
    }
    if let Some(weights) = options.weights
        && (weights.kind() != Kind::Float || weights.size() != [size[0]] || weights.device() != Device::Cpu)
    {
        return wrong(format!(
            "weights are {:?} {:?} on {:?}; expected Float [{}] on the CPU",
            weights.kind(),
            weights.size(),
            weights.device(),
            size[0]
        ));
    }
    Ok((size[0], size[1]))
}

/// The numbers of a contiguous tensor on the CPU.
///
/// # Safety
/// `tensor` must be contiguous, on the CPU, of the kind that `T` is; nobody else may use its memory meanwhile.
#[allow(
    clippy::mut_from_ref,
    reason = "a tensor is a handle; that the memory is nobody else's is the caller's promise"
)]
unsafe fn numbers<T>(tensor: &Tensor) -> &mut [T] {
    let from = tensor.data_ptr().cast::<T>();
    // SAFETY: the caller's promise; libtorch's pointer to nothing may be null.
    if tensor.numel() == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(from, tensor.numel()) } }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
