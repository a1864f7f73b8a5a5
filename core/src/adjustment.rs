//! What a loss does to the logits before its formula: the second, optional half of a loss.

use crate::PerClass;

/// The logits that a loss's formula sees, and what it asks of those who give it logits.
///
/// ```text
/// z'_j = scale_j · z_j + bias_j − [j = y] · margin_y
/// ℓ    = pointwise(m of z', y) + smoothing · (z'_y − mean of z')
/// ```
///
/// LDAM (scale and margin), balanced softmax and logit adjustment (bias), vector scaling (scale and bias) live here;
/// `smoothing` is label smoothing: with cross-entropy's formula the sum is
/// `(1 − ε)(−log p_y) + ε/C · Σ_j −log p_j` (Szegedy et al. 2016), for `−log p_j = logsumexp z' − z'_j`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogitAdjustment {
    pub(crate) scale: Option<PerClass>,
    pub(crate) bias: Option<PerClass>,
    pub(crate) margin: Option<PerClass>,
    pub(crate) smoothing: f64,
    pub(crate) weight: Option<PerClass>,
    pub(crate) normalised: bool,
}

impl LogitAdjustment {
    /// Logits as they are.
    pub fn none() -> Self {
        Self::default()
    }

    /// Multiplies the logit of each class; positive numbers.
    pub fn scale(self, scale: PerClass) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// Adds to the logit of each class, after the scale.
    pub fn bias(self, bias: PerClass) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// Takes off the true class's logit, after the scale.
    pub fn margin(self, margin: PerClass) -> Self {
        Self { margin: Some(margin), ..self }
    }

    /// Label smoothing ε of a softmax head. A sigmoid head's is part of the formula: `+ ε/2 · m`.
    pub fn label_smoothing(self, smoothing: f64) -> Self {
        Self { smoothing, ..self }
    }

    /// The class weights w_c in the loss, which the reduction `weighted-mean` divides by.
    pub fn weighted_by(self, weight: PerClass) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// Asks for logits that are cosines: unit features, unit class vectors, no bias.
    pub fn normalised_classifier(self) -> Self {
        Self { normalised: true, ..self }
    }
}
