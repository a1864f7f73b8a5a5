//! From image files and pixels to normalised batches: decoding, augmentation, and loading ahead of the training step.
//!
//! [`Augment`] says what is done to an image, [`Draw`] what chance chose for one occurrence of it, [`Augmenter`] does it,
//! [`Loader`] does it to batches, on threads of its own where that pays. Nothing here sees a tensor library.
//!
//! All random choices about an image are a function of [`DrawKey`] (seed, epoch, image, position in the epoch): neither
//! the number of threads nor the batch at which a run starts changes a pixel.

mod augmenter;
mod config;
mod decode;
mod draw;
#[cfg(test)]
mod fixture;
mod jitter;
mod layout;
mod loader;
mod preset;
mod resize;

pub use augmenter::{Augmenter, ImageRef, Scratch};
pub use config::{Augment, AugmentError, ColorJitter, Crop};
pub use decode::{DecodeError, ImageError, Orientation, RgbImage, decode, decode_file, decode_into};
pub use draw::{Adjustment, Draw, DrawKey, Placement};
pub use layout::Layout;
pub use loader::{LoadError, LoadedBatch, Loader, LoaderOptions, OnBadImage, Skipped};
pub use preset::Preset;
