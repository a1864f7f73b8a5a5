//! Scores computed by hand.

use super::*;

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-9, "{got} is not {want}");
}

/// Probabilities that are exact in float32. Classes: 300, 200, 50, 5 and 1 training images; class 4 has no test image.
///
/// | image | label | predicted | p of the label | p of the prediction |
/// |---|---|---|---|---|
/// | 0 | 0 | 0 | .75 | .75 |
/// | 1 | 0 | 0 | .5 | .5 |
/// | 2 | 1 | 0 | .25 | .5 |
/// | 3 | 1 | 1 | 1 | 1 |
/// | 4 | 2 | 4 | 0 | 1 |
/// | 5 | 3 | 3 | .5 | .5 |
fn example() -> Predictions {
    let rows = [
        [0.75, 0.25, 0.0, 0.0, 0.0],
        [0.5, 0.25, 0.25, 0.0, 0.0],
        [0.5, 0.25, 0.25, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.25, 0.5, 0.25],
    ];
    Predictions::from_probabilities(5, rows.concat(), vec![0, 0, 1, 1, 2, 3]).unwrap()
}

const TRAIN: [u64; 5] = [300, 200, 50, 5, 1];

fn scores() -> LongTailScores {
    score(&example(), &TRAIN, &Groups::default()).unwrap()
}

#[test]
fn accuracies_by_hand() {
    let scores = scores();
    // Class accuracies 100, 50, 0, 100; class 4 has none.
    close(scores.all, 62.5);
    close(scores.many.unwrap(), 75.0);
    close(scores.medium.unwrap(), 0.0);
    close(scores.few.unwrap(), 100.0);
    close(scores.natural.unwrap(), 100.0 * (300.0 + 100.0 + 5.0) / 555.0);
    close(scores.top_1, 400.0 / 6.0);
    close(scores.top_5, 100.0);
    assert_eq!((scores.images, scores.classes, scores.classes_without_test_images), (6, 5, 1));
    let size = |classes, classes_with_test_images, train_images, test_images| GroupSize {
        classes,
        classes_with_test_images,
        train_images,
        test_images,
    };
    assert_eq!(scores.sizes.all, size(5, 4, 556, 6));
    assert_eq!(scores.sizes.many, Some(size(2, 2, 500, 4)));
    assert_eq!(scores.sizes.few, Some(size(2, 1, 6, 1)));
}

#[test]
fn natural_accuracy_weighs_classes_by_their_training_images() {
    // Accuracies 100 and 50 on a balanced test set; 9 of 10 training images are of class 0: 95, not 75.
    let rows = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]];
    let predictions = Predictions::from_probabilities(2, rows.concat(), vec![0, 0, 1, 1]).unwrap();
    let natural = |counts: [u64; 2]| score(&predictions, &counts, &Groups::default()).unwrap().natural.unwrap();
    close(natural([90, 10]), 95.0);
    close(natural([10, 90]), 55.0);
    close(natural([7, 7]), 75.0);
}

#[test]
fn precision_recall_and_f1_by_hand() {
    let scores = scores();
    let of = |value: fn(&ClassScores) -> Option<f64>| -> Vec<Option<f64>> {
        scores.per_class.iter().map(|class| value(class).map(|value| (value * 1e6).round() / 1e6)).collect()
    };
    // Class 0 is predicted three times; class 2 never.
    assert_eq!(of(|class| class.precision), [Some(66.666667), Some(100.0), Some(0.0), Some(100.0), None]);
    assert_eq!(of(|class| class.recall), [Some(100.0), Some(50.0), Some(0.0), Some(100.0), None]);
    assert_eq!(of(|class| class.f1), [Some(80.0), Some(66.666667), Some(0.0), Some(100.0), None]);
    assert_eq!(of(|class| class.likelihood), [Some(0.625), Some(0.625), Some(0.0), Some(0.5), None]);
    close(scores.macro_precision, (200.0 / 3.0 + 200.0) / 4.0);
    close(scores.macro_recall, 62.5);
    close(scores.macro_f1, (180.0 + 200.0 / 3.0) / 4.0);
    close(scores.micro_f1, 400.0 / 6.0);
}

#[test]
fn calibration_and_likelihood_by_hand() {
    let scores = scores();
    // Confidences .5 (right, wrong, right) |2 − 1.5|, .75 (right) .25, 1 (right, wrong) |1 − 2|, over 6.
    close(scores.calibration_error.all, 100.0 * (0.5 + 0.25 + 1.0) / 6.0);
    // .5 (right, wrong) 0, .75 (right) .25, 1 (right) 0.
    close(scores.calibration_error.many.unwrap(), 100.0 * 0.25 / 4.0);
    close(scores.calibration_error.medium.unwrap(), 100.0);
    close(scores.calibration_error.few.unwrap(), 50.0);
    close(scores.likelihood.all, 3.0 / 6.0);
    close(scores.likelihood.many.unwrap(), 2.5 / 4.0);
    close(scores.likelihood.few.unwrap(), 0.5);
    close(scores.likelihood_histograms.many.as_ref().unwrap()[19], 0.25);
}

#[test]
fn the_fifth_guess_counts_and_the_sixth_does_not() {
    let logits = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0].repeat(3);
    let predictions = Predictions::from_logits(6, logits, vec![0, 4, 5]).unwrap();
    let scores = score(&predictions, &[1; 6], &Groups::default()).unwrap();
    close(scores.top_1, 100.0 / 3.0);
    close(scores.top_5, 200.0 / 3.0);
}

#[test]
fn a_group_without_test_images_has_no_value() {
    let scores = score(&example(), &[300, 300, 300, 300, 5], &Groups::default()).unwrap();
    assert_eq!((scores.medium, scores.few), (None, None));
    assert_eq!((scores.calibration_error.few, scores.likelihood.few), (None, None));
    assert_eq!(scores.likelihood_histograms.few, None);
    assert_eq!(scores.sizes.few.unwrap().classes, 1);
    // Only the class without test images was trained on.
    assert_eq!(score(&example(), &[0, 0, 0, 0, 5], &Groups::default()).unwrap().natural, None);
}

#[test]
fn wrong_counts_and_groups_are_refused() {
    let error = |counts: &[u64], groups| score(&example(), counts, &groups).unwrap_err().to_string();
    assert_eq!(
        error(&TRAIN[..4], Groups::default()),
        "training counts of 4 classes, but predictions over 5; each class needs its count"
    );
    assert_eq!(
        error(&[0; 5], Groups::default()),
        "the training counts sum to 0; they must sum to at least 1 and less than 2^64"
    );
    assert!(error(&[u64::MAX, 1, 0, 0, 0], Groups::default()).contains("18446744073709551616"));
    assert!(error(&TRAIN, Groups::by_rank(1, 1, 1)).contains("are 3 in all"));
}

#[test]
fn scores_survive_json() {
    let scores = scores();
    let json = serde_json::to_string(&scores).unwrap();
    assert!(json.contains(r#""groups":{"by":"count","many_above":100,"few_below":20}"#), "{json}");
    assert!(json.contains(r#""confusion":{"classes":5,"labels":[0,1,1,2,3],"predictions":[0,0,1,4,3],"#), "{json}");
    assert_eq!(serde_json::from_str::<LongTailScores>(&json).unwrap(), scores);
}
