//! Scaling, mirroring and normalisation of images and their boxes.

mod pixels;
mod size;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use imbalance_vision::augment::{DrawKey, RgbImage};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::DataError;
pub use size::{flip_box, resized, scale_box};

/// The order of a pixel's channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelOrder {
    /// Red first, as torchvision's weights have it.
    #[default]
    Rgb,
    /// Blue first, as the original Detectron's weights have it.
    Bgr,
}

/// How colours become numbers: `(value − mean) / std`, values from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Colour {
    /// The order of the channels, those of `mean` and `std` among them.
    pub order: ChannelOrder,
    /// Subtracted from each channel.
    pub mean: [f32; 3],
    /// What each channel is divided by.
    pub std: [f32; 3],
}

impl Colour {
    /// That of torchvision's weights.
    pub const TORCHVISION: Self =
        Self { order: ChannelOrder::Rgb, mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] };

    /// That of the weights of the original Detectron and of Detectron2's model zoo.
    pub const DETECTRON: Self = Self { order: ChannelOrder::Bgr, mean: [103.53, 116.28, 123.675], std: [1.0; 3] };
}

/// What is done to an image and its boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Transform {
    /// Lengths of the shorter side, in pixels; one is drawn for each occurrence of an image.
    pub short_sides: Vec<usize>,
    /// The longest that the longer side may become; the shorter one is smaller than drawn then.
    pub long_side: usize,
    /// Probability of being mirrored left to right.
    pub flip: f64,
    /// Whether an image is smoothed when it becomes smaller, as PIL's `BILINEAR` does, or each pixel is made of the nearest
    /// four, as torch's `interpolate(mode="bilinear")` does.
    pub antialias: bool,
    /// How colours become numbers.
    pub colour: Colour,
    /// Rows and columns of a batch are multiples of this.
    pub multiple_of: usize,
}

/// What chance chose for one occurrence of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageDraw {
    /// Length of the shorter side.
    pub short_side: usize,
    /// Whether it is mirrored.
    pub flip: bool,
}

/// Why an image could not be scaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}x{} pixels cannot be scaled to {}x{}: {reason}", .from.0, .from.1, .to.0, .to.1)]
pub struct TransformError {
    /// Rows and columns.
    pub from: (usize, usize),
    /// Rows and columns that were asked for.
    pub to: (usize, usize),
    /// What the resizer says.
    pub reason: String,
}

/// Working memory of one thread, kept from image to image.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
    pixels: Vec<u8>,
}

impl Transform {
    /// Training of the 1x schedule: the shorter side from 640 to 800 in steps of 32, the longer at most 1333, mirrored half of
    /// the time.
    pub fn train(colour: Colour) -> Self {
        Self { short_sides: (640..=800).step_by(32).collect(), flip: 0.5, ..Self::evaluate(colour) }
    }

    /// Evaluation: the shorter side 800, the longer at most 1333.
    pub fn evaluate(colour: Colour) -> Self {
        Self { short_sides: vec![800], long_side: 1333, flip: 0.0, antialias: true, colour, multiple_of: 32 }
    }

    /// Whether the settings have a meaning.
    ///
    /// # Errors
    /// [`DataError::Setting`].
    pub fn check(&self) -> Result<(), DataError> {
        let wrong = |name, found: String, expected| Err(DataError::Setting { name, found, expected });
        let sides = 1..=usize::from(u16::MAX);
        if self.short_sides.is_empty() || self.short_sides.iter().any(|side| !sides.contains(side)) {
            return wrong(
                "the list of short sides",
                format!("{:?}", self.short_sides),
                "one or more numbers from 1 to 65535",
            );
        }
        if !sides.contains(&self.long_side) {
            return wrong("the long side", self.long_side.to_string(), "from 1 to 65535");
        }
        if !(0.0..=1.0).contains(&self.flip) {
            return wrong("the probability of mirroring", self.flip.to_string(), "from 0 to 1");
        }
        if !(1..=1024).contains(&self.multiple_of) {
            return wrong("what sizes are multiples of", self.multiple_of.to_string(), "from 1 to 1024");
        }
        if self.colour.mean.iter().any(|mean| !mean.is_finite()) {
            return wrong("the mean of the colours", format!("{:?}", self.colour.mean), "three finite numbers");
        }
        if self.colour.std.iter().any(|std| !(std.is_finite() && *std > 0.0)) {
            return wrong("the deviation of the colours", format!("{:?}", self.colour.std), "three numbers above 0");
        }
        Ok(())
    }

    /// What chance chooses for the occurrence `key`.
    pub fn draw(&self, key: &DrawKey) -> ImageDraw {
        let mut rng = key.rng();
        let choice = rng.random_range(0..self.short_sides.len().max(1) as u64) as usize;
        let flip = self.flip > 0.0 && rng.random::<f64>() < self.flip;
        ImageDraw { short_side: self.short_sides.get(choice).copied().unwrap_or(self.long_side), flip }
    }

    /// Rows and columns of an image of `size` after `draw`.
    pub fn resized(&self, size: (usize, usize), draw: &ImageDraw) -> (usize, usize) {
        resized(size, draw.short_side, self.long_side)
    }

    /// Rows and columns that hold images of these, as multiples of what they should be.
    pub fn padded(&self, sizes: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
        let (rows, columns) = sizes.fold((0, 0), |most, size| (most.0.max(size.0), most.1.max(size.1)));
        (rows.next_multiple_of(self.multiple_of), columns.next_multiple_of(self.multiple_of))
    }

    /// A box of an image of size `from`, in that image after `draw`, which made it of size `to`.
    pub fn apply_to_box(&self, bbox: [f32; 4], from: (usize, usize), to: (usize, usize), draw: &ImageDraw) -> [f32; 4] {
        let scaled = scale_box(bbox, from, to);
        if draw.flip { flip_box(scaled, to.1) } else { scaled }
    }

    /// Scales, mirrors and normalises `image`, into the upper left corner of `out`, 0 around it. `image` is used up: its
    /// pixels are in another order then.
    ///
    /// # Shapes
    /// - `out`: `[padded rows, padded columns, 3]`, at least as large as [`resized`](Self::resized) says
    ///
    /// # Errors
    /// Sizes that do not fit each other.
    pub fn apply(
        &self,
        image: &mut RgbImage,
        draw: &ImageDraw,
        padded: (usize, usize),
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), TransformError> {
        let from = (image.height, image.width);
        let wrong = |to, reason: String| TransformError { from, to, reason };
        let numbers = image.height * image.width * 3;
        if numbers == 0 || image.bytes.len() != numbers {
            return Err(wrong((0, 0), format!("it has {} bytes", image.bytes.len())));
        }
        let to = self.resized(from, draw);
        if to.0 > padded.0 || to.1 > padded.1 || out.len() != padded.0 * padded.1 * 3 {
            let room = format!("there is room for {} numbers of {}x{} pixels", out.len(), padded.0, padded.1);
            return Err(wrong(to, room));
        }
        // Before scaling, which makes more pixels as a rule; the filter is symmetric, so that the order does not matter.
        pixels::arrange(&mut image.bytes, image.width, draw.flip, self.colour.order);
        let bytes = if from == to {
            &image.bytes
        } else {
            let Scratch { resizer, pixels } = scratch;
            pixels.resize(to.0 * to.1 * 3, 0);
            self.scale(resizer, image, to, pixels).map_err(|error| wrong(to, error.to_string()))?;
            pixels
        };
        pixels::normalise(bytes, to.1, &self.colour, padded.1, out);
        Ok(())
    }

    fn scale(
        &self,
        resizer: &mut Resizer,
        image: &RgbImage,
        to: (usize, usize),
        out: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error>> {
        let algorithm = match self.antialias {
            true => ResizeAlg::Convolution(FilterType::Bilinear),
            false => ResizeAlg::Interpolation(FilterType::Bilinear),
        };
        // `check` and the decoder have it that sides fit.
        let from = TypedImageRef::<U8x3>::from_buffer(image.width as u32, image.height as u32, &image.bytes)?;
        let mut out = TypedImage::<U8x3>::from_buffer(to.1 as u32, to.0 as u32, out)?;
        resizer.resize_typed(&from, &mut out, &ResizeOptions::new().resize_alg(algorithm))?;
        Ok(())
    }
}
