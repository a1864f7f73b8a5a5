//! Residual networks: a backbone that makes features of images, a classifier that makes logits of features.
//!
//! Parameters have torchvision's names (`conv1`, `bn1`, `layer1.0.conv1`, …, `layer2.0.downsample.0`, `fc`), so that weights
//! go either way ([`crate::weights`]). Activations keep the type and memory format of their input: bfloat16 (by
//! autocast) and channels_last pass through.

mod backbone;
mod bilateral;
mod block;
mod classifier;
mod error;
mod image_model;
mod init;
mod kind;
mod layers;
mod scale;

pub use backbone::{Backbone, BackboneOptions, Norm, StrideIn};
pub use bilateral::{BilateralBackbone, BilateralModel, bilateral_alpha, plain_name};
pub use classifier::{CLASSIFIER, Classifier};
pub use error::ModelError;
pub use image_model::{ImageModel, ImageModelConfig};
pub use kind::ModelKind;
pub use scale::LearnableScale;
