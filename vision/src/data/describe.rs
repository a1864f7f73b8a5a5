use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use zune_jpeg::JpegDecoder;

use super::{ImageSet, Images, Source, Split};

/// At most so many files of a split are opened for their sizes.
const SAMPLE: usize = 1000;

/// What an image set holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// The data set.
    pub name: String,
    /// Training images of the largest class over those of the smallest.
    pub imbalance_ratio: f64,
    /// The parts: `train`, `validation` where there is one, `test`.
    pub splits: Vec<SplitDescription>,
    /// The classes, by label.
    pub classes: Vec<ClassDescription>,
    /// What they were read from.
    pub sources: Vec<Source>,
    /// What a user should know about the data, a sentence each.
    pub notes: Vec<String>,
}

/// What a part of an image set holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitDescription {
    /// `train`, `validation` or `test`.
    pub name: &'static str,
    /// How many images there are.
    pub images: usize,
    /// Their sizes.
    pub sizes: Sizes,
}

/// Sizes of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// How many images were looked at: all, or an even choice of the files.
    pub looked_at: usize,
    /// Fewest and most columns; none where no image could be looked at.
    pub width: Option<[usize; 2]>,
    /// Fewest and most rows.
    pub height: Option<[usize; 2]>,
    /// Files among them that are no JPEG or PNG.
    pub unreadable: Vec<PathBuf>,
}

/// How many images a class has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassDescription {
    /// Its name.
    pub name: String,
    /// Training images.
    pub train: usize,
    /// Validation images, where the set has them.
    pub validation: Option<usize>,
    /// Test images.
    pub test: usize,
}

impl ImageSet {
    /// Counts classes and looks at sizes. Of images in files, an even choice of at most 1,000 a split is opened.
    pub fn describe(&self) -> Description {
        let train = self.train_counts();
        let of = |split: &Split| split.class_counts(self.classes.len());
        let (validation, test) = (self.validation.as_ref().map(of), of(&self.test));
        let classes = self.classes.iter().enumerate().map(|(class, name)| ClassDescription {
            name: name.clone(),
            train: train[class],
            validation: validation.as_ref().map(|counts| counts[class]),
            test: test[class],
        });
        let (most, fewest) = (train.iter().max().copied(), train.iter().min().copied());
        let splits =
            [("train", Some(&self.train)), ("validation", self.validation.as_ref()), ("test", Some(&self.test))];
        Description {
            name: self.name.clone(),
            imbalance_ratio: most.unwrap_or_default() as f64 / fewest.unwrap_or_default() as f64,
            splits: splits.into_iter().filter_map(|(name, split)| Some(describe_split(name, split?))).collect(),
            classes: classes.collect(),
            sources: self.sources.clone(),
            notes: self.notes.clone(),
        }
    }
}

fn describe_split(name: &'static str, split: &Split) -> SplitDescription {
    let sizes = match &split.images {
        Images::Memory(pixels) => Sizes {
            looked_at: pixels.len(),
            width: Some([pixels.width; 2]),
            height: Some([pixels.height; 2]),
            unreadable: Vec::new(),
        },
        Images::Files(paths) => sizes_of_files(paths),
    };
    SplitDescription { name, images: split.len(), sizes }
}

fn sizes_of_files(paths: &[PathBuf]) -> Sizes {
    let looked_at = paths.len().min(SAMPLE);
    let chosen = (0..looked_at).into_par_iter().map(|place| &paths[place * paths.len() / looked_at]);
    let found: Vec<(&PathBuf, Option<(usize, usize)>)> = chosen.map(|path| (path, dimensions(path))).collect();
    let range = |of: fn((usize, usize)) -> usize| {
        let all = || found.iter().filter_map(|(_, size)| *size).map(of);
        Some([all().min()?, all().max()?])
    };
    let unreadable = found.iter().filter(|(_, size)| size.is_none()).map(|(path, _)| (*path).clone()).collect();
    Sizes { looked_at, width: range(|(width, _)| width), height: range(|(_, height)| height), unreadable }
}

/// Width and height, from the header of the file; told by its content, not by its ending.
fn dimensions(path: &Path) -> Option<(usize, usize)> {
    let open = || Some(BufReader::new(File::open(path).ok()?));
    if let Ok(png) = png::Decoder::new(open()?).read_info() {
        return Some((png.info().width as usize, png.info().height as usize));
    }
    let mut jpeg = JpegDecoder::new(open()?);
    jpeg.decode_headers().ok()?;
    jpeg.dimensions()
}
