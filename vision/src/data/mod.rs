//! Image sets: what is read, and how it is made long-tailed.
//!
//! [`ImageSet::load`] reads any data set that the program knows: [`cifar`], list files ([`list`]), a [`folder`] a class,
//! or [`synthetic`] images. [`long_tail`] says how many images each class of a long-tailed subset has, [`subset`] which.
//! [`fetch`] downloads what is published.

mod archive;
pub mod cifar;
mod describe;
mod error;
pub mod fetch;
pub mod folder;
mod hold_out;
pub mod list;
pub mod long_tail;
mod mt19937;
mod set;
mod source;
pub mod subset;
pub mod synthetic;

use std::path::PathBuf;

pub use describe::{ClassDescription, Description, Sizes, SplitDescription};
pub use error::DataError;
pub use hold_out::{HeldOut, HoldOut};
pub use long_tail::{LongTailError, Profile, class_counts};
pub use set::{DatasetKind, ImageSet, LoadOptions, MissingImage, MissingImages};
pub use source::Source;
pub(crate) use source::hex;
pub use subset::{LongTail, SubsetManifest, SubsetRng, choose};

/// Images with their classes.
#[derive(Clone, Debug)]
pub struct Split {
    /// The images.
    pub images: Images,
    /// The class of each.
    pub labels: Vec<u32>,
}

/// Where images are.
#[derive(Clone, Debug)]
pub enum Images {
    /// All in memory, of one size.
    Memory(Pixels),
    /// One file each, JPEG or PNG.
    Files(Vec<PathBuf>),
}

/// RGB images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// `[n, height, width, 3]`.
    pub bytes: Vec<u8>,
}

impl Split {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many images each of `classes` classes has.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// These images in this order, an image as often as its index is named.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`].
    pub fn select(&self, indices: &[usize]) -> Result<Self, DataError> {
        let len = self.images.len().min(self.labels.len());
        if let Some(&index) = indices.iter().find(|&&index| index >= len) {
            return Err(DataError::IndexOutOfRange { index, len });
        }
        let images = match &self.images {
            Images::Files(paths) => Images::Files(indices.iter().map(|&index| paths[index].clone()).collect()),
            Images::Memory(pixels) => {
                let mut bytes = Vec::with_capacity(indices.len() * pixels.height * pixels.width * 3);
                indices.iter().for_each(|&index| bytes.extend_from_slice(pixels.image(index)));
                Images::Memory(Pixels { bytes, ..*pixels })
            }
        };
        Ok(Self { images, labels: indices.iter().map(|&index| self.labels[index]).collect() })
    }
}

impl Images {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(pixels) => pixels.len(),
            Self::Files(paths) => paths.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Pixels {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / (self.height * self.width * 3)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Image `index`, `[height, width, 3]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height * self.width * 3;
        &self.bytes[index * size..(index + 1) * size]
    }
}
