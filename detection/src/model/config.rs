//! What decides a detector's variables.

use imbalance_vision::model::{BackboneOptions, ModelKind, Norm, StrideIn};
use serde::{Deserialize, Serialize};

use super::ModelError;
use super::anchors::AnchorConfig;

/// What the sixth level is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum P6From {
    /// The backbone's last stage (the paper, Detectron2)
    #[default]
    C5,
    /// The fifth level (torchvision's first version)
    P5,
}

/// Whose layout the backbone's weights have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackboneWeights {
    /// Stride in the 3×3 convolutions
    #[default]
    Torchvision,
    /// Stride in the first 1×1 convolutions
    Detectron,
}

/// A RetinaNet's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RetinaNetConfig {
    /// Backbone.
    pub backbone: ModelKind,
    /// Classes of objects, without background.
    pub classes: i64,
    /// Layout of the backbone.
    pub backbone_weights: BackboneWeights,
    /// Whether the backbone's batch normalisations are affine maps that stay as they are.
    pub frozen_norm: bool,
    /// Added to the variance of frozen normalisations.
    pub norm_epsilon: f64,
    /// How many of the backbone's parts are not trained: the stem, then each stage.
    pub frozen_parts: usize,
    /// Channels of pyramid and towers.
    pub channels: i64,
    /// Convolutions in each tower.
    pub tower: usize,
    /// What the sixth level is made of.
    pub p6_from: P6From,
    /// Anchors.
    pub anchors: AnchorConfig,
    /// The probability that every class starts with (section 4.1 of the paper, "π").
    pub prior: f64,
}

impl Default for RetinaNetConfig {
    fn default() -> Self {
        Self {
            backbone: ModelKind::ResNet50,
            classes: 80,
            backbone_weights: BackboneWeights::default(),
            frozen_norm: true,
            norm_epsilon: imbalance_train::batch_norm::EPSILON,
            frozen_parts: 2,
            channels: 256,
            tower: 4,
            p6_from: P6From::C5,
            anchors: AnchorConfig::default(),
            prior: 0.01,
        }
    }
}

impl RetinaNetConfig {
    /// # Errors
    /// [`ModelError::Setting`], which names the first setting out of range.
    pub fn check(&self) -> Result<(), ModelError> {
        let refuse = |text: String| Err(ModelError::Setting(text));
        self.anchors.check()?;
        if self.anchors.sizes.len() != LEVELS {
            return refuse(format!(
                "anchor sizes are {:?}, but should be {LEVELS}, one for each level",
                self.anchors.sizes
            ));
        }
        if self.backbone == ModelKind::ResNet32 {
            return refuse(
                "the backbone resnet-32 has no stages of stride 8, 16 and 32; take resnet-18 or resnet-50".into(),
            );
        }
        if self.classes < 1 {
            return refuse(format!("{} classes; a detector needs at least one", self.classes));
        }
        if !(self.prior > 0.0 && self.prior < 1.0) {
            return refuse(format!("the prior is {}, but should lie between 0 and 1", self.prior));
        }
        if self.channels < 1 || self.frozen_parts > PARTS {
            return refuse(format!(
                "channels ({}) should be at least 1 and frozen parts ({}) at most {PARTS}",
                self.channels, self.frozen_parts
            ));
        }
        Ok(())
    }

    pub(super) fn backbone_options(&self) -> BackboneOptions {
        BackboneOptions {
            norm: if self.frozen_norm { Norm::Frozen { epsilon: self.norm_epsilon } } else { Norm::Trained },
            stride_in: match self.backbone_weights {
                BackboneWeights::Torchvision => StrideIn::Conv2,
                BackboneWeights::Detectron => StrideIn::Conv1,
            },
        }
    }

    /// Whether the variable of this name stays as it is.
    pub(super) fn frozen(&self, name: &str) -> bool {
        let part = match name.strip_prefix("backbone.body.") {
            Some(rest) if rest.starts_with("conv1.") || rest.starts_with("bn1.") => 1,
            Some(rest) => match rest.strip_prefix("layer").and_then(|rest| rest.as_bytes().first()) {
                Some(digit @ b'1'..=b'4') => usize::from(digit - b'0') + 1,
                _ => return false,
            },
            None => return false,
        };
        part <= self.frozen_parts
    }
}

/// P3 to P7.
const LEVELS: usize = 5;
/// The stem and four stages.
const PARTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_parts_are_the_first_ones() {
        let config = RetinaNetConfig { frozen_parts: 2, ..RetinaNetConfig::default() };
        for (name, frozen) in [
            ("backbone.body.conv1.weight", true),
            ("backbone.body.layer1.2.conv1.weight", true),
            ("backbone.body.layer2.0.conv1.weight", false),
            ("backbone.fpn.inner_blocks.0.0.weight", false),
            ("head.classification_head.conv.0.0.weight", false),
        ] {
            assert_eq!(config.frozen(name), frozen, "{name}");
        }
        assert!(!RetinaNetConfig { frozen_parts: 0, ..config }.frozen("backbone.body.conv1.weight"));
    }

    #[test]
    fn bad_settings_are_named() {
        let good = RetinaNetConfig::default();
        good.check().unwrap();
        let said = |bad: RetinaNetConfig| bad.check().unwrap_err().to_string();
        assert!(said(RetinaNetConfig { classes: 0, ..good.clone() }).contains("classes"));
        assert!(said(RetinaNetConfig { prior: 1.0, ..good.clone() }).contains("prior"));
        assert!(said(RetinaNetConfig { backbone: ModelKind::ResNet32, ..good.clone() }).contains("resnet-32"));
        assert!(said(RetinaNetConfig { frozen_parts: 6, ..good }).contains("frozen parts"));
    }
}
