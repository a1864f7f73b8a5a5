//! One batch, by one thread or several.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPool;
use rayon::prelude::*;

use super::LoadError;
use crate::augment::augmenter::{Augmenter, ImageRef, Scratch};
use crate::augment::config::Augment;
use crate::augment::decode::{DecodeError, ImageError, Orientation, RgbImage, decode_into};
use crate::augment::draw::DrawKey;
use crate::augment::layout::Layout;
use crate::data::{Images, Split};

/// Images, and what becomes of them.
pub(super) struct Source {
    pub split: Arc<Split>,
    pub augmenter: Augmenter,
    pub layout: Layout,
}

/// What the random choices of a batch are a function of.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub seed: u64,
    pub epoch: u64,
    /// Position in the epoch of its first image.
    pub position: u64,
}

/// Who makes a batch.
pub(super) enum Threads<'a> {
    /// The thread that asks.
    Callers,
    /// The pool's, an image at a time. Once the flag is set, the batch is no longer wanted and its images are passed over.
    Pool(&'a ThreadPool, &'a AtomicBool),
}

/// A batch before the policy for bad images. The numbers of those are unspecified.
pub(super) struct Finished {
    pub pixels: Vec<f32>,
    pub images: usize,
    pub bad: Vec<Bad>,
}

/// An image that cannot be used.
pub(super) struct Bad {
    /// Its place in the batch.
    pub position: usize,
    /// Its index in the split.
    pub index: usize,
    pub reason: DecodeError,
}

/// Working memory of a thread.
#[derive(Default)]
struct Worker {
    file: Vec<u8>,
    image: RgbImage,
    scratch: Scratch,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

impl Source {
    pub fn new(split: Arc<Split>, augment: Augment, layout: Layout) -> Result<Self, LoadError> {
        Ok(Self { split, augmenter: Augmenter::new(augment)?, layout })
    }

    /// The batch of `indices`, in `buffer`'s memory.
    pub fn load(&self, indices: &[usize], key: Key, mut buffer: Vec<f32>, threads: &Threads<'_>) -> Finished {
        let numbers = self.augmenter.augment().numbers();
        buffer.resize(indices.len() * numbers, 0.0);
        let one = |(position, (&index, out)): (usize, (&usize, &mut [f32]))| {
            let image = DrawKey {
                seed: key.seed,
                epoch: key.epoch,
                image: index as u64,
                position: key.position + position as u64,
            };
            self.load_image(index, &image, out).err().map(|reason| Bad { position, index, reason })
        };
        let bad = match threads {
            Threads::Callers => {
                indices.iter().zip(buffer.chunks_exact_mut(numbers)).enumerate().filter_map(one).collect()
            }
            // Files differ in size, so that each is a piece of work of its own.
            Threads::Pool(pool, unwanted) => pool.install(|| {
                let images = indices.par_iter().zip(buffer.par_chunks_exact_mut(numbers)).enumerate();
                let wanted = images.with_max_len(1).filter(|_| !unwanted.load(Ordering::Relaxed));
                wanted.filter_map(one).collect()
            }),
        };
        Finished { pixels: buffer, images: indices.len(), bad }
    }

    /// The error of image `index`.
    pub fn error(&self, index: usize, reason: DecodeError) -> LoadError {
        match (self.path(index), reason) {
            (Some(path), reason) => LoadError::Image(ImageError { path, reason }),
            (None, DecodeError::Augment(error)) => LoadError::Augment(error),
            (None, reason) => LoadError::Threads(format!("failed on image {index}: {reason}")),
        }
    }

    /// The file of image `index`.
    pub fn path(&self, index: usize) -> Option<PathBuf> {
        match &self.split.images {
            Images::Files(paths) => paths.get(index).cloned(),
            Images::Memory(_) => None,
        }
    }

    fn load_image(&self, index: usize, key: &DrawKey, out: &mut [f32]) -> Result<(), DecodeError> {
        WORKER.with_borrow_mut(|Worker { file, image, scratch }| {
            let image = match &self.split.images {
                Images::Memory(pixels) => {
                    ImageRef { height: pixels.height, width: pixels.width, bytes: pixels.image(index) }
                }
                Images::Files(paths) => {
                    read(&paths[index], file).map_err(|error| DecodeError::Read(error.to_string()))?;
                    // A decoder that breaks on a damaged file must not end a training of days.
                    catch_unwind(AssertUnwindSafe(|| decode_into(file, Orientation::Stored, image)))
                        .unwrap_or(Err(DecodeError::Decoder))?;
                    image.as_ref()
                }
            };
            Ok(self.augmenter.apply(image, key, self.layout, scratch, out)?)
        })
    }
}

/// The file's content, in `buffer`'s memory.
fn read(path: &Path, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    File::open(path)?.read_to_end(buffer).map(drop)
}
