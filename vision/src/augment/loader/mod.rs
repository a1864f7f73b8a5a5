//! Batches, decoded and augmented ahead of whoever trains on them.

mod ahead;
mod batch;
mod buffers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use self::ahead::Ahead;
use self::batch::{Finished, Source, Threads};
use self::buffers::Buffers;
use super::config::{Augment, AugmentError};
use super::decode::{DecodeError, ImageError};
use super::layout::Layout;
use crate::data::{Images, Split};

/// How batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// The order of a batch's numbers.
    pub layout: Layout,
    /// Threads that decode and augment; 0 does it in the caller's. Images in memory that are not scaled are always done
    /// there: that takes less time than handing them over.
    pub threads: usize,
    /// How many batches may be ready or in the making before they are asked for; at least 1.
    pub prefetch: usize,
    /// What happens at an image that cannot be used.
    pub on_bad_image: OnBadImage,
}

impl Default for LoaderOptions {
    /// Channels first, a thread a core, two batches ahead, no bad images.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { layout: Layout::default(), threads, prefetch: 2, on_bad_image: OnBadImage::default() }
    }
}

/// What happens at an image that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadImage {
    /// Its batch is an error that names the file.
    #[default]
    Fail,
    /// It is left out of its batch and remembered.
    Skip,
}

/// Why there is no batch.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// An image file that cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Images in memory that the augmentation cannot be applied to, or settings without a meaning.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// An index that no image has.
    #[error("batch {batch} asks for image {index} of {len}")]
    Index {
        /// The batch.
        batch: usize,
        /// What it asks for.
        index: usize,
        /// How many images there are.
        len: usize,
    },
    /// A start after the last batch.
    #[error("the epoch cannot start at batch {first}: it has {batches}")]
    First {
        /// Where it was to start.
        first: usize,
        /// How many batches there are.
        batches: usize,
    },
    /// No epoch is under way, or an error ended it.
    #[error("no epoch was started, or an error ended it")]
    NotStarted,
    /// The threads cannot be started, or died.
    #[error("the threads that load images {0}")]
    Threads(String),
}

/// An image that was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// Its index in the split.
    pub index: usize,
    /// Its file; empty for an image in memory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: DecodeError,
    /// How often it was left out.
    pub times: usize,
}

/// A batch. Dropped, its memory serves a later one.
#[derive(Debug)]
pub struct LoadedBatch {
    pixels: Vec<f32>,
    positions: Vec<usize>,
    buffers: Arc<Buffers>,
}

impl LoadedBatch {
    /// `[n, 3, size, size]` or `[n, size, size, 3]`, by the loader's layout, where n is the length of
    /// [`positions`](Self::positions); n can be 0 where bad images are skipped.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// Which images of the batch these are: places in its list of indices, ascending. All, unless some were skipped.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }
}

impl Drop for LoadedBatch {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.pixels));
    }
}

/// Decodes and augments the images of a split, batch by batch. Order and content of the batches are a function of the
/// arguments of [`start_epoch`](Self::start_epoch) alone. Dropping it stops its threads.
pub struct Loader {
    // First, so that an epoch under way is stopped before its threads are waited for.
    epoch: Option<Epoch>,
    source: Arc<Source>,
    pool: Option<Arc<ThreadPool>>,
    prefetch: usize,
    on_bad_image: OnBadImage,
    buffers: Arc<Buffers>,
    skipped: Mutex<BTreeMap<usize, Skipped>>,
}

enum Epoch {
    /// Batches are made when they are asked for.
    Inline { work: Work, next: usize },
    /// Threads make them.
    Ahead(Ahead),
}

/// The batches of an epoch.
struct Work {
    batches: Vec<Vec<usize>>,
    /// Position in the epoch of each batch's first image.
    starts: Vec<u64>,
    seed: u64,
    epoch: u64,
}

impl Loader {
    /// Loads the images of `split` as `augment` says.
    ///
    /// # Errors
    /// Settings without a meaning; threads that cannot be started.
    pub fn new(split: Arc<Split>, augment: Augment, options: LoaderOptions) -> Result<Self, LoadError> {
        let worth_threads = matches!(split.images, Images::Files(_)) || augment.crop.scales();
        let source = Arc::new(Source::new(split, augment, options.layout)?);
        let pool = match options.threads {
            0 => None,
            _ if !worth_threads => None,
            threads => {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|index| format!("load-{index}"))
                    .build()
                    .map_err(|error| LoadError::Threads(format!("cannot be started: {error}")))?;
                Some(Arc::new(pool))
            }
        };
        Ok(Self {
            epoch: None,
            source,
            pool,
            prefetch: options.prefetch.max(1),
            on_bad_image: options.on_bad_image,
            buffers: Arc::default(),
            skipped: Mutex::default(),
        })
    }

    /// Starts an epoch of these batches (indices into the split, which may repeat) at batch `first`, in place of the one
    /// under way. Threads begin at once.
    ///
    /// # Errors
    /// An index that no image has; `first` beyond the end.
    pub fn start_epoch(
        &mut self,
        batches: Vec<Vec<usize>>,
        first: usize,
        seed: u64,
        epoch: u64,
    ) -> Result<(), LoadError> {
        let mut next = 0;
        let placed = |batch: Vec<usize>| {
            let start = next;
            next += batch.len() as u64;
            (batch, start)
        };
        self.start_parts(batches.into_iter().map(placed).collect(), first, seed, epoch)
    }

    /// The same for parts of an epoch's batches, each with the number of images in the whole epoch before it, which random
    /// choices are a function of.
    ///
    /// # Errors
    /// As [`Loader::start_epoch`].
    pub fn start_parts(
        &mut self,
        parts: Vec<(Vec<usize>, u64)>,
        first: usize,
        seed: u64,
        epoch: u64,
    ) -> Result<(), LoadError> {
        self.epoch = None;
        for (batch, (indices, _)) in parts.iter().enumerate() {
            self.check(batch, indices)?;
        }
        if first > parts.len() {
            return Err(LoadError::First { first, batches: parts.len() });
        }
        let (batches, starts) = parts.into_iter().unzip();
        let work = Work { batches, starts, seed, epoch };
        self.epoch = Some(match &self.pool {
            None => Epoch::Inline { work, next: first },
            Some(pool) => Epoch::Ahead(Ahead::start(
                Arc::clone(&self.source),
                Arc::clone(pool),
                Arc::clone(&self.buffers),
                work,
                first,
                self.prefetch,
            )?),
        });
        Ok(())
    }

    /// The next batch of the epoch; `None` after the last.
    ///
    /// # Errors
    /// A bad image in this batch (with [`OnBadImage::Fail`]); the epoch is over then. No epoch under way.
    pub fn next_batch(&mut self) -> Result<Option<LoadedBatch>, LoadError> {
        let finished = match self.epoch.as_mut().ok_or(LoadError::NotStarted)? {
            Epoch::Inline { work, next } => match work.batches.get(*next) {
                None => return Ok(None),
                Some(indices) => {
                    let buffer = self.buffers.take();
                    let finished = self.source.load(indices, work.key(*next), buffer, &Threads::Callers);
                    *next += 1;
                    Ok(finished)
                }
            },
            Epoch::Ahead(ahead) => match ahead.next() {
                None => return Ok(None),
                Some(finished) => finished,
            },
        };
        let batch = finished.and_then(|finished| self.deliver(finished));
        if batch.is_err() {
            self.epoch = None;
        }
        batch.map(Some)
    }

    /// A batch outside of any epoch, made now (by the loader's threads, if it has any). `position` is that of its first
    /// image; with an augmentation that draws nothing, neither it nor `seed` and `epoch` matter.
    ///
    /// # Errors
    /// A bad image (with [`OnBadImage::Fail`]); an index that no image has.
    pub fn load_batch(
        &self,
        indices: &[usize],
        seed: u64,
        epoch: u64,
        position: u64,
    ) -> Result<LoadedBatch, LoadError> {
        self.check(0, indices)?;
        static UNWANTED: AtomicBool = AtomicBool::new(false);
        let threads = self.pool.as_ref().map_or(Threads::Callers, |pool| Threads::Pool(pool, &UNWANTED));
        let key = batch::Key { seed, epoch, position };
        self.deliver(self.source.load(indices, key, self.buffers.take(), &threads))
    }

    /// The images that were left out of the batches delivered so far, by index.
    pub fn skipped(&self) -> Vec<Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Rows and columns of an image of a batch.
    pub fn size(&self) -> usize {
        self.source.augmenter.augment().size()
    }

    /// The order of a batch's numbers.
    pub fn layout(&self) -> Layout {
        self.source.layout
    }

    /// The images and their classes.
    pub fn split(&self) -> &Split {
        &self.source.split
    }

    fn check(&self, batch: usize, indices: &[usize]) -> Result<(), LoadError> {
        let len = self.source.split.images.len();
        match indices.iter().find(|index| **index >= len) {
            Some(&index) => Err(LoadError::Index { batch, index, len }),
            None => Ok(()),
        }
    }

    /// Applies the policy for bad images.
    fn deliver(&self, finished: Finished) -> Result<LoadedBatch, LoadError> {
        let Finished { mut pixels, images, bad } = finished;
        let mut positions: Vec<usize> = (0..images).collect();
        if let (OnBadImage::Fail, Some(bad)) = (self.on_bad_image, bad.first()) {
            self.buffers.give_back(pixels);
            return Err(self.source.error(bad.index, bad.reason.clone()));
        }
        if !bad.is_empty() {
            let numbers = self.source.augmenter.augment().numbers();
            positions.retain(|position| bad.iter().all(|bad| bad.position != *position));
            for (to, from) in positions.iter().enumerate() {
                pixels.copy_within(from * numbers..(from + 1) * numbers, to * numbers);
            }
            pixels.truncate(positions.len() * numbers);
            let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
            for batch::Bad { index, reason, .. } in bad {
                let path = self.source.path(index).unwrap_or_default();
                skipped.entry(index).or_insert(Skipped { index, path, reason, times: 0 }).times += 1;
            }
        }
        Ok(LoadedBatch { pixels, positions, buffers: Arc::clone(&self.buffers) })
    }
}

impl Work {
    fn key(&self, batch: usize) -> batch::Key {
        batch::Key { seed: self.seed, epoch: self.epoch, position: self.starts[batch] }
    }
}
