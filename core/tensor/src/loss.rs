//! What a loss over whole tensors gives.

use imbalance_core::{ClassCounts, LogitAdjustment, LossError, Params};
use tch::{TchError, Tensor};

/// A batch, without its ignored rows.
#[derive(Debug)]
pub struct Inputs {
    /// `[n, columns]`, float32 or float64, with its graph; after the [adjustment](TensorLoss::adjustment)'s scale and bias.
    pub logits: Tensor,
    /// `[n]`, int64, on the same device: a class, or −1 for the background of a sigmoid head.
    pub targets: Tensor,
    /// `[n, width]`, what the classifier made the logits from, with its graph; none where the front-end gives none.
    pub features: Option<Tensor>,
    /// Whether this is a training step, which accumulates and draws noise, or a measurement, which does not.
    pub training: bool,
}

/// Why a batch has no loss, or a state cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// The loss says no.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A tensor operation.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// A loss over whole tensors.
pub trait TensorLoss: Sized + Send + 'static {
    /// Makes the loss from its parameters and the training counts of the classes. The last class of a sigmoid head is the
    /// background.
    ///
    /// # Errors
    /// Parameters, counts or a head that the loss is not defined for, saying what would be right.
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError>;

    /// The loss of each example, with its graph. A term of the whole batch is added to every example, so that the mean
    /// holds it once.
    ///
    /// # Shapes
    /// - output: `[n]`, n ≥ 1
    ///
    /// # Errors
    /// Inputs that the loss cannot do with, or an operation that fails.
    fn forward(&mut self, inputs: &Inputs) -> Result<Tensor, TensorError>;

    /// What the front-end is to do with the logits before: scale, bias, a normalised classifier. A margin or label
    /// smoothing has no meaning here.
    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none()
    }

    /// What was accumulated over the batches so far, such that [`TensorLoss::restore`] of an equal loss goes on with the
    /// same numbers; [`pack`](crate::pack) makes bytes of tensors.
    ///
    /// # Errors
    /// An operation that fails.
    fn state(&self) -> Result<Vec<u8>, TensorError> {
        Ok(Vec::new())
    }

    /// Goes on from bytes of [`TensorLoss::state`].
    ///
    /// # Errors
    /// Bytes that are no state of this loss.
    fn restore(&mut self, state: &[u8]) -> Result<(), TensorError> {
        match state.len() {
            0 => Ok(()),
            bytes => Err(LossError::new(format!("{bytes} bytes are given, but it accumulates nothing")).into()),
        }
    }
}
