//! What bootstraps share.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// How often each example is drawn, when as many are drawn with replacement as there are.
pub(crate) fn draw(seed: u64, resample: u64, copies: &mut [u32]) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // A stream for each, so that the order in which threads take them is of no account.
    rng.set_stream(resample);
    copies.fill(0);
    for _ in 0..copies.len() {
        let example = rng.random_range(0..copies.len() as u64);
        copies[example as usize] += 1;
    }
}

/// Linear between the sorted values, as numpy's default.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_as_likely() {
        let mut sums = [0_u32; 5];
        let mut copies = [0; 5];
        for resample in 0..2000 {
            draw(1, resample, &mut copies);
            assert_eq!(copies.iter().sum::<u32>(), 5);
            sums.iter_mut().zip(copies).for_each(|(sum, copies)| *sum += copies);
        }
        // 2000 expected, with a standard deviation of 40.
        assert!(sums.iter().all(|sum| sum.abs_diff(2000) < 200), "{sums:?}");
    }

    #[test]
    fn percentiles_are_numpys() {
        // np.percentile([1, 2, 4, 8], [2.5, 97.5]).
        assert!((percentile(&[1.0, 2.0, 4.0, 8.0], 0.025) - 1.075).abs() < 1e-12);
        assert!((percentile(&[1.0, 2.0, 4.0, 8.0], 0.975) - 7.7).abs() < 1e-12);
        assert_eq!(percentile(&[3.0], 0.975), 3.0);
    }
}
