//! Random streams that are functions of the run's seed and a position, so that none needs saving.

/// What a random stream is for. Streams of one seed are unrelated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights; index 0.
    Weights,
    /// Order of the training data; index: epoch.
    Order,
    /// Dropout and the like within a training step; index: step.
    Step,
    /// Sampling during validation; index: epoch.
    Validation,
    /// What differs between processes that train together; index: rank.
    Process,
    /// Which examples are mixed, and how much; index: step.
    Mixing,
}

/// A seed for `stream` at `index`: two rounds of the SplitMix64 finaliser (Steele et al. 2014,
/// "Fast splittable pseudorandom number generators") over the run's seed and the position.
pub fn derive(seed: u64, stream: Stream, index: u64) -> u64 {
    let stream = match stream {
        Stream::Weights => 1,
        Stream::Order => 2,
        Stream::Step => 3,
        Stream::Validation => 4,
        Stream::Process => 5,
        Stream::Mixing => 6,
    };
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    mix(mix(seed.wrapping_add(GOLDEN.wrapping_mul(stream))).wrapping_add(GOLDEN.wrapping_mul(index)))
}

/// Seeds libtorch's generators for `stream` at `index`.
pub fn seed_libtorch(seed: u64, stream: Stream, index: u64) {
    // The bits are what matters; libtorch takes them as i64.
    tch::manual_seed(derive(seed, stream, index) as i64);
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_is_splitmix64() {
        // First two outputs of SplitMix64 seeded with 0, from its published reference code.
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn streams_indices_and_seeds_differ() {
        let all = [
            derive(0, Stream::Step, 0),
            derive(0, Stream::Step, 1),
            derive(0, Stream::Order, 0),
            derive(0, Stream::Order, 1),
            derive(1, Stream::Step, 0),
            derive(1, Stream::Order, 0),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }
}
