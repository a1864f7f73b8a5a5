//! Losses that are no function of one example's log-odds: they take the logits, targets and features of a whole batch as
//! tensors, and may accumulate over batches.
//!
//! Such a plugin implements [`TensorLoss`], exports it with [`export_tensor_loss!`], and depends on this crate alone:
//! [`tch`] comes with it, so that plugin and crate agree on one. It is built for one libtorch, [`LIBTORCH`], and the
//! toolkit refuses it by name where it runs another.

#[doc(hidden)]
pub mod export;
mod loss;
mod ops;
mod state;

#[doc(hidden)]
pub use imbalance_core;
pub use imbalance_core::{
    ClassCounts, Head, LogitAdjustment, LossError, Params, PerClass, RawParam, WeightScale, effective_number_weights,
    param,
};
pub use loss::{Inputs, TensorError, TensorLoss};
pub use ops::{check_columns, cross_entropy, of_classes, one_hot};
pub use state::{pack, unpack};
pub use tch;

/// The libtorch that this crate was compiled for: `TORCH_VERSION` of its headers.
pub const LIBTORCH: &str = env!("TOOLKIT_LIBTORCH");
