//! All scores of a set of predictions.

use super::calibration::Calibration;
use super::confusion::{ConfusionMatrix, Sums};
use super::likelihood::histograms;
use super::{ByGroup, ClassScores, Group, GroupError, GroupSize, Groups, LongTailScores, Predictions};

/// Images are right at five guesses when the true class is among the first five.
const TOP: usize = 5;

/// Why predictions cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// Counts of other classes than the predictions'.
    #[error("training counts of {counts} classes, but predictions over {classes}; each class needs its count")]
    Counts {
        /// Number of counts.
        counts: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Training counts sum to 0, or to more than can be counted.
    #[error("the training counts sum to {sum}; they must sum to at least 1 and less than 2^64")]
    CountSum {
        /// Their sum.
        sum: u128,
    },
    /// The classes cannot be grouped.
    #[error(transparent)]
    Groups(#[from] GroupError),
}

/// Scores predictions. [`LongTailScores`] says what each number is.
///
/// # Shapes
/// - `train_counts`: `[classes]`, the training images of each class
///
/// # Errors
/// As many training counts as classes are needed, not all 0; groups that are not of these classes.
pub fn score(predictions: &Predictions, train_counts: &[u64], groups: &Groups) -> Result<LongTailScores, ScoreError> {
    let class_groups = check(predictions, train_counts, groups)?;
    let confusion = ConfusionMatrix::of(predictions);
    let sums = confusion.sums();
    let images = ImageSums::of(predictions, &class_groups);
    let per_class = class_scores(&sums, &images.class_likelihood, train_counts, &class_groups);

    let mean_of = |value: fn(&ClassScores) -> Option<f64>, group: Option<Group>| {
        let chosen = per_class.iter().filter(|class| group.is_none_or(|group| class.group == group));
        mean(chosen.filter_map(value))
    };
    let accuracy = |group| mean_of(|class| class.accuracy, group);
    // There are no predictions without images, so that some class has a value.
    let all_of = |value| mean_of(value, None).unwrap_or_default();
    let count = predictions.images() as f64;
    let top =
        |guesses: usize| 100.0 * predictions.ranks().iter().filter(|&&rank| rank < guesses).count() as f64 / count;
    let by_group = |all: &GroupSums, value: fn(&GroupSums) -> Option<f64>| {
        ByGroup::from_fn(value(all).unwrap_or_default(), |group| value(&images.groups[group as usize]))
    };
    Ok(LongTailScores {
        images: predictions.images() as u64,
        classes: predictions.classes(),
        classes_without_test_images: sums.labelled.iter().filter(|&&images| images == 0).count(),
        groups: *groups,
        sizes: ByGroup::from_fn(size(&per_class, None), |group| Some(size(&per_class, Some(group)))),
        all: all_of(|class| class.accuracy),
        many: accuracy(Some(Group::Many)),
        medium: accuracy(Some(Group::Medium)),
        few: accuracy(Some(Group::Few)),
        natural: natural_accuracy(&per_class),
        top_1: top(1),
        top_5: top(TOP),
        macro_precision: all_of(|class| class.precision),
        macro_recall: all_of(|class| class.recall),
        macro_f1: all_of(|class| class.f1),
        micro_f1: micro_f1(&sums),
        calibration_error: by_group(&images.all, |sums| sums.calibration.error().map(|error| 100.0 * error)),
        likelihood: by_group(&images.all, |sums| (sums.images > 0).then(|| sums.likelihood / sums.images as f64)),
        likelihood_histograms: histograms(predictions, &class_groups),
        per_class,
        confusion,
    })
}

/// The group of each class.
pub(super) fn check(
    predictions: &Predictions,
    train_counts: &[u64],
    groups: &Groups,
) -> Result<Vec<Group>, ScoreError> {
    if train_counts.len() != predictions.classes() {
        return Err(ScoreError::Counts { counts: train_counts.len(), classes: predictions.classes() });
    }
    let sum: u128 = train_counts.iter().copied().map(u128::from).sum();
    if sum == 0 || sum > u128::from(u64::MAX) {
        return Err(ScoreError::CountSum { sum });
    }
    Ok(groups.assign(train_counts)?)
}

/// Sums over images.
struct ImageSums {
    all: GroupSums,
    groups: [GroupSums; Group::ALL.len()],
    class_likelihood: Vec<f64>,
}

#[derive(Default)]
struct GroupSums {
    images: u64,
    likelihood: f64,
    calibration: Calibration,
}

impl ImageSums {
    fn of(predictions: &Predictions, class_groups: &[Group]) -> Self {
        let class_likelihood = vec![0.0; predictions.classes()];
        let mut sums = Self { all: GroupSums::default(), groups: Default::default(), class_likelihood };
        for (row, &label) in predictions.labels().iter().enumerate() {
            let (likelihood, confidence) = (predictions.likelihood(row), predictions.confidence(row));
            sums.class_likelihood[label] += likelihood;
            for group in [&mut sums.all, &mut sums.groups[class_groups[label] as usize]] {
                group.images += 1;
                group.likelihood += likelihood;
                group.calibration.add(confidence, predictions.predictions()[row] == label);
            }
        }
        sums
    }
}

fn class_scores(sums: &Sums, likelihood: &[f64], train_counts: &[u64], groups: &[Group]) -> Vec<ClassScores> {
    (0..train_counts.len())
        .map(|class| {
            let (labelled, predicted, correct) = (sums.labelled[class], sums.predicted[class], sums.correct[class]);
            let tested = |value: f64| (labelled > 0).then_some(value);
            ClassScores {
                class,
                group: groups[class],
                train_images: train_counts[class],
                test_images: labelled,
                accuracy: tested(percent(correct, labelled)),
                precision: tested(percent(correct, predicted)),
                recall: tested(percent(correct, labelled)),
                f1: tested(percent(2 * correct, labelled + predicted)),
                likelihood: tested(likelihood[class] / labelled as f64),
            }
        })
        .collect()
}

/// `Σ acc_c·n_c / Σ n_c` over the classes with test images, %.
fn natural_accuracy(per_class: &[ClassScores]) -> Option<f64> {
    let tested = || per_class.iter().filter_map(|class| Some((class.accuracy?, class.train_images as f64)));
    let weight: f64 = tested().map(|(_, images)| images).sum();
    (weight > 0.0).then(|| tested().map(|(accuracy, images)| accuracy * images).sum::<f64>() / weight)
}

/// `2·ΣTP / (2·ΣTP + ΣFP + ΣFN)`, %.
fn micro_f1(sums: &Sums) -> f64 {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    percent(2 * sum(&sums.correct), sum(&sums.labelled) + sum(&sums.predicted))
}

fn size(per_class: &[ClassScores], group: Option<Group>) -> GroupSize {
    let mut size = GroupSize::default();
    for class in per_class.iter().filter(|class| group.is_none_or(|group| class.group == group)) {
        size.classes += 1;
        size.classes_with_test_images += usize::from(class.test_images > 0);
        size.train_images += class.train_images;
        size.test_images += class.test_images;
    }
    size
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_usize);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
