//! What can be wrong with a detector's settings or input.

use imbalance_train::heads::LossHeadError;

/// Why a detector could not be built, trained or evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A setting out of range; the message names it.
    #[error("{0}")]
    Setting(String),
    /// The backbone.
    #[error(transparent)]
    Backbone(#[from] imbalance_vision::model::ModelError),
    /// The class loss.
    #[error(transparent)]
    Head(#[from] LossHeadError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}
