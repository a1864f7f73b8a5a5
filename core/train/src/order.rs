//! The order in which an epoch visits the training data.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::seeding::{Stream, derive};

/// The generator for the data order of `epoch`: ChaCha8, whose stream is fixed across platforms and versions.
pub fn order_rng(seed: u64, epoch: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(derive(seed, Stream::Order, epoch as u64))
}

/// All of `0..len` once, shuffled as a function of (seed, epoch), in batches of `batch_size` (the last may be smaller).
pub fn shuffled_batches(len: usize, batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut indices: Vec<usize> = (0..len).collect();
    indices.shuffle(&mut order_rng(seed, epoch));
    indices.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_once_and_the_last_batch_is_the_rest() {
        let batches = shuffled_batches(10, 4, 7, 1);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_function_of_seed_and_epoch() {
        assert_eq!(shuffled_batches(100, 8, 7, 2), shuffled_batches(100, 8, 7, 2));
        assert_ne!(shuffled_batches(100, 8, 7, 2), shuffled_batches(100, 8, 7, 3));
        assert_ne!(shuffled_batches(100, 8, 7, 2), shuffled_batches(100, 8, 8, 2));
    }
}
