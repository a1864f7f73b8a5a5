//! What can be wrong with a model's settings or input.

/// Why a model could not be built or evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Images of a shape that the model cannot take.
    #[error("images have shape {found:?}, but should be [n, 3, height, width]")]
    Input {
        /// The shape given.
        found: Vec<i64>,
    },
    /// What could not be normalised.
    #[error(transparent)]
    BatchNorm(#[from] imbalance_train::BatchNormError),
    /// A classifier for no classes.
    #[error("a classifier needs at least one class, but was given {found}")]
    Classes {
        /// The number of classes given.
        found: i64,
    },
    /// A cosine scale that makes no logits.
    #[error("the cosine scale is {found}, but should be a finite number above 0")]
    CosineScale {
        /// The scale given.
        found: f64,
    },
    /// A τ-normalisation of a classifier whose class vectors have unit length already.
    #[error("τ-normalisation is for a linear classifier: a normalised one has class vectors of length 1 already")]
    AlreadyNormalised,
    /// A share of the conventional branch that is no share.
    #[error("alpha, the share of the conventional branch, is {found}, but should be from 0 to 1")]
    Alpha {
        /// The share given.
        found: f64,
    },
    /// What libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}
