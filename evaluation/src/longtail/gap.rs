//! How much better a classifier is on the images it was trained on (paper, Figure 6 and appendix B.5).

use serde::{Deserialize, Serialize};

use super::{ByGroup, LongTailScores};

/// Accuracy on training images, on test images, and their difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Mean class accuracy on training images, %.
    pub train: f64,
    /// Mean class accuracy on test images, %.
    pub test: f64,
    /// `train − test`, percentage points; large where the classifier has learned its training images by heart.
    pub gap: f64,
}

/// The gap of all classes and of each group; `None` where a group lacks images in either set.
pub type GeneralisationGap = ByGroup<Gap>;

/// The gap between the scores of one classifier on its training images and on test images, both without augmentation.
pub fn generalisation_gap(train: &LongTailScores, test: &LongTailScores) -> GeneralisationGap {
    let (train, test) = (train.accuracy(), test.accuracy());
    let gap = |train: f64, test: f64| Gap { train, test, gap: train - test };
    ByGroup::from_fn(gap(train.all, test.all), |group| Some(gap(*train.of(group)?, *test.of(group)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longtail::{Groups, Predictions, score};

    #[test]
    fn gap_by_hand() {
        let scores = |labels: &[usize]| {
            // Two images of class 0 predicted, one of class 1.
            let predictions =
                Predictions::from_probabilities(2, vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0], labels.to_vec()).unwrap();
            score(&predictions, &[200, 50], &Groups::default()).unwrap()
        };
        // Training: 2 of 2 and 1 of 1. Test: 1 of 1 and 1 of 2.
        let gap = generalisation_gap(&scores(&[0, 0, 1]), &scores(&[0, 1, 1]));
        assert_eq!(gap.many, Some(Gap { train: 100.0, test: 100.0, gap: 0.0 }));
        assert_eq!(gap.medium, Some(Gap { train: 100.0, test: 50.0, gap: 50.0 }));
        assert_eq!(gap.all, Gap { train: 100.0, test: 75.0, gap: 25.0 });
        assert_eq!(gap.few, None);
        // No test image of class 1.
        assert_eq!(generalisation_gap(&scores(&[0, 0, 1]), &scores(&[0, 0, 0])).medium, None);
    }
}
