//! How likely classifiers find the true class, as histograms for each group (paper, Figures 4 and 5).

use super::score::check;
use super::{ByGroup, Group, Groups, Predictions, ScoreError};

/// Number of bins of likelihood.
pub const LIKELIHOOD_BINS: usize = 20;

/// Histograms of the likelihood p of the true class, of the images of all classes and of each group; `None` for a group
/// without images.
///
/// # Shapes
/// - each: `[20]`, fractions of the group's images that sum to 1; bin `b` holds `b/20 ≤ p < (b+1)/20`, the last also 1
pub type LikelihoodHistograms = ByGroup<Vec<f64>>;

/// Histograms of the likelihood of the true class (paper, section 5.5 "Effect on example-likelihood").
///
/// # Shapes
/// - `train_counts`: `[classes]`
///
/// # Errors
/// As [`score`](super::score()).
pub fn likelihood_histograms(
    predictions: &Predictions,
    train_counts: &[u64],
    groups: &Groups,
) -> Result<LikelihoodHistograms, ScoreError> {
    Ok(histograms(predictions, &check(predictions, train_counts, groups)?))
}

/// The same for classes whose groups are known.
pub(super) fn histograms(predictions: &Predictions, groups: &[Group]) -> LikelihoodHistograms {
    let mut counts = [[0_u64; LIKELIHOOD_BINS]; Group::ALL.len()];
    for (row, &label) in predictions.labels().iter().enumerate() {
        let bin = (predictions.likelihood(row) * LIKELIHOOD_BINS as f64) as usize;
        counts[groups[label] as usize][bin.min(LIKELIHOOD_BINS - 1)] += 1;
    }
    let mut all = [0_u64; LIKELIHOOD_BINS];
    for group in &counts {
        all.iter_mut().zip(group).for_each(|(sum, count)| *sum += count);
    }
    // There are no predictions without images.
    ByGroup::from_fn(fractions(&all).unwrap_or_default(), |group| fractions(&counts[group as usize]))
}

fn fractions(counts: &[u64]) -> Option<Vec<f64>> {
    let images: u64 = counts.iter().sum();
    (images > 0).then(|| counts.iter().map(|&count| count as f64 / images as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_by_hand() {
        let probabilities = vec![1.0, 0.0, 0.5, 0.5, 0.96, 0.04, 0.95, 0.05];
        let predictions = Predictions::from_probabilities(2, probabilities, vec![0, 0, 0, 1]).unwrap();
        let histograms = likelihood_histograms(&predictions, &[200, 3], &Groups::default()).unwrap();
        let at = |bins: &[f64]| -> Vec<(usize, f64)> {
            bins.iter().copied().enumerate().filter(|(_, share)| *share > 0.0).collect()
        };
        assert_eq!(at(&histograms.all), [(1, 0.25), (10, 0.25), (19, 0.5)]);
        assert_eq!(at(histograms.many.as_ref().unwrap()), [(10, 1.0 / 3.0), (19, 2.0 / 3.0)]);
        assert_eq!(histograms.medium, None);
        // 0.05 in float32 is a little above 1/20.
        assert_eq!(at(histograms.few.as_ref().unwrap()), [(1, 1.0)]);
    }
}
