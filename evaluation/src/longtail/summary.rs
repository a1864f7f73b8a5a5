//! Mean and standard deviation of the scores of several runs of one system.

use serde::{Deserialize, Serialize};

use super::{ByGroup, Group, LongTailScores};
use crate::Spread;

/// Scores of one system over its runs, with the names and units of [`LongTailScores`]. A score that a run lacks is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of runs.
    pub runs: usize,
    /// The most classes without test images in a run.
    pub classes_without_test_images: usize,
    /// Number of classes.
    pub classes: usize,
    /// Mean class accuracy, %.
    pub all: Spread,
    /// The same over classes with many training images, %.
    pub many: Option<Spread>,
    /// The same over classes between, %.
    pub medium: Option<Spread>,
    /// The same over classes with few training images, %.
    pub few: Option<Spread>,
    /// Accuracy on the training distribution, %.
    pub natural: Option<Spread>,
    /// Images classified correctly, %.
    pub top_1: Spread,
    /// Images whose class is among the five of highest score, %.
    pub top_5: Spread,
    /// Mean precision of the classes, %.
    pub macro_precision: Spread,
    /// Mean recall of the classes, %.
    pub macro_recall: Spread,
    /// Mean F1 of the classes, %.
    pub macro_f1: Spread,
    /// F1 of the pooled counts, %.
    pub micro_f1: Spread,
    /// Expected calibration error, %.
    pub calibration_error: ByGroup<Spread>,
    /// Mean likelihood of the true class, 0 to 1.
    pub likelihood: ByGroup<Spread>,
}

/// Mean and standard deviation over the runs of one system; `None` without runs.
pub fn summarise(runs: &[LongTailScores]) -> Option<Summary> {
    let spread = |value: &dyn Fn(&LongTailScores) -> Option<f64>| {
        Spread::of(&runs.iter().map(value).collect::<Option<Vec<f64>>>()?)
    };
    let by_group = |value: fn(&LongTailScores) -> &ByGroup<f64>| {
        let of = |group: Group| spread(&|run| value(run).of(group).copied());
        Some(ByGroup::from_fn(spread(&|run| Some(value(run).all))?, of))
    };
    Some(Summary {
        runs: runs.len(),
        classes_without_test_images: runs.iter().map(|run| run.classes_without_test_images).max()?,
        classes: runs.first()?.classes,
        all: spread(&|run| Some(run.all))?,
        many: spread(&|run| run.many),
        medium: spread(&|run| run.medium),
        few: spread(&|run| run.few),
        natural: spread(&|run| run.natural),
        top_1: spread(&|run| Some(run.top_1))?,
        top_5: spread(&|run| Some(run.top_5))?,
        macro_precision: spread(&|run| Some(run.macro_precision))?,
        macro_recall: spread(&|run| Some(run.macro_recall))?,
        macro_f1: spread(&|run| Some(run.macro_f1))?,
        micro_f1: spread(&|run| Some(run.micro_f1))?,
        calibration_error: by_group(|run| &run.calibration_error)?,
        likelihood: by_group(|run| &run.likelihood)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longtail::{Groups, Predictions, score};

    /// Two classes, the second with or without test images; `right` of four images are classified correctly.
    fn run(right: usize, labels: [usize; 4]) -> LongTailScores {
        let row = |at: usize| if (at < right) == (labels[at] == 0) { [1.0, 0.0] } else { [0.0, 1.0] };
        let predictions = Predictions::from_probabilities(2, (0..4).flat_map(row).collect(), labels.to_vec()).unwrap();
        score(&predictions, &[200, 2], &Groups::default()).unwrap()
    }

    #[test]
    fn runs_are_summarised() {
        let runs = [run(4, [0, 0, 1, 1]), run(3, [0, 0, 1, 1])];
        let summary = summarise(&runs).unwrap();
        assert_eq!((summary.runs, summary.classes, summary.classes_without_test_images), (2, 2, 0));
        assert_eq!(summary.many, Some(Spread { mean: 100.0, sd: Some(0.0) }));
        // 100 and 50 %.
        assert_eq!(summary.few, Some(Spread { mean: 75.0, sd: Some(1250.0_f64.sqrt()) }));
        assert_eq!(summary.medium, None);
        assert_eq!(summary.top_1.mean, 87.5);
        assert_eq!(summary.likelihood.few.unwrap().mean, 0.75);
        assert_eq!(summarise(&[]), None);
    }

    #[test]
    fn a_score_that_one_run_lacks_has_no_mean() {
        let summary = summarise(&[run(4, [0, 0, 1, 1]), run(4, [0; 4])]).unwrap();
        assert_eq!((summary.few, summary.calibration_error.few), (None, None));
        assert_eq!(summary.classes_without_test_images, 1);
    }
}
