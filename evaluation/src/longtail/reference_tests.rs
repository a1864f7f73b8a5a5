//! Every metric against a second implementation, written from the definitions with loops over images and classes only.

use proptest::prelude::*;

use super::{ByGroup, Group, Groups, LongTailScores, Predictions, score};

/// A test set and the training counts of its classes.
#[derive(Debug, Clone)]
struct Case {
    classes: usize,
    logits: Vec<f32>,
    labels: Vec<usize>,
    counts: Vec<u64>,
}

/// Few different logits, so that there are ties; many images for few classes and the other way round.
fn cases() -> impl Strategy<Value = Case> {
    (2_usize..9, 1_usize..40).prop_flat_map(|(classes, images)| {
        let logit = prop_oneof![(-4_i8..5).prop_map(f32::from), -30.0_f32..30.0];
        let counts = proptest::collection::vec(prop_oneof![0_u64..200, Just(20), Just(100)], classes);
        (
            proptest::collection::vec(logit, classes * images),
            proptest::collection::vec(0..classes, images),
            counts.prop_filter("some training image", |counts| counts.iter().any(|&count| count > 0)),
        )
            .prop_map(move |(logits, labels, counts)| Case { classes, logits, labels, counts })
    })
}

/// p, float64.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let sum_for = |class: usize| logits.iter().map(|z| (f64::from(*z) - f64::from(logits[class])).exp()).sum::<f64>();
    (0..logits.len()).map(|class| 1.0 / sum_for(class)).collect()
}

/// Classes by falling logit, then by index.
fn guesses(logits: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap().then(a.cmp(&b)));
    classes
}

fn average(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

fn close(name: &str, got: f64, want: f64) {
    // Probabilities are stored as float32.
    assert!((got - want).abs() < 2e-5, "{name}: {got} is not {want}");
}

fn alike(name: &str, got: Option<f64>, want: Option<f64>) {
    match (got, want) {
        (Some(got), Some(want)) => close(name, got, want),
        _ => assert_eq!(got, want, "{name}"),
    }
}

/// Compares a score of all classes and of each group with what `want` says of the classes that a filter accepts.
fn by_group(name: &str, got: &ByGroup<f64>, case: &Case, want: impl Fn(&dyn Fn(usize) -> bool) -> Option<f64>) {
    alike(name, Some(got.all), want(&|_| true));
    alike(name, got.of(Group::Many).copied(), want(&|class| case.counts[class] > 100));
    alike(name, got.of(Group::Medium).copied(), want(&|class| (20..=100).contains(&case.counts[class])));
    alike(name, got.of(Group::Few).copied(), want(&|class| case.counts[class] < 20));
}

fn compare(case: &Case, scores: &LongTailScores) {
    let images = 0..case.labels.len();
    let row = |image: usize| &case.logits[image * case.classes..][..case.classes];
    let first = |image: usize| guesses(row(image))[0];
    let of_class =
        |class: usize| -> Vec<usize> { images.clone().filter(|&image| case.labels[image] == class).collect() };
    let hit = |image: usize| if first(image) == case.labels[image] { 100.0 } else { 0.0 };
    let accuracy = |class: usize| average(&of_class(class).into_iter().map(hit).collect::<Vec<_>>());
    let tested: Vec<usize> = (0..case.classes).filter(|&class| accuracy(class).is_some()).collect();
    let over_tested =
        |value: &dyn Fn(usize) -> f64| average(&tested.iter().map(|&class| value(class)).collect::<Vec<_>>()).unwrap();

    by_group("accuracy", &scores.accuracy(), case, |in_group| {
        let chosen = tested.iter().filter(|class| in_group(**class));
        average(&chosen.filter_map(|&class| accuracy(class)).collect::<Vec<_>>())
    });
    // Each training image counts once, as if it were a test image.
    let (mut sum, mut weight) = (0.0, 0.0);
    for &class in &tested {
        for _ in 0..case.counts[class] {
            sum += accuracy(class).unwrap();
            weight += 1.0;
        }
    }
    alike("natural", scores.natural, if weight > 0.0 { Some(sum / weight) } else { None });

    let top = |guess_count: usize| {
        let hits = images
            .clone()
            .filter(|&image| guesses(row(image)).iter().take(guess_count).any(|g| *g == case.labels[image]));
        100.0 * hits.count() as f64 / case.labels.len() as f64
    };
    close("top-1", scores.top_1, top(1));
    close("top-5", scores.top_5, top(5));
    close("micro F1", scores.micro_f1, top(1));

    let precision = |class: usize| {
        let named: Vec<f64> = images.clone().filter(|&image| first(image) == class).map(hit).collect();
        average(&named).unwrap_or(0.0)
    };
    let harmonic = |a: f64, b: f64| if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 };
    let f1 = |class: usize| harmonic(precision(class), accuracy(class).unwrap());
    close("macro precision", scores.macro_precision, over_tested(&precision));
    close("macro recall", scores.macro_recall, scores.all);
    close("macro F1", scores.macro_f1, over_tested(&f1));

    let likelihood = |image: usize| softmax(row(image))[case.labels[image]];
    by_group("likelihood", &scores.likelihood, case, |in_group| {
        let chosen = images.clone().filter(|&image| in_group(case.labels[image]));
        average(&chosen.map(likelihood).collect::<Vec<_>>())
    });
    for class in &scores.per_class {
        assert_eq!(class.test_images as usize, of_class(class.class).len());
        alike("class accuracy", class.accuracy, accuracy(class.class));
        alike("class recall", class.recall, accuracy(class.class));
        alike("class precision", class.precision, accuracy(class.class).map(|_| precision(class.class)));
        alike("class F1", class.f1, accuracy(class.class).map(|_| f1(class.class)));
        let of_images: Vec<f64> = of_class(class.class).into_iter().map(likelihood).collect();
        alike("class likelihood", class.likelihood, average(&of_images));
    }

    // As float32, so that a confidence on the edge of a bin is on the same side of it.
    let confidence = |image: usize| f64::from(softmax(row(image))[first(image)] as f32);
    by_group("calibration error", &scores.calibration_error, case, |in_group| {
        let chosen: Vec<usize> = images.clone().filter(|&image| in_group(case.labels[image])).collect();
        let mut error = 0.0;
        for bin in 0..15 {
            let (low, high) = (f64::from(bin) / 15.0, f64::from(bin + 1) / 15.0);
            let held: Vec<usize> =
                chosen.iter().copied().filter(|&image| confidence(image) > low && confidence(image) <= high).collect();
            let right = average(&held.iter().map(|&image| hit(image)).collect::<Vec<_>>());
            let sure = average(&held.iter().map(|&image| 100.0 * confidence(image)).collect::<Vec<_>>());
            if let (Some(right), Some(sure)) = (right, sure) {
                error += held.len() as f64 / chosen.len() as f64 * (right - sure).abs();
            }
        }
        if chosen.is_empty() { None } else { Some(error) }
    });

    let matrix = &scores.confusion;
    for label in 0..case.classes {
        for predicted in 0..case.classes {
            let want = of_class(label).into_iter().filter(|&image| first(image) == predicted).count() as u64;
            let got: u64 =
                matrix.pairs().filter(|pair| (pair.0, pair.1) == (label, predicted)).map(|pair| pair.2).sum();
            assert_eq!(got, want);
        }
    }
    for group in Group::ALL {
        let histogram = scores.likelihood_histograms.of(group);
        let sum = histogram.map(|shares| shares.iter().sum::<f64>());
        alike("histogram", sum, scores.likelihood.of(group).map(|_| 1.0));
    }
}

proptest! {
    #[test]
    fn all_metrics_agree(case in cases()) {
        let predictions = Predictions::from_logits(case.classes, case.logits.clone(), case.labels.clone()).unwrap();
        compare(&case, &score(&predictions, &case.counts, &Groups::default()).unwrap());
    }
}
