//! The settings that the paper trains each data set with.

use super::config::{Augment, ColorJitter, Crop};

/// How the images of a data set are augmented for training, prepared for evaluation and normalised.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// What part of an image is trained on.
    pub train_crop: Crop,
    /// What part of an image is evaluated.
    pub evaluate_crop: Crop,
    /// Probability that a training image is mirrored.
    pub flip: f64,
    /// Colour changes of training images.
    pub jitter: Option<ColorJitter>,
    /// Mean of each channel, of pixels in `0..=1`.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of pixels in `0..=1`.
    pub std: [f32; 3],
}

impl Preset {
    /// CIFAR: crop of 32 from the image padded by 4, mirrored half of the time (paper, section 5.2).
    pub fn cifar() -> Self {
        Self {
            train_crop: Crop::Padded { size: 32, padding: 4 },
            evaluate_crop: Crop::Center { resize: None, size: 32 },
            flip: 0.5,
            jitter: None,
            mean: [0.4914, 0.4822, 0.4465],
            std: [0.2023, 0.1994, 0.2010],
        }
    }

    /// ImageNet-LT and Places-LT: random resized crop of 224, mirrored half of the time, colours changed by up to 0.4;
    /// evaluated on the central 224 of the image scaled to 256 (paper, section 5.3).
    pub fn imagenet() -> Self {
        Self {
            train_crop: Crop::RandomResized { size: 224, scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] },
            evaluate_crop: Crop::Center { resize: Some(256), size: 224 },
            flip: 0.5,
            jitter: Some(ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4 }),
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// iNaturalist 2018: as [`imagenet`](Self::imagenet), with the channels' own statistics.
    pub fn inaturalist() -> Self {
        Self { mean: [0.466, 0.471, 0.380], std: [0.195, 0.194, 0.192], ..Self::imagenet() }
    }
}

impl Augment {
    /// What `preset` does to training images.
    pub fn train(preset: &Preset) -> Self {
        Self { crop: preset.train_crop, flip: preset.flip, jitter: preset.jitter, mean: preset.mean, std: preset.std }
    }

    /// What `preset` does to images that are evaluated: the same each time.
    pub fn evaluate(preset: &Preset) -> Self {
        Self { crop: preset.evaluate_crop, flip: 0.0, jitter: None, mean: preset.mean, std: preset.std }
    }
}
