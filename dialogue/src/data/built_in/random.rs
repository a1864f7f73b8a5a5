//! Integer-only sampling, so that a seed gives the same corpus on every platform and with every version of `rand`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The generator of a seed.
pub(super) fn generator(seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// A number below `bound`: the high half of a 64 by 64 bit product, whose bias is below `bound`/2⁶⁴.
pub(super) fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// True once in `n` on average.
pub(super) fn one_in(rng: &mut ChaCha8Rng, n: u64) -> bool {
    below(rng, n) == 0
}

/// The Zipf-Mandelbrot law over ranks 0, 1, …, with weights proportional to 1/(rank + 1 + shift).
#[derive(Debug, Clone)]
pub(super) struct Zipf {
    /// Sums of the weights up to and including each rank.
    cumulative: Vec<u64>,
}

impl Zipf {
    /// `ranks` is at least 1.
    pub fn new(ranks: usize, shift: u64) -> Self {
        let cumulative = (1..=ranks as u64)
            .scan(0, |sum, rank| {
                *sum += (1 << 40) / (rank + shift);
                Some(*sum)
            })
            .collect();
        Self { cumulative }
    }

    pub fn sample(&self, rng: &mut ChaCha8Rng) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(1);
        let point = below(rng, total);
        self.cumulative.partition_point(|&sum| sum <= point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_as_often_as_the_law_says() {
        // Weights 1/2, 1/3, 1/4: 6/13, 4/13, 3/13.
        let zipf = Zipf::new(3, 1);
        let mut rng = generator(7);
        let mut counts = [0_f64; 3];
        for _ in 0..130_000 {
            counts[zipf.sample(&mut rng)] += 1.0;
        }
        for (count, expected) in counts.iter().zip([60_000.0, 40_000.0, 30_000.0]) {
            // five standard deviations of the binomial are below 900
            assert!((count - expected).abs() < 900.0, "{counts:?}");
        }
    }

    #[test]
    fn the_stream_is_chacha8() {
        // First words of ChaCha8 with key 0 and nonce 0: 3e00ef2f 895f40d6 in byte order.
        let mut rng = generator(0);
        assert_eq!(rng.next_u64(), u64::from_le_bytes([0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]));
        assert!((0..1000).all(|_| below(&mut rng, 3) < 3));
    }
}
