//! How long replies are.

use ndarray::{Array1, Axis};
use ndarray_stats::QuantileExt;
use ndarray_stats::interpolate::Linear;
use noisy_float::types::{N64, n64};

/// Statistics of reply lengths. The unit is that of the lengths given; [`score`](super::score) gives tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LengthStatistics {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the population (divided by the number of replies, not that less one).
    pub sd: f64,
    /// Shortest.
    pub min: f64,
    /// 5 % quantile. Quantiles are interpolated linearly between the two nearest lengths.
    pub q05: f64,
    /// 25 % quantile.
    pub q25: f64,
    /// Median.
    pub median: f64,
    /// 75 % quantile.
    pub q75: f64,
    /// 95 % quantile.
    pub q95: f64,
    /// Longest.
    pub max: f64,
}

/// Statistics of `lengths`, in any order; `None` when there are none.
pub fn length_statistics(lengths: &[usize]) -> Option<LengthStatistics> {
    let mut lengths: Array1<N64> = lengths.iter().map(|&length| n64(length as f64)).collect();
    let values = lengths.mapv(N64::raw);
    let mean = values.mean()?;
    let probabilities = Array1::from(vec![0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]).mapv(n64);
    let quantiles = lengths.quantiles_axis_mut(Axis(0), &probabilities, &Linear).ok()?.mapv(N64::raw);
    Some(LengthStatistics {
        mean,
        sd: values.std(0.0),
        min: quantiles[0],
        q05: quantiles[1],
        q25: quantiles[2],
        median: quantiles[3],
        q75: quantiles[4],
        q95: quantiles[5],
        max: quantiles[6],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_by_hand() {
        // Sorted: 0 2 4 10. Mean 4; variance (16 + 4 + 0 + 36)/4 = 14. Quantile q lies at 3q.
        let lengths = length_statistics(&[4, 0, 10, 2]).unwrap();
        assert_eq!(lengths.mean, 4.0);
        assert!((lengths.sd - 14.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((lengths.min, lengths.max), (0.0, 10.0));
        assert_eq!(lengths.median, 3.0);
        assert!((lengths.q05 - 0.3).abs() < 1e-12);
        assert!((lengths.q25 - 1.5).abs() < 1e-12);
        assert!((lengths.q75 - 5.5).abs() < 1e-12);
        assert!((lengths.q95 - 9.1).abs() < 1e-12);
    }

    #[test]
    fn one_length_is_every_quantile_and_none_is_none() {
        let one = length_statistics(&[7]).unwrap();
        assert_eq!((one.mean, one.sd, one.q05, one.median, one.max), (7.0, 0.0, 7.0, 7.0, 7.0));
        assert_eq!(length_statistics(&[]), None);
    }
}
