//! Image sets: what is read, and how it is made long-tailed.

use std::path::PathBuf;

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
