//! Images made from a seed, so that a first run needs no data: coloured shapes on textured backgrounds.
//!
//! One to six shapes lie in an image, at sizes from a seventh to more than half of it, some partly covered by others or cut by
//! the border; boxes are those of what can be seen. The classes are long-tailed: of the last, about one object comes on
//! twenty of the first. Three of four shapes have their class's colour. All arithmetic is on integers: the same seed gives the
//! same bytes everywhere.

mod draws;
mod outline;
mod paint;
mod scene;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use imbalance_evaluation::coco::Frequency;
use imbalance_vision::augment::RgbImage;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::draws::Draws;
pub use self::scene::Scene;
use super::read::hex;
use super::{Category, DataError, Dataset, Image, ImageSource};

/// The classes, by name, from the most frequent on.
pub const CLASSES: [&str; 8] = ["circle", "square", "triangle", "star", "cross", "ring", "crescent", "bar"];

/// How frequent the classes are, relative to each other: a geometric series from 100 to 5.
const WEIGHTS: [i32; 8] = [100, 65, 43, 28, 18, 12, 8, 5];

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What all is a function of.
    pub seed: u64,
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
    /// Rows and columns of an image; taken for 64 or 1024 where it is below or above.
    pub side: u32,
}

impl Default for Options {
    /// Seed 0, 600 training and 150 validation images of 160x160 pixels.
    fn default() -> Self {
        Self { seed: 0, train: 600, val: 150, side: 160 }
    }
}

/// Training and validation images. Their pixels are drawn when they are asked for.
pub fn generate(options: &Options) -> (Dataset, Dataset) {
    let part = |purpose, count| dataset(options.seed, purpose, count, options.side.clamp(64, 1024));
    (part(b"train   ", options.train), part(b"val     ", options.val))
}

fn dataset(seed: u64, purpose: &[u8; 8], count: usize, side: u32) -> Dataset {
    let scenes: Vec<Scene> = (0..count as u64)
        .into_par_iter()
        .map(|index| Scene::compose(side as i32, &mut Draws::new(seed, purpose, index)))
        .collect();
    let mut annotation = 0;
    let image = |(scene, id): (Scene, i64)| {
        let mut objects = scene.objects();
        for object in &mut objects {
            annotation += 1;
            object.annotation = annotation;
        }
        let (negative, not_exhaustive) = (Vec::new(), Vec::new());
        let source = ImageSource::Generated(Arc::new(scene));
        Image { id, source, width: side, height: side, objects, negative, not_exhaustive }
    };
    let images = scenes.into_iter().zip(1..).map(image).collect();
    let mut set = Dataset { categories: categories(), images, file: None, sha256: String::new() };
    let mut text = Vec::new();
    let written = set.write_annotations(&mut text);
    debug_assert!(written.is_ok(), "memory takes all that is written");
    set.sha256 = hex(&Sha256::digest(&text));
    set
}

/// The first three classes count as frequent, the last two as rare.
fn categories() -> Vec<Category> {
    let category = |(class, name): (usize, &&str)| {
        let frequency = match class {
            0..3 => Frequency::Frequent,
            3..6 => Frequency::Common,
            _ => Frequency::Rare,
        };
        Category { id: class as i64 + 1, name: (*name).to_owned(), frequency: Some(frequency) }
    };
    CLASSES.iter().enumerate().map(category).collect()
}

/// Writes generated images as PNG files, and their annotations, in COCO's layout ([`super::Layout`]).
///
/// # Errors
/// [`DataError::Io`].
pub fn write(folder: &Path, train: &Dataset, val: &Dataset) -> Result<(), DataError> {
    let make = |path: &Path| fs::create_dir_all(path).map_err(|reason| DataError::Io { path: path.into(), reason });
    make(&folder.join("annotations"))?;
    for (name, set) in [("train", train), ("val", val)] {
        let images = folder.join(name);
        make(&images)?;
        set.images.par_iter().try_for_each(|image| {
            let ImageSource::Generated(scene) = &image.source else { return Ok(()) };
            let mut pixels = RgbImage::default();
            scene.draw(&mut pixels);
            let path = images.join(image.file_name());
            write_png(&path, &pixels).map_err(|reason| DataError::Io { path, reason })
        })?;
        set.save_annotations(&folder.join(format!("annotations/instances_{name}.json")))?;
    }
    Ok(())
}

fn write_png(path: &Path, image: &RgbImage) -> io::Result<()> {
    let mut to = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(&mut to, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.bytes)?;
    writer.finish()?;
    to.flush()
}
