//! The model of a run: a residual network, or one with two branches.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

use crate::model::{BilateralModel, Classifier, ImageModel, ImageModelConfig, ModelError};

/// What decides the variables of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetworkConfig {
    /// Architecture and classifier.
    #[serde(flatten)]
    pub model: ImageModelConfig,
    /// Whether the last block exists twice ([`BilateralModel`]).
    #[serde(default)]
    pub bilateral: bool,
}

/// A model that images go into and logits come out of.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, and it lives as long as the run")]
pub enum Network {
    /// One branch.
    Plain(ImageModel),
    /// Two branches (BBN).
    Bilateral(BilateralModel),
}

impl Network {
    /// Adds the variables to `store`, with first values that `seed` decides.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn new(store: &VarStore, config: &NetworkConfig, seed: u64) -> Result<Self, ModelError> {
        let root = store.root();
        Ok(if config.bilateral {
            Self::Bilateral(BilateralModel::new(&root, config.model, seed)?)
        } else {
            Self::Plain(ImageModel::new(&root, config.model, seed)?)
        })
    }

    /// What it was made from.
    pub fn config(&self) -> NetworkConfig {
        match self {
            Self::Plain(model) => NetworkConfig { model: *model.config(), bilateral: false },
            Self::Bilateral(model) => NetworkConfig { model: *model.config(), bilateral: true },
        }
    }

    /// Features of images, in the kind that autocast gives them; of two branches for evaluation.
    ///
    /// # Shapes
    /// - `xs`: `[n, 3, height, width]`
    /// - output: `[n, width]`, twice as wide for two branches
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn features(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        match self {
            Self::Plain(model) => model.backbone.features(xs, train),
            Self::Bilateral(model) => model.features(xs),
        }
    }

    /// The last layer.
    pub fn classifier(&self) -> &Classifier {
        match self {
            Self::Plain(model) => &model.classifier,
            Self::Bilateral(model) => &model.classifier,
        }
    }

    /// The scale of the cosines of a normalised classifier.
    pub fn cosine_scale(&self) -> Option<f64> {
        self.config().model.cosine_scale
    }

    /// Logits of float32 features, or their bare cosines where the classifier is normalised.
    ///
    /// # Shapes
    /// - `features`: `[n, width]`
    /// - output: `[n, classes]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn classify(&self, features: &Tensor, cosines: bool) -> Result<Tensor, ModelError> {
        // Only a normalised classifier has cosines.
        let bare = if cosines { self.classifier().cosines(features)? } else { None };
        match bare {
            Some(cosines) => Ok(cosines),
            None => self.classifier().logits(features),
        }
    }
}
