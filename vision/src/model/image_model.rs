//! A backbone with a classifier.

use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::classifier::ClassifierShape;
use super::init::Initializer;
use super::{Backbone, BackboneOptions, CLASSIFIER, Classifier, ModelError, ModelKind};

/// What decides a model's variables.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageModelConfig {
    /// The architecture.
    pub model: ModelKind,
    /// How many classes it tells apart.
    pub classes: i64,
    /// Scale of the cosines of a normalised classifier; none for a linear one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine_scale: Option<f64>,
}

/// An image classifier.
#[derive(Debug)]
pub struct ImageModel {
    /// Images to features.
    pub backbone: Backbone,
    /// Features to logits.
    pub classifier: Classifier,
    config: ImageModelConfig,
}

impl ImageModelConfig {
    /// The classifier over features `width` wide.
    pub(super) fn classifier(&self, width: i64) -> Result<ClassifierShape, ModelError> {
        let &Self { model, classes, cosine_scale } = self;
        ClassifierShape { classes, width, cosine_scale, he: model == ModelKind::ResNet32 }.check()
    }
}

impl ImageModel {
    /// Adds the model's variables under `path`, with initial values that `seed` decides.
    ///
    /// # Errors
    /// [`ModelError`]: no classes, or a cosine scale that is not a number above 0.
    pub fn new(path: &nn::Path, config: ImageModelConfig, seed: u64) -> Result<Self, ModelError> {
        let shape = config.classifier(config.model.width())?;
        let init = &mut Initializer::new(seed);
        let backbone = Backbone::new(path, init, config.model, BackboneOptions::default())?;
        let classifier = Classifier::new(&(path / CLASSIFIER), init, shape)?;
        Ok(Self { backbone, classifier, config })
    }

    /// What the model was made from.
    pub fn config(&self) -> &ImageModelConfig {
        &self.config
    }

    /// Puts fresh values, which `seed` decides, into the classifier: the second stage of cRT (Kang et al., 2020, section 4.1).
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn reset_classifier(&mut self, seed: u64) -> Result<(), ModelError> {
        let shape = self.config.classifier(self.config.model.width())?;
        self.classifier.reset(&mut Initializer::new(seed), shape)
    }

    /// Logits of images. Under autocast they are bfloat16: make them float32 before a loss.
    ///
    /// # Shapes
    /// - `xs`: `[n, 3, height, width]`
    /// - output: `[n, classes]`
    ///
    /// # Errors
    /// As [`Backbone::features`].
    pub fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        self.classifier.logits(&self.backbone.features(xs, train)?)
    }
}
