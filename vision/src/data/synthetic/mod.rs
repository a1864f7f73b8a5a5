//! Images made from a seed, so that a first run needs no data: one of five shapes, filled by one of two textures, in
//! front of a background and partly covered.
//!
//! Both shape and texture make the class. Position, size, angle, colours, background, cover and noise tell nothing of it.
//! All arithmetic is on integers: the same seed gives the same bytes everywhere.

mod draw;
mod paint;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::draw::draw;
use super::source::hex;
use super::{ImageSet, Images, MissingImages, Pixels, Source, Split};

/// The classes, by name; class `c` has shape `c / 2` and texture `c % 2`.
pub const CLASSES: [&str; 10] = [
    "striped disc",
    "checked disc",
    "striped ring",
    "checked ring",
    "striped square",
    "checked square",
    "striped triangle",
    "checked triangle",
    "striped cross",
    "checked cross",
];

/// Rows and columns of an image.
pub const SIDE: usize = 32;

/// Training images of each class, before the set is made long-tailed.
pub const TRAIN_PER_CLASS: usize = 1000;

/// Test images of each class.
pub const TEST_PER_CLASS: usize = 100;

/// The image set of a seed, balanced.
pub fn generate(seed: u64) -> ImageSet {
    let train = split(seed, b"train   ", TRAIN_PER_CLASS);
    let test = split(seed, b"test    ", TEST_PER_CLASS);
    let mut hash = Sha256::new();
    for split in [&train, &test] {
        if let Images::Memory(pixels) = &split.images {
            hash.update(&pixels.bytes);
        }
        split.labels.iter().for_each(|label| hash.update(label.to_le_bytes()));
    }
    ImageSet {
        name: "synthetic".into(),
        classes: CLASSES.map(str::to_owned).into(),
        train,
        validation: None,
        test,
        sources: vec![Source { path: None, sha256: hex(&hash.finalize()) }],
        missing: MissingImages::default(),
        notes: Vec::new(),
    }
}

/// `per_class` images of each class, the classes taking turns.
fn split(seed: u64, purpose: &[u8; 8], per_class: usize) -> Split {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(purpose);
    let count = per_class * CLASSES.len();
    let mut bytes = vec![0; count * SIDE * SIDE * 3];
    bytes.par_chunks_exact_mut(SIDE * SIDE * 3).enumerate().for_each(|(index, image)| {
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index as u64);
        draw(index % CLASSES.len(), &mut Draws(rng), image);
    });
    let labels = (0..count).map(|index| (index % CLASSES.len()) as u32).collect();
    Split { images: Images::Memory(Pixels { height: SIDE, width: SIDE, bytes }), labels }
}

/// Uniform integers.
struct Draws(ChaCha8Rng);

impl Draws {
    /// One of `low..=high`.
    fn within(&mut self, low: i32, high: i32) -> i32 {
        let span = u64::from((high - low) as u32) + 1;
        low + ((u64::from(self.0.next_u32()) * span) >> 32) as i32
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: i32) -> bool {
        self.within(1, n) == 1
    }
}
