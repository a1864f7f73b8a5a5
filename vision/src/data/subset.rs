//! Which images a long-tailed subset keeps, and the record of that choice.

use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::long_tail::{check_available, class_counts};
use super::mt19937::Mt19937;
use super::source::sha256_hex;
use super::{DataError, ImageSet, Profile, Source};

/// What chooses the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubsetRng {
    /// ChaCha8 from this seed, one stream a class.
    Seeded(u64),
    /// NumPy's legacy generator from seed 0, as the baseline of Cao et al. (2019) chooses: on the official files, in
    /// their order, its very images.
    Numpy,
}

/// How to make a data set long-tailed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LongTail {
    /// The largest class over the smallest.
    pub ratio: f64,
    /// The shape of the tail.
    pub profile: Profile,
    /// Images in the largest class; without it, as many as the largest class of the data has.
    pub n_max: Option<usize>,
    /// What chooses the images.
    pub rng: SubsetRng,
}

/// The subset of a run, for its folder: enough to train on the same images again, and to tell that they are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsetManifest {
    /// The data set.
    pub dataset: String,
    /// The files that it was read from.
    pub sources: Vec<Source>,
    /// How many training images it has.
    pub available: usize,
    /// The largest class over the smallest, as asked for.
    pub ratio: f64,
    /// The shape of the tail.
    pub profile: Profile,
    /// What chose the images.
    pub rng: SubsetRng,
    /// How many images of each class were chosen.
    pub class_counts: Vec<usize>,
    /// SHA-256 of [`indices`](Self::indices) as little-endian 64-bit integers, in lower-case hexadecimal.
    pub sha256: String,
    /// The chosen images, by their places in the data set from 0: class by class, each in the order of the draw.
    pub indices: Vec<usize>,
}

/// The first `counts[c]` of each class `c`, all classes shuffled by `rng`: indices into `labels`, class by class. A
/// class that has fewer gives all that it has.
///
/// A smaller count chooses from what a larger one chooses, so that the subsets of rising ratios contain each other.
///
/// # Shapes
/// - `labels`: `[n]`, each below `classes`
/// - `counts`: `[classes]`
pub fn choose(labels: &[u32], counts: &[usize], rng: SubsetRng) -> Vec<usize> {
    let mut of_class = indices_of_classes(labels, counts.len());
    match rng {
        SubsetRng::Numpy => {
            let mut rng = Mt19937::new(0);
            for indices in &mut of_class {
                shuffle(indices, || rng.next_u32());
            }
        }
        SubsetRng::Seeded(seed) => {
            for (class, indices) in of_class.iter_mut().enumerate() {
                let mut rng = class_rng(seed, b"subset  ", class);
                shuffle(indices, || rng.next_u32());
            }
        }
    }
    of_class.iter().zip(counts).flat_map(|(indices, &count)| indices.iter().copied().take(count)).collect()
}

/// The places of each class, ascending. Labels that are no class are left out.
pub(super) fn indices_of_classes(labels: &[u32], classes: usize) -> Vec<Vec<usize>> {
    let mut of_class = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        if let Some(indices) = of_class.get_mut(label as usize) {
            indices.push(index);
        }
    }
    of_class
}

/// A generator for one class. `purpose` keeps the uses of one seed apart.
pub(super) fn class_rng(seed: u64, purpose: &[u8; 8], class: usize) -> ChaCha8Rng {
    // Spelled out, for `seed_from_u64` may change between versions of the crate.
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(purpose);
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(class as u64);
    rng
}

/// Fisher–Yates from the end, drawing as NumPy's legacy `shuffle` does, so that MT19937 gives the same order.
pub(super) fn shuffle(indices: &mut [usize], mut next_u32: impl FnMut() -> u32) {
    for i in (1..indices.len()).rev() {
        indices.swap(i, below_or_equal(i, &mut next_u32));
    }
}

/// A uniform number of `0..=max`: the lowest bits that can hold `max`, drawn again while they are above it.
fn below_or_equal(max: usize, next_u32: &mut impl FnMut() -> u32) -> usize {
    let mask = usize::MAX >> max.leading_zeros();
    loop {
        let mut value = next_u32() as usize;
        if max > u32::MAX as usize {
            value = value << 32 | next_u32() as usize;
        }
        if value & mask <= max {
            return value & mask;
        }
    }
}

impl LongTail {
    /// How many images of each class of `set` there will be.
    ///
    /// # Errors
    /// Those of [`class_counts`], and a class with fewer images than that.
    pub fn class_counts(&self, set: &ImageSet) -> Result<Vec<usize>, DataError> {
        let available = set.train_counts();
        let n_max = self.n_max.unwrap_or_else(|| available.iter().copied().max().unwrap_or_default());
        let counts = class_counts(n_max, available.len(), self.ratio, self.profile)?;
        check_available(&counts, &available, &set.classes, self.ratio, self.profile)?;
        Ok(counts)
    }
}

impl ImageSet {
    /// This set with a long-tailed choice of its training images; the test images stay as they are.
    ///
    /// # Errors
    /// Those of [`LongTail::class_counts`].
    pub fn make_long_tailed(self, tail: &LongTail) -> Result<(Self, SubsetManifest), DataError> {
        let class_counts = tail.class_counts(&self)?;
        let indices = choose(&self.train.labels, &class_counts, tail.rng);
        let manifest = SubsetManifest {
            dataset: self.name.clone(),
            sources: self.sources.clone(),
            available: self.train.len(),
            ratio: tail.ratio,
            profile: tail.profile,
            rng: tail.rng,
            class_counts,
            sha256: SubsetManifest::hash(&indices),
            indices,
        };
        let set = self.select(&manifest.indices)?;
        Ok((set, manifest))
    }
}

impl SubsetManifest {
    /// SHA-256 of indices, as [`sha256`](Self::sha256) holds it.
    pub fn hash(indices: &[usize]) -> String {
        let bytes: Vec<u8> = indices.iter().flat_map(|&index| (index as u64).to_le_bytes()).collect();
        sha256_hex(&bytes)
    }

    /// The files of which `set` has other bytes than those that the choice was made from.
    pub fn changed_sources(&self, set: &ImageSet) -> Vec<PathBuf> {
        let known = |source: &&Source| !self.sources.iter().any(|of_choice| of_choice.sha256 == source.sha256);
        set.sources.iter().filter(known).filter_map(|source| source.path.clone()).collect()
    }
}
