//! Which classes are taken for which.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Predictions;

/// Number of images for each pair of true and predicted class. Only pairs that occur are held, in coordinate form: a
/// full matrix of iNaturalist's 8,142 classes would have 66 million entries, its test set has 24,426 images.
///
/// # Shapes
/// - `labels`, `predictions`, `images`: `[pairs]`, ordered by label, then prediction
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// Number of classes.
    pub classes: usize,
    /// True class of each pair.
    pub labels: Vec<usize>,
    /// Predicted class of each pair.
    pub predictions: Vec<usize>,
    /// Images of each pair.
    pub images: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts the pairs.
    pub fn of(predictions: &Predictions) -> Self {
        let mut pairs: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for (&label, &predicted) in predictions.labels().iter().zip(predictions.predictions()) {
            *pairs.entry((label, predicted)).or_default() += 1;
        }
        Self {
            classes: predictions.classes(),
            labels: pairs.keys().map(|pair| pair.0).collect(),
            predictions: pairs.keys().map(|pair| pair.1).collect(),
            images: pairs.into_values().collect(),
        }
    }

    /// Each pair that occurs: true class, predicted class, images.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let both = self.labels.iter().zip(&self.predictions);
        both.zip(&self.images).map(|((&label, &predicted), &images)| (label, predicted, images))
    }

    /// Images of each class, images predicted to be of it, and images of which both is true; each `[classes]`.
    pub(super) fn sums(&self) -> Sums {
        let zeros = || vec![0_u64; self.classes];
        let mut sums = Sums { labelled: zeros(), predicted: zeros(), correct: zeros() };
        for (label, predicted, images) in self.pairs() {
            sums.labelled[label] += images;
            sums.predicted[predicted] += images;
            if label == predicted {
                sums.correct[label] += images;
            }
        }
        sums
    }
}

/// Row sums, column sums and diagonal of a confusion matrix.
pub(super) struct Sums {
    pub labelled: Vec<u64>,
    pub predicted: Vec<u64>,
    pub correct: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_and_summed() {
        // Predicted: 2, 0, 0, 2.
        let probabilities = vec![0.1, 0.1, 0.8, 0.6, 0.2, 0.2, 0.9, 0.1, 0.0, 0.0, 0.0, 1.0];
        let predictions = Predictions::from_probabilities(3, probabilities, vec![2, 2, 0, 2]).unwrap();
        let matrix = ConfusionMatrix::of(&predictions);
        assert_eq!(matrix.pairs().collect::<Vec<_>>(), [(0, 0, 1), (2, 0, 1), (2, 2, 2)]);
        let sums = matrix.sums();
        assert_eq!(sums.labelled, [1, 0, 3]);
        assert_eq!(sums.predicted, [2, 0, 2]);
        assert_eq!(sums.correct, [1, 0, 2]);
    }
}
