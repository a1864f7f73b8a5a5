//! One batch, by one thread or several.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use imbalance_vision::augment::{DecodeError, DrawKey, Orientation, RgbImage, decode_into};
use rayon::prelude::*;

use super::{DecodeFault, LoadError, LoadedImage};
use crate::data::{Batch, DataError, Dataset, Image, ImageDraw, ImageSource, Scratch, Transform};

/// Images, and what becomes of them.
pub(super) struct Source {
    pub set: Arc<Dataset>,
    pub transform: Transform,
}

/// A batch before the policy for bad images, whose numbers are unspecified.
pub(super) struct Finished {
    pub numbers: Vec<f32>,
    pub height: usize,
    pub width: usize,
    pub images: Vec<LoadedImage>,
    /// Places in the batch, ascending, and what is wrong there.
    pub bad: Vec<(usize, DecodeFault)>,
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
    /// The batch, in `buffer`'s memory, by the threads of the pool that this is called in, or else by this one. Once
    /// `unwanted` is set, images are passed over.
    ///
    /// # Errors
    /// An index that no image has.
    pub fn load(
        &self,
        batch: &Batch,
        seed: u64,
        mut buffer: Vec<f32>,
        unwanted: &AtomicBool,
    ) -> Result<Finished, LoadError> {
        let len = self.set.images.len();
        if let Some(&index) = batch.indices.iter().find(|&&index| index >= len) {
            return Err(DataError::Index { index, len }.into());
        }
        let images: Vec<(LoadedImage, ImageDraw)> = batch
            .indices
            .iter()
            .zip(batch.first..)
            .map(|(&index, position)| self.plan(index, position, seed))
            .collect();
        let padded = self.transform.padded(images.iter().map(|(image, _)| image.resized));
        let numbers = padded.0 * padded.1 * 3;
        let all = images.len() * numbers;
        match buffer.capacity() < all {
            // Not grown, which would copy what nobody needs and take more than is asked for.
            true => buffer = vec![0.0; all],
            false => buffer.resize(all, 0.0),
        }
        let one = |(place, ((image, draw), out)): (usize, (&(LoadedImage, ImageDraw), &mut [f32]))| {
            if unwanted.load(Ordering::Relaxed) {
                return None;
            }
            self.load_image(&self.set.images[image.index], draw, padded, out).err().map(|fault| (place, fault))
        };
        let bad = match rayon::current_thread_index() {
            None => images.iter().zip(buffer.chunks_exact_mut(numbers.max(1))).enumerate().filter_map(one).collect(),
            // Files differ in size, so that each is a piece of work of its own.
            Some(_) => {
                let each = images.par_iter().zip(buffer.par_chunks_exact_mut(numbers.max(1))).enumerate();
                each.with_max_len(1).filter_map(one).collect()
            }
        };
        let images = images.into_iter().map(|(image, _)| image).collect();
        Ok(Finished { numbers: buffer, height: padded.0, width: padded.1, images, bad })
    }

    /// What becomes of an image and its boxes.
    fn plan(&self, index: usize, position: u64, seed: u64) -> (LoadedImage, ImageDraw) {
        let image = &self.set.images[index];
        // The position grows throughout the run, so that the epoch adds nothing.
        let draw = self.transform.draw(&DrawKey { seed, epoch: 0, image: index as u64, position });
        let original = (image.height as usize, image.width as usize);
        let resized = self.transform.resized(original, &draw);
        let place = |bbox| self.transform.apply_to_box(bbox, original, resized, &draw);
        let (boxes, classes) = image.trained_on().map(|object| (place(object.bbox), object.class)).unzip();
        (LoadedImage { index, original, resized, flipped: draw.flip, boxes, classes }, draw)
    }

    fn load_image(
        &self,
        image: &Image,
        draw: &ImageDraw,
        padded: (usize, usize),
        out: &mut [f32],
    ) -> Result<(), DecodeFault> {
        WORKER.with_borrow_mut(|Worker { file, image: pixels, scratch }| {
            match &image.source {
                ImageSource::Generated(scene) => scene.draw(pixels),
                ImageSource::File(path) => {
                    read(path, file).map_err(|error| DecodeError::Read(error.to_string()))?;
                    // A decoder that breaks on a damaged file must not end a training of days.
                    catch_unwind(AssertUnwindSafe(|| decode_into(file, Orientation::Exif, pixels)))
                        .unwrap_or(Err(DecodeError::Decoder))?;
                }
            }
            let (found, expected) = ((pixels.height, pixels.width), (image.height as usize, image.width as usize));
            if found != expected {
                return Err(DecodeFault::Size { found, expected });
            }
            Ok(self.transform.apply(pixels, draw, padded, scratch, out)?)
        })
    }
}

/// The file's content, in `buffer`'s memory.
fn read(path: &Path, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    File::open(path)?.read_to_end(buffer).map(drop)
}
