//! Classifiers on the same test images.

use super::{Compared, Comparison, Method, means, of_groups, percent, with_the_same};
use crate::longtail::read_predictions;
use crate::report::run::Run;
use crate::significance::{Examples, bootstrap, mcnemar};

/// The logits of the final model.
const PREDICTIONS: &str = "predictions-test.safetensors";

/// What a run says about the test images.
struct Answers {
    shared: Shared,
    right: Vec<f64>,
}

/// What the runs must have in common.
#[derive(PartialEq)]
struct Shared {
    labels: Vec<usize>,
    classes: Vec<Class>,
}

#[derive(PartialEq)]
struct Class {
    group: String,
    train_images: u64,
}

const SCORES: [&str; 6] = ["All", "Many", "Medium", "Few", "Natural", "top-1"];

/// Tests accuracies of the final models: top-1 exactly where both groups are of a single run, means of class accuracies by
/// resampling.
pub(super) fn compare(compared: Compared<'_>, comparison: &mut Comparison) {
    let groups = of_groups(compared, comparison, read);
    let groups = with_the_same(groups, compared, comparison, "test images or training counts", |own| &own.shared);
    let Some(Answers { shared: Shared { labels, classes }, .. }) = groups.first().map(|(_, own)| &own[0]) else {
        return;
    };
    let of_group = |name: &str| classes.iter().map(|class| f64::from(class.group == name)).collect::<Vec<f64>>();
    let natural = classes.iter().map(|class| class.train_images as f64).collect();
    let weights = [vec![1.0; classes.len()], of_group("many"), of_group("medium"), of_group("few"), natural];
    let values: Vec<Vec<f64>> =
        groups.iter().map(|(_, own)| means(&own.iter().map(|run| run.right.as_slice()).collect::<Vec<_>>())).collect();
    let by_class = Examples { values: &values, strata: labels, weights: &weights };
    let in_all = Examples { values: &values, strata: &vec![0; labels.len()], weights: &[vec![1.0]] };
    let (by_class, in_all) = match (
        bootstrap(&by_class, compared.resamples, super::SEED),
        bootstrap(&in_all, compared.resamples, super::SEED),
    ) {
        (Ok(by_class), Ok(in_all)) => (by_class, in_all),
        (Err(error), _) | (_, Err(error)) => return comparison.notes.push(format!("Nothing is resampled: {error}.")),
    };
    let places: Vec<usize> = groups.iter().map(|(place, _)| *place).collect();
    let right = |at: usize| values[at].iter().map(|&right| right > 0.5).collect::<Vec<bool>>();
    comparison.add_pairs(&places, &SCORES, "images", |first, second, score| {
        let single = groups[first].1.len() == 1 && groups[second].1.len() == 1;
        if score + 1 < SCORES.len() {
            Some((Method::Bootstrap, percent(by_class.difference(first, second, score)?)))
        } else if single {
            Some((Method::McNemar, percent(mcnemar(&right(first), &right(second)).ok()?)))
        } else {
            Some((Method::Bootstrap, percent(in_all.difference(first, second, 0)?)))
        }
    });
}

fn read(run: &Run) -> Result<Answers, String> {
    let results = run.results.as_ref().ok_or("it is not finished")?;
    let path = run.folder.join(PREDICTIONS);
    if !path.exists() {
        return Err(format!("there is no {PREDICTIONS}"));
    }
    let predictions = read_predictions(&path).map_err(|error| error.to_string())?;
    let class = |class: &serde_json::Value| {
        Some(Class { group: class["group"].as_str()?.to_owned(), train_images: class["train_images"].as_u64()? })
    };
    let classes: Option<Vec<Class>> =
        results["scores"]["per_class"].as_array().into_iter().flatten().map(class).collect();
    let classes = classes.filter(|classes| classes.len() == predictions.classes());
    let classes = classes.ok_or("results.json has no scores of each class")?;
    let right =
        predictions.predictions().iter().zip(predictions.labels()).map(|(said, label)| f64::from(said == label));
    Ok(Answers { right: right.collect(), shared: Shared { labels: predictions.labels().to_vec(), classes } })
}
