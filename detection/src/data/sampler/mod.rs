//! The order of images in a training run that counts iterations.

mod repeat;

use std::collections::VecDeque;

use imbalance_train::order_rng;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset};
pub use repeat::repeat_factors;

/// How a run goes through the training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SamplerOptions {
    /// Images of a batch.
    pub batch_size: usize,
    /// Whether images that are higher than wide and others never share a batch, which saves padding.
    pub aspect_buckets: bool,
    /// The threshold `t` of repeat-factor sampling ([`repeat_factors`]); none visits every image once an epoch. 0.001 is usual.
    pub repeat_threshold: Option<f64>,
    /// The run's seed.
    pub seed: u64,
}

/// A batch to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which images, by their indices in the set.
    pub indices: Vec<usize>,
    /// How many images all batches before it have: what the random choices about its images are a function of, besides the
    /// seed.
    pub first: u64,
}

impl Batch {
    /// The share of one of `processes` processes: the `rank`-th of as many parts, as equal as can be.
    pub fn share(&self, rank: usize, processes: usize) -> Self {
        let processes = processes.max(1);
        let end = |rank: usize| (self.indices.len() * rank.min(processes)).div_ceil(processes);
        let (start, end) = (end(rank), end(rank + 1));
        Self { indices: self.indices[start..end].to_vec(), first: self.first + start as u64 }
    }
}

/// All that is needed to go on with a [`Sampler`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerState {
    /// Batches that were trained on.
    pub batches: u64,
}

/// Batches without end: epoch after epoch in a random order, a function of the seed alone.
///
/// With aspect buckets, an image waits in its bucket until that has a batch; at the end of an epoch it waits on, so that no
/// image is left out and no batch is smaller.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplerOptions,
    indices: Vec<usize>,
    /// Whether each is higher than wide.
    upright: Vec<bool>,
    /// How often each is visited in an epoch, in the mean.
    factors: Option<Vec<f64>>,
    /// The next epoch, from 1.
    epoch: usize,
    /// What is left of this one: places in `indices`.
    rest: VecDeque<usize>,
    buckets: [Vec<usize>; 2],
    batches: u64,
}

impl Sampler {
    /// Over those images of a set, [`Dataset::trainable`] as a rule, at the start.
    ///
    /// # Errors
    /// [`DataError::NoForeground`] without images; [`DataError::Index`]; [`DataError::Setting`].
    pub fn new(set: &Dataset, indices: Vec<usize>, options: SamplerOptions) -> Result<Self, DataError> {
        if options.batch_size == 0 {
            let (name, found, expected) = ("the batch size", "0".into(), "at least 1");
            return Err(DataError::Setting { name, found, expected });
        }
        let len = set.images.len();
        if let Some(&index) = indices.iter().find(|&&index| index >= len) {
            return Err(DataError::Index { index, len });
        }
        if indices.is_empty() {
            let crowds = set.images.iter().flat_map(|image| &image.objects).filter(|object| object.crowd).count();
            return Err(DataError::NoForeground { name: set.name(), images: len, crowds });
        }
        let factors = options.repeat_threshold.map(|threshold| repeat_factors(set, &indices, threshold)).transpose()?;
        let upright = indices.iter().map(|&index| set.images[index].width < set.images[index].height).collect();
        let (rest, buckets) = (VecDeque::new(), [Vec::new(), Vec::new()]);
        Ok(Self { options, indices, upright, factors, epoch: 1, rest, buckets, batches: 0 })
    }

    /// What a checkpoint keeps.
    pub fn state(&self) -> SamplerState {
        SamplerState { batches: self.batches }
    }

    /// Goes to where `state` was taken. Takes as long as drawing the batches before it: some tens of nanoseconds an image.
    pub fn resume(&mut self, state: SamplerState) {
        if state.batches < self.batches {
            (self.epoch, self.batches) = (1, 0);
            self.rest.clear();
            self.buckets.iter_mut().for_each(Vec::clear);
        }
        while self.batches < state.batches {
            self.next_batch();
        }
    }

    /// Images of an epoch, in the mean.
    pub fn epoch_images(&self) -> f64 {
        self.factors.as_ref().map_or(self.indices.len() as f64, |factors| factors.iter().sum())
    }

    /// The next batch; there is always one.
    pub fn next_batch(&mut self) -> Batch {
        loop {
            let place = self.next_place();
            let bucket = usize::from(self.options.aspect_buckets && self.upright[place]);
            let bucket = &mut self.buckets[bucket];
            bucket.push(self.indices[place]);
            if bucket.len() == self.options.batch_size {
                let first = self.batches * self.options.batch_size as u64;
                self.batches += 1;
                return Batch { indices: std::mem::take(bucket), first };
            }
        }
    }

    fn next_place(&mut self) -> usize {
        loop {
            if let Some(place) = self.rest.pop_front() {
                return place;
            }
            let mut rng = order_rng(self.options.seed, self.epoch);
            let mut order = self.epoch_places(&mut rng);
            order.shuffle(&mut rng);
            self.rest = order.into();
            self.epoch += 1;
        }
    }

    /// Places in `indices`, each as often as this epoch visits it: its factor, the fraction rounded up as often as it says.
    fn epoch_places(&self, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let Some(factors) = &self.factors else { return (0..self.indices.len()).collect() };
        let mut places = Vec::new();
        for (place, &factor) in factors.iter().enumerate() {
            let times = factor as usize + usize::from(rng.random::<f64>() < factor.fract());
            places.resize(places.len() + times, place);
        }
        places
    }
}

impl Iterator for Sampler {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        Some(self.next_batch())
    }
}
