//! What is done to an image before the model sees it.

use serde::{Deserialize, Serialize};

/// The transforms of an image, in the order in which they are applied: crop, mirror, colours, normalisation. Each has
/// the meaning of the torchvision transform (on PIL images) that its documentation names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Augment {
    /// What part of the image is taken, and its size.
    pub crop: Crop,
    /// Probability that it is mirrored left to right (`RandomHorizontalFlip`).
    pub flip: f64,
    /// Random changes of its colours.
    pub jitter: Option<ColorJitter>,
    /// Subtracted from each channel, of pixels in `0..=1` (`Normalize`).
    pub mean: [f32; 3],
    /// What each channel is then divided by.
    pub std: [f32; 3],
}

/// What part of an image is taken. The result is square.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Crop {
    /// `size`² pixels at a random place of the image with `padding` black pixels on each side (`RandomCrop`).
    Padded {
        /// Rows and columns of the result.
        size: usize,
        /// Black pixels added on each of the four sides: zero before normalisation.
        padding: usize,
    },
    /// A random rectangle scaled to `size`² (`RandomResizedCrop`): area and aspect ratio are drawn up to ten times until
    /// the rectangle fits the image; failing that, the central part whose ratio is nearest to those allowed.
    RandomResized {
        /// Rows and columns of the result.
        size: usize,
        /// Least and greatest share of the image's area.
        scale: [f64; 2],
        /// Least and greatest width over height, drawn uniformly on a logarithmic scale.
        ratio: [f64; 2],
    },
    /// The central `size`² pixels (`Resize`, `CenterCrop`); black where the image is smaller.
    Center {
        /// The image's shorter side is scaled to this first.
        resize: Option<usize>,
        /// Rows and columns of the result.
        size: usize,
    },
}

/// Random changes of brightness, contrast and saturation in a random order (`ColorJitter` with hue 0). A strength `s`
/// draws a factor from `max(0, 1−s)..1+s`; 0 leaves the property alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ColorJitter {
    /// Strength of the change of brightness.
    pub brightness: f64,
    /// Strength of the change of contrast.
    pub contrast: f64,
    /// Strength of the change of saturation.
    pub saturation: f64,
}

/// A setting that has no meaning, or an image that it cannot be applied to.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AugmentError {
    /// A setting out of its range.
    #[error("augmentation: {field} is {value}; {wanted}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// An image too small for a padded crop.
    #[error("an image {width} wide and {height} high with {padding} pixels of padding has no crop of {size}x{size}; images must \
             have {} rows and columns or more", size.saturating_sub(2 * padding))]
    TooSmall {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
        /// Padding on each side.
        padding: usize,
        /// Rows and columns of the crop.
        size: usize,
    },
    /// A buffer or a draw that does not belong to the image or the settings.
    #[error("augmentation: {what} is {found}, not {expected}")]
    Mismatch {
        /// What does not fit.
        what: &'static str,
        /// What it is.
        found: String,
        /// What would fit.
        expected: String,
    },
    /// An image without pixels.
    #[error("an image of {height}x{width} pixels has nothing to crop")]
    NoPixels {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
    },
}

impl Crop {
    /// Rows and columns of the result.
    pub fn size(&self) -> usize {
        match *self {
            Self::Padded { size, .. } | Self::RandomResized { size, .. } | Self::Center { size, .. } => size,
        }
    }

    /// Whether the image is scaled, which is work enough for threads.
    pub fn scales(&self) -> bool {
        !matches!(self, Self::Padded { .. } | Self::Center { resize: None, .. })
    }
}

impl Augment {
    /// Rows and columns of the result.
    pub fn size(&self) -> usize {
        self.crop.size()
    }

    /// Numbers of a result: `3 · size²`.
    pub fn numbers(&self) -> usize {
        3 * self.size() * self.size()
    }

    /// Whether every setting has a meaning.
    pub fn check(&self) -> Result<(), AugmentError> {
        let setting = |field, value: String, wanted| Err(AugmentError::Setting { field, value, wanted });
        // Beyond this, neither an image nor a decoder's limits make sense, and sizes of buffers could overflow.
        if !(1..=MAX_SIZE).contains(&self.size()) {
            return setting("size", self.size().to_string(), "it must be in 1..=16384");
        }
        match self.crop {
            Crop::Padded { padding, .. } if padding > MAX_SIZE => {
                return setting("padding", padding.to_string(), "it must be at most 16384");
            }
            Crop::RandomResized { scale: [low, high], .. } if !(0.0 < low && low <= high && high <= 1.0) => {
                return setting("scale", format!("{low}..{high}"), "it must be a range within 0 (exclusive) to 1");
            }
            Crop::RandomResized { ratio: [low, high], .. } if !(0.0 < low && low <= high && high.is_finite()) => {
                return setting("ratio", format!("{low}..{high}"), "it must be a range of positive numbers");
            }
            Crop::Center { resize: Some(resize), size } if !(size..=MAX_SIZE).contains(&resize) => {
                return setting(
                    "resize",
                    resize.to_string(),
                    "it must be at least the size of the crop, at most 16384",
                );
            }
            _ => {}
        }
        if !(0.0..=1.0).contains(&self.flip) {
            return setting("flip", self.flip.to_string(), "it is a probability, in 0..=1");
        }
        if let Some(ColorJitter { brightness, contrast, saturation }) = self.jitter {
            for (field, value) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
                if !(0.0..=100.0).contains(&value) {
                    return setting(field, value.to_string(), "a strength is in 0..=100");
                }
            }
        }
        if self.mean.iter().any(|mean| !mean.is_finite()) {
            return setting("mean", format!("{:?}", self.mean), "it must be finite");
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return setting("std", format!("{:?}", self.std), "it must be finite and positive");
        }
        Ok(())
    }
}

/// Longest side of a result, before or after its crop.
const MAX_SIZE: usize = 16384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Preset;

    #[test]
    fn presets_are_sound_and_survive_a_file() {
        for preset in [Preset::cifar(), Preset::imagenet(), Preset::inaturalist()] {
            for augment in [Augment::train(&preset), Augment::evaluate(&preset)] {
                augment.check().unwrap();
                let text = serde_json::to_string(&augment).unwrap();
                assert_eq!(serde_json::from_str::<Augment>(&text).unwrap(), augment);
            }
            assert_eq!(Augment::train(&preset).size(), Augment::evaluate(&preset).size());
        }
        assert_eq!(Augment::train(&Preset::cifar()).numbers(), 3 * 32 * 32);
    }

    #[test]
    fn settings_without_a_meaning() {
        let good = Augment::train(&Preset::imagenet());
        let random = |scale, ratio| Crop::RandomResized { size: 224, scale, ratio };
        let jitter = Some(ColorJitter { brightness: 0.4, contrast: f64::NAN, saturation: 0.4 });
        for (bad, field) in [
            (Augment { crop: Crop::Padded { size: 0, padding: 4 }, ..good.clone() }, "size"),
            (Augment { crop: Crop::Padded { size: 4, padding: usize::MAX }, ..good.clone() }, "padding"),
            (Augment { crop: random([0.0, 1.0], [0.75, 1.0]), ..good.clone() }, "scale"),
            (Augment { crop: random([0.5, 0.4], [0.75, 1.0]), ..good.clone() }, "scale"),
            (Augment { crop: random([0.5, 1.1], [0.75, 1.0]), ..good.clone() }, "scale"),
            (Augment { crop: random([0.5, 1.0], [0.0, 1.0]), ..good.clone() }, "ratio"),
            (Augment { crop: Crop::Center { resize: Some(100), size: 224 }, ..good.clone() }, "resize"),
            (Augment { flip: 1.5, ..good.clone() }, "flip"),
            (Augment { jitter, ..good.clone() }, "contrast"),
            (Augment { mean: [0.5, f32::NAN, 0.5], ..good.clone() }, "mean"),
            (Augment { std: [0.5, 0.0, 0.5], ..good.clone() }, "std"),
        ] {
            let Err(AugmentError::Setting { field: found, .. }) = bad.check() else { panic!("{bad:?}") };
            assert_eq!(found, field);
        }
    }
}
