//! One learnt factor a class.

use tch::{Tensor, nn};

use super::ModelError;

/// Learnable weight scaling (Kang et al., 2020, section 4.4): logits times a factor for each class, learnt with all else frozen.
#[derive(Debug)]
pub struct LearnableScale {
    scale: Tensor,
}

impl LearnableScale {
    /// Adds the variable `scale`, of ones, under `path`.
    ///
    /// # Errors
    /// [`ModelError::Classes`] for no classes.
    pub fn new(path: &nn::Path, classes: i64) -> Result<Self, ModelError> {
        if classes < 1 {
            return Err(ModelError::Classes { found: classes });
        }
        Ok(Self { scale: path.f_ones("scale", &[classes])? })
    }

    /// The factors, `[classes]`.
    pub fn factors(&self) -> &Tensor {
        &self.scale
    }

    /// Scaled logits.
    ///
    /// # Shapes
    /// - `logits` and output: `[n, classes]`
    ///
    /// # Errors
    /// What libtorch refuses, as logits of another number of classes.
    pub fn apply(&self, logits: &Tensor) -> Result<Tensor, ModelError> {
        Ok(logits.f_mul(&self.scale)?)
    }
}
