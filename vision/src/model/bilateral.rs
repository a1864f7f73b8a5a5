//! The bilateral-branch network (Zhou et al., 2020, "BBN", section 4).

use std::borrow::Cow;

use tch::{Tensor, nn};

use super::backbone::{BackboneOptions, Trunk, pool};
use super::block::Block;
use super::init::Initializer;
use super::{CLASSIFIER, Classifier, ImageModelConfig, ModelError, ModelKind};

/// Where the two branches' blocks are, named as in BBN's released code.
const CONVENTIONAL: &str = "cb_block";
const REBALANCING: &str = "rb_block";

/// A backbone whose last block exists twice: once for uniformly, once for reversely sampled images. All before is shared.
#[derive(Debug)]
pub struct BilateralBackbone {
    trunk: Trunk,
    conventional: Block,
    rebalancing: Block,
}

/// A bilateral backbone with one classifier over both branches' features.
#[derive(Debug)]
pub struct BilateralModel {
    /// Images to the features of either branch.
    pub backbone: BilateralBackbone,
    /// Features of both branches, side by side, to logits.
    pub classifier: Classifier,
    config: ImageModelConfig,
}

/// The share of the conventional branch in `epoch` (from 1) of `epochs`: `1 − ((epoch − 1) / epochs)²` (Zhou et al., 2020, Eq. 5,
/// counted from 0 as in the released code).
pub fn bilateral_alpha(epoch: u64, epochs: u64) -> f64 {
    let done = epoch.saturating_sub(1) as f64 / epochs.max(1) as f64;
    1.0 - done * done
}

/// The name that a bilateral model's variable has in a plain model of `kind`, so that one pre-trained block can fill both branches.
pub fn plain_name(kind: ModelKind, name: &str) -> Cow<'_, str> {
    let last = match kind {
        ModelKind::ResNet32 => "layer3.4",
        ModelKind::ResNet18 => "layer4.1",
        ModelKind::ResNet50 | ModelKind::ResNeXt50 => "layer4.2",
    };
    let rest = [CONVENTIONAL, REBALANCING].iter().find_map(|branch| name.strip_prefix(branch)?.strip_prefix('.'));
    match rest {
        Some(rest) => format!("{last}.{rest}").into(),
        None => name.into(),
    }
}

impl BilateralBackbone {
    fn new(path: &nn::Path, init: &mut Initializer, kind: ModelKind) -> Result<Self, ModelError> {
        let (trunk, last) = Trunk::new(path, init, kind, BackboneOptions::default())?;
        let conventional = last.build(&(path / CONVENTIONAL), init)?;
        let rebalancing = last.build(&(path / REBALANCING), init)?;
        Ok(Self { trunk, conventional, rebalancing })
    }

    /// What both branches start from.
    ///
    /// # Shapes
    /// - `xs`: `[n, 3, height, width]`
    /// - output: `[n, width, rows, columns]`
    ///
    /// # Errors
    /// As [`super::Backbone::features`].
    pub fn trunk(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        self.trunk.forward(xs, train)
    }

    /// Features of the conventional branch, from the trunk's output.
    ///
    /// # Shapes
    /// - `trunk`: as [`BilateralBackbone::trunk`] gives it
    /// - output: `[n, width]`
    ///
    /// # Errors
    /// As [`super::Backbone::features`].
    pub fn conventional(&self, trunk: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        pool(&self.conventional.forward(trunk, train)?)
    }

    /// Features of the re-balancing branch, from the trunk's output.
    ///
    /// # Shapes
    /// As [`BilateralBackbone::conventional`].
    ///
    /// # Errors
    /// As [`super::Backbone::features`].
    pub fn rebalancing(&self, trunk: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        pool(&self.rebalancing.forward(trunk, train)?)
    }
}

impl BilateralModel {
    /// Adds the model's variables under `path`, with initial values that `seed` decides.
    ///
    /// # Errors
    /// [`ModelError`]: no classes, or a cosine scale that is not a number above 0.
    pub fn new(path: &nn::Path, config: ImageModelConfig, seed: u64) -> Result<Self, ModelError> {
        let shape = config.classifier(2 * config.model.width())?;
        let init = &mut Initializer::new(seed);
        let backbone = BilateralBackbone::new(path, init, config.model)?;
        let classifier = Classifier::new(&(path / CLASSIFIER), init, shape)?;
        Ok(Self { backbone, classifier, config })
    }

    /// What the model was made from.
    pub fn config(&self) -> &ImageModelConfig {
        &self.config
    }

    /// The features of both branches, weighted and side by side: `[2α·f_c, 2(1 − α)·f_r]` (Zhou et al., 2020, Eq. 2, and the 2
    /// of the released code, which makes α = ½ the plain concatenation).
    ///
    /// # Shapes
    /// - `conventional`, `rebalancing`: `[n, width]`
    /// - output: `[n, 2·width]`
    ///
    /// # Errors
    /// [`ModelError::Alpha`], or what libtorch refuses.
    pub fn mix(conventional: &Tensor, rebalancing: &Tensor, alpha: f64) -> Result<Tensor, ModelError> {
        if !(0.0..=1.0).contains(&alpha) {
            return Err(ModelError::Alpha { found: alpha });
        }
        let weighted = [conventional.f_mul_scalar(2.0 * alpha)?, rebalancing.f_mul_scalar(2.0 * (1.0 - alpha))?];
        Ok(Tensor::f_cat(&weighted, 1)?)
    }

    /// Mixed features for training: `uniform` are images of the uniform sampler, for the conventional branch; `reversed` those of
    /// the reversed sampler.
    ///
    /// # Shapes
    /// - `uniform`, `reversed`: `[n, 3, height, width]`
    /// - output: `[n, 2·width]`
    ///
    /// # Errors
    /// As [`super::Backbone::features`] and [`BilateralModel::mix`].
    pub fn mixed_features(&self, uniform: &Tensor, reversed: &Tensor, alpha: f64) -> Result<Tensor, ModelError> {
        // One pass each, as in the released code: batch normalisation sees the two samplers' images apart.
        let conventional = self.backbone.conventional(&self.backbone.trunk(uniform, true)?, true)?;
        let rebalancing = self.backbone.rebalancing(&self.backbone.trunk(reversed, true)?, true)?;
        Self::mix(&conventional, &rebalancing, alpha)
    }

    /// Features for evaluation: both branches on the same images, α = ½.
    ///
    /// # Shapes
    /// - `xs`: `[n, 3, height, width]`
    /// - output: `[n, 2·width]`
    ///
    /// # Errors
    /// As [`super::Backbone::features`].
    pub fn features(&self, xs: &Tensor) -> Result<Tensor, ModelError> {
        let trunk = self.backbone.trunk(xs, false)?;
        let branches = [self.backbone.conventional(&trunk, false)?, self.backbone.rebalancing(&trunk, false)?];
        Ok(Tensor::f_cat(&branches, 1)?)
    }
}
