//! From features to logits.

use tch::{Kind, Tensor, nn};

use super::ModelError;
use super::init::{Fan, Initializer};

/// Where the classifier's variables are in a model: `fc.weight` and, if it is linear, `fc.bias`.
pub const CLASSIFIER: &str = "fc";

/// Added to squared lengths before vectors are divided by them, so that a vector of zeros stays one and its gradient is finite.
const SMALLEST_SQUARED_LENGTH: f64 = 1e-12;

/// The last layer.
#[derive(Debug)]
pub enum Classifier {
    /// `w_c · f + b_c`.
    Linear {
        /// `[classes, width]`.
        weight: Tensor,
        /// `[classes]`; none after τ-normalisation.
        bias: Option<Tensor>,
    },
    /// `scale · cos(w_c, f)` (Cao et al., 2019).
    Normalised {
        /// `[classes, width]`; the length of a row does not matter.
        weight: Tensor,
        /// Logits over cosines.
        scale: f64,
    },
}

/// The shape of a [`Classifier`] and the distribution it starts from.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassifierShape {
    pub(super) classes: i64,
    pub(super) width: i64,
    /// Scale of the cosines of a normalised classifier; none for a linear one.
    pub(super) cosine_scale: Option<f64>,
    /// Whether a linear one's weight is He-normal; else PyTorch's default.
    pub(super) he: bool,
}

impl Classifier {
    /// Adds the classifier's variables under `path`.
    pub(super) fn new(path: &nn::Path, init: &mut Initializer, shape: ClassifierShape) -> Result<Self, ModelError> {
        let (weight, bias) = shape.values(init)?;
        let weight = path.f_var_copy("weight", &weight)?;
        Ok(match (shape.cosine_scale, bias) {
            (Some(scale), _) => Self::Normalised { weight, scale },
            (None, bias) => Self::Linear { weight, bias: bias.map(|bias| path.f_var_copy("bias", &bias)).transpose()? },
        })
    }

    /// Puts fresh values into the variables.
    pub(super) fn reset(&mut self, init: &mut Initializer, shape: ClassifierShape) -> Result<(), ModelError> {
        let values = shape.values(init)?;
        let _no_grad = tch::no_grad_guard();
        match self {
            Self::Normalised { weight, .. } => weight.f_copy_(&values.0)?,
            Self::Linear { weight, bias } => {
                weight.f_copy_(&values.0)?;
                if let (Some(bias), Some(values)) = (bias, values.1) {
                    bias.f_copy_(&values)?;
                }
            }
        }
        Ok(())
    }

    /// Logits of features.
    ///
    /// # Shapes
    /// - `features`: `[n, width]`
    /// - output: `[n, classes]`
    ///
    /// # Errors
    /// What libtorch refuses, as features of another width.
    pub fn logits(&self, features: &Tensor) -> Result<Tensor, ModelError> {
        Ok(match self {
            Self::Linear { weight, bias } => features.f_linear(weight, bias.as_ref())?,
            // The features are scaled, which are fewer numbers than the logits of many classes.
            Self::Normalised { weight, scale } => {
                unit(features)?.f_mul_scalar(*scale)?.f_linear(&unit(weight)?, None::<&Tensor>)?
            }
        })
    }

    /// The cosines of features and class vectors, for a loss that scales them itself; `None` for a linear classifier.
    ///
    /// # Shapes
    /// As [`Classifier::logits`].
    ///
    /// # Errors
    /// As [`Classifier::logits`].
    pub fn cosines(&self, features: &Tensor) -> Result<Option<Tensor>, ModelError> {
        match self {
            Self::Linear { .. } => Ok(None),
            Self::Normalised { weight, .. } => Ok(Some(unit(features)?.f_linear(&unit(weight)?, None::<&Tensor>)?)),
        }
    }

    /// The class vectors, `[classes, width]`.
    pub fn weight(&self) -> &Tensor {
        match self {
            Self::Linear { weight, .. } | Self::Normalised { weight, .. } => weight,
        }
    }

    /// Lengths of the class vectors, `[classes]`; they grow with class counts in a plain training (Kang et al., 2020, Figure 2).
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn weight_norms(&self) -> Result<Tensor, ModelError> {
        Ok(self.weight().f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?.f_sqrt()?)
    }

    /// A classifier with class vectors `w_c / ‖w_c‖^τ` and without bias (Kang et al., 2020, Eq. 3), that shares nothing with this
    /// one and is not trained. τ = 0 leaves the vectors as they are, τ = 1 makes them of length 1.
    ///
    /// # Errors
    /// [`ModelError::AlreadyNormalised`] for a normalised classifier.
    pub fn tau_normalised(&self, tau: f64) -> Result<Self, ModelError> {
        let Self::Linear { weight, .. } = self else {
            return Err(ModelError::AlreadyNormalised);
        };
        let _no_grad = tch::no_grad_guard();
        let norms = self.weight_norms()?.f_unsqueeze(1)?;
        // A row of zeros stays one.
        let norms = norms.f_clamp_min(SMALLEST_SQUARED_LENGTH.sqrt())?;
        let weight = weight.f_div(&norms.f_pow_tensor_scalar(tau)?)?;
        Ok(Self::Linear { weight, bias: None })
    }
}

impl ClassifierShape {
    /// Checks what a user chose.
    pub(super) fn check(self) -> Result<Self, ModelError> {
        if self.classes < 1 {
            return Err(ModelError::Classes { found: self.classes });
        }
        match self.cosine_scale {
            Some(scale) if !(scale.is_finite() && scale > 0.0) => Err(ModelError::CosineScale { found: scale }),
            _ => Ok(self),
        }
    }

    /// Initial weight and bias.
    fn values(self, init: &mut Initializer) -> Result<(Tensor, Option<Tensor>), ModelError> {
        let Self { classes, width, cosine_scale, he } = self;
        let shape = [classes, width];
        if cosine_scale.is_some() {
            // Uniform values, then rows of length 1: with lengths about 1 the usual learning rates turn the vectors as far as
            // they do in LDAM's own code.
            return Ok((unit(&init.uniform(&shape, 1.0)?)?, None));
        }
        let weight = if he { init.he_normal(&shape, Fan::In)? } else { init.linear(&shape, width)? };
        Ok((weight, Some(init.linear(&[classes], width)?)))
    }
}

/// Rows of length 1; a row of zeros stays one.
fn unit(rows: &Tensor) -> Result<Tensor, ModelError> {
    let squared_length = rows.f_square()?.f_sum_dim_intlist([-1i64].as_slice(), true, None::<Kind>)?;
    Ok(rows.f_mul(&squared_length.f_add_scalar(SMALLEST_SQUARED_LENGTH)?.f_rsqrt()?)?)
}
