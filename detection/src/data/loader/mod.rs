//! Batches, decoded and transformed ahead of whoever trains on them.

mod ahead;
mod batch;
mod buffers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use imbalance_vision::augment::{DecodeError, OnBadImage, RgbImage};
use rayon::ThreadPool;

use self::ahead::{Ahead, Batches};
use self::batch::{Finished, Source};
use self::buffers::Buffers;
use super::{Batch, DataError, Dataset, ImageDraw, Scratch, Transform, TransformError};
pub use buffers::PixelBuffer;

/// How batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Threads that decode and transform; 0 does it in the caller's.
    pub threads: usize,
    /// How many batches may be ready or in the making before they are asked for; at least 1. A batch of 16 images of up to
    /// 1344x1344 pixels has 350 megabytes.
    pub prefetch: usize,
    /// What happens at an image that cannot be used.
    pub on_bad_image: OnBadImage,
}

impl Default for LoaderOptions {
    /// A thread a core, two batches ahead, no bad images.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, prefetch: 2, on_bad_image: OnBadImage::default() }
    }
}

/// Why an image cannot be used, once it was looked at.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecodeFault {
    /// It cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It has another size than its annotations say, so that its boxes are not where they should be.
    #[error(
        "has {}x{} pixels (rows x columns) where its annotations say {}x{}{}; the \"height\" and \"width\" should be those of \
         the file, as viewers show it", .found.0, .found.1, .expected.0, .expected.1, turned(*.found, *.expected)
    )]
    Size {
        /// Rows and columns of the file.
        found: (usize, usize),
        /// Rows and columns in the annotations.
        expected: (usize, usize),
    },
    /// It cannot be scaled.
    #[error(transparent)]
    Transform(#[from] TransformError),
}

fn turned(found: (usize, usize), expected: (usize, usize)) -> &'static str {
    match found == (expected.1, expected.0) {
        true => " (a camera's EXIF orientation may have turned it)",
        false => "",
    }
}

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An image that cannot be used.
    #[error("{file}: image {image}: {fault}; --on-bad-image skip leaves such images out")]
    Image {
        /// Its file.
        file: String,
        /// Its id.
        image: i64,
        /// What is wrong with it.
        fault: DecodeFault,
    },
    /// Settings without a meaning, or an index that no image has.
    #[error(transparent)]
    Data(#[from] DataError),
    /// No pass is under way, or an error ended it.
    #[error("no pass over the images was started, or an error ended it")]
    NotStarted,
    /// Bad images are left out, and that leaves none.
    #[error("the last {0} batches had no image that could be used; was the image folder changed or unmounted?")]
    NoneUsable(usize),
    /// The threads cannot be started, or died.
    #[error("the threads that load images {0}")]
    Threads(String),
}

/// An image that was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// Its index in the set.
    pub index: usize,
    /// Its id.
    pub image: i64,
    /// Its file.
    pub file: String,
    /// What is wrong with it.
    pub fault: DecodeFault,
    /// How often it was left out.
    pub times: usize,
}

/// An image of a batch, and its boxes.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedImage {
    /// Its index in the set.
    pub index: usize,
    /// Rows and columns of the file.
    pub original: (usize, usize),
    /// Rows and columns in the batch; beyond them there is padding.
    pub resized: (usize, usize),
    /// Whether it is mirrored.
    pub flipped: bool,
    /// x1, y1, x2, y2 of its objects, without crowds, in pixels of the batch.
    pub boxes: Vec<[f32; 4]>,
    /// The class of each.
    pub classes: Vec<usize>,
}

/// A batch.
#[derive(Debug)]
pub struct LoadedBatch {
    /// `[n, height, width, 3]`, the memory of a channels-last tensor: normalised pixels, 0 beyond each image's own size.
    pub pixels: PixelBuffer,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The n images.
    pub images: Vec<LoadedImage>,
    /// How many batches were used up since the pass was started, with this one: more than were delivered, where some had no
    /// usable image. A [`super::SamplerState`] counts by it.
    pub used_up: u64,
}

impl LoadedBatch {
    /// A batch of one image that is in no set, as `transform` without any chance makes it: of the short sides, the first.
    ///
    /// # Errors
    /// An image without pixels.
    pub fn of_image(mut image: RgbImage, transform: &Transform) -> Result<Self, LoadError> {
        transform.check()?;
        let draw = ImageDraw { short_side: transform.short_sides[0], flip: false };
        let original = (image.height, image.width);
        let resized = transform.resized(original, &draw);
        let (height, width) = transform.padded(std::iter::once(resized));
        let mut numbers = vec![0.0; height * width * 3];
        transform
            .apply(&mut image, &draw, (height, width), &mut Scratch::default(), &mut numbers)
            .map_err(|error| LoadError::Image { file: "the image".into(), image: 0, fault: error.into() })?;
        let image = LoadedImage { index: 0, original, resized, flipped: false, boxes: Vec::new(), classes: Vec::new() };
        Ok(Self { pixels: PixelBuffer::new(numbers, None), height, width, images: vec![image], used_up: 1 })
    }
}

/// Every one of these images once. Batches of one are in the order given; larger ones hold images of like shape, so that there
/// is little padding ([`LoadedImage::index`] says which they are).
pub fn evaluation_batches(set: &Dataset, indices: &[usize], batch_size: usize) -> Vec<Batch> {
    let mut order = indices.to_vec();
    if batch_size > 1 {
        let aspect =
            |index: usize| set.images.get(index).map_or(0.0, |image| f64::from(image.width) / f64::from(image.height));
        order.sort_by(|a, b| aspect(*a).total_cmp(&aspect(*b)));
    }
    let chunks = order.chunks(batch_size.max(1));
    let batch = |(number, chunk): (usize, &[usize])| Batch {
        indices: chunk.to_vec(),
        first: (number * batch_size.max(1)) as u64,
    };
    chunks.enumerate().map(batch).collect()
}

/// Decodes and transforms the images of a set, batch by batch. Order and content of the batches are a function of the arguments
/// of [`start`](Self::start) alone, whatever the number of threads. Dropping it stops its threads.
pub struct Loader {
    pass: Option<Pass>,
    used_up: u64,
    source: Arc<Source>,
    pool: Option<Arc<ThreadPool>>,
    options: LoaderOptions,
    buffers: Arc<Buffers>,
    skipped: BTreeMap<usize, Skipped>,
}

enum Pass {
    /// Batches are made when they are asked for.
    Inline { batches: Batches, seed: u64 },
    /// Threads make them.
    Ahead(Ahead),
}

impl Loader {
    /// Loads the images of `set` as `transform` says.
    ///
    /// # Errors
    /// Settings without a meaning; threads that cannot be started.
    pub fn new(set: Arc<Dataset>, transform: Transform, options: LoaderOptions) -> Result<Self, LoadError> {
        transform.check()?;
        let pool = match options.threads {
            0 => None,
            threads => {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|index| format!("load-{index}"))
                    .build()
                    .map_err(|error| LoadError::Threads(format!("cannot be started: {error}")))?;
                Some(Arc::new(pool))
            }
        };
        let source = Arc::new(Source { set, transform });
        let (buffers, skipped) = (Arc::default(), BTreeMap::new());
        Ok(Self { pass: None, used_up: 0, source, pool, options, buffers, skipped })
    }

    /// Starts on these batches ([`super::Sampler`], [`evaluation_batches`]), in place of those under way. Threads begin at once.
    pub fn start<I>(&mut self, batches: I, seed: u64)
    where
        I: IntoIterator<Item = Batch>,
        I::IntoIter: Send + 'static,
    {
        self.used_up = 0;
        let batches: Batches = Box::new(batches.into_iter());
        // The pass under way is stopped before the next takes its threads.
        self.pass = None;
        self.pass = Some(match &self.pool {
            None => Pass::Inline { batches, seed },
            Some(pool) => Pass::Ahead(Ahead::start(
                Arc::clone(&self.source),
                Arc::clone(pool),
                Arc::clone(&self.buffers),
                batches,
                seed,
                self.options.prefetch,
            )),
        });
    }

    /// The next batch; `None` after the last. A batch that is left without a usable image is passed over.
    ///
    /// # Errors
    /// A bad image in this batch (with [`OnBadImage::Fail`]); the pass is over then. No pass under way.
    pub fn next_batch(&mut self) -> Result<Option<LoadedBatch>, LoadError> {
        let mut passed_over = 0;
        loop {
            let finished = match self.pass.as_mut().ok_or(LoadError::NotStarted)? {
                Pass::Ahead(ahead) => ahead.next(),
                Pass::Inline { batches, seed } => {
                    static UNWANTED: AtomicBool = AtomicBool::new(false);
                    let load = |batch| self.source.load(&batch, *seed, self.buffers.take(), &UNWANTED);
                    batches.next().map(load)
                }
            };
            let Some(finished) = finished else { return Ok(None) };
            self.used_up += 1;
            match finished.and_then(|finished| self.deliver(finished)) {
                Err(error) => {
                    self.pass = None;
                    return Err(error);
                }
                Ok((batch, left_out)) if batch.images.is_empty() && left_out > 0 => passed_over += 1,
                Ok((batch, _)) => return Ok(Some(batch)),
            }
            if passed_over > self.source.set.images.len() {
                self.pass = None;
                return Err(LoadError::NoneUsable(passed_over));
            }
        }
    }

    /// The images that were left out of the batches delivered so far, by index.
    pub fn skipped(&self) -> Vec<Skipped> {
        self.skipped.values().cloned().collect()
    }

    /// The images and their boxes.
    pub fn set(&self) -> &Arc<Dataset> {
        &self.source.set
    }

    /// What is done to images.
    pub fn transform(&self) -> &Transform {
        &self.source.transform
    }

    /// Applies the policy for bad images. Returns how many were left out, too.
    fn deliver(&mut self, finished: Finished) -> Result<(LoadedBatch, usize), LoadError> {
        let Finished { mut numbers, height, width, mut images, bad } = finished;
        if let (OnBadImage::Fail, Some((place, fault))) = (self.options.on_bad_image, bad.first()) {
            let image = &self.source.set.images[images[*place].index];
            self.buffers.give_back(numbers);
            return Err(LoadError::Image { file: image.source.to_string(), image: image.id, fault: fault.clone() });
        }
        let left_out = bad.len();
        if left_out > 0 {
            let size = height * width * 3;
            let mut kept = 0;
            for place in 0..images.len() {
                if bad.iter().all(|(bad, _)| *bad != place) {
                    numbers.copy_within(place * size..(place + 1) * size, kept * size);
                    kept += 1;
                }
            }
            numbers.truncate(kept * size);
            for (place, fault) in bad.iter().rev() {
                let index = images.remove(*place).index;
                let image = &self.source.set.images[index];
                let skipped = || {
                    let (image, file) = (image.id, image.source.to_string());
                    Skipped { index, image, file, fault: fault.clone(), times: 0 }
                };
                self.skipped.entry(index).or_insert_with(skipped).times += 1;
            }
        }
        let pixels = PixelBuffer::new(numbers, Some(&self.buffers));
        Ok((LoadedBatch { pixels, height, width, images, used_up: self.used_up }, left_out))
    }
}
