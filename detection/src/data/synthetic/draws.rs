//! Uniform integers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The random choices about an image: a function of seed, purpose and index.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    pub fn new(seed: u64, purpose: &[u8; 8], index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(purpose);
        key[16..24].copy_from_slice(b"detector");
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// One of `low..=high`.
    pub fn within(&mut self, low: i32, high: i32) -> i32 {
        let span = u64::from((high - low) as u32) + 1;
        low + ((u64::from(self.0.next_u32()) * span) >> 32) as i32
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: i32) -> bool {
        self.within(1, n) == 1
    }

    /// An index, each as likely as its weight says.
    pub fn weighted(&mut self, weights: &[i32]) -> usize {
        let mut rest = self.within(0, weights.iter().sum::<i32>() - 1);
        weights
            .iter()
            .position(|weight| {
                rest -= weight;
                rest < 0
            })
            .unwrap_or(0)
    }

    /// The seed of a [`Hash`].
    pub fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Numbers that are a function of a place, in any order: SplitMix64 (Steele et al., 2014).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hash(pub u64);

impl Hash {
    pub fn at(self, place: u64) -> u64 {
        let mut z = self.0.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
