//! An evaluator of one's own over what a run of `toolkit vision` predicted: no libtorch, no training.
//!
//!     cargo run --release -- vision --run runs/shapes
//!     cargo run --release --example own_evaluator -- runs/shapes
//!
//! The geometric mean of the classes' accuracies, which is 0 as soon as one class is never found, beside the toolkit's own
//! scores; and how much of the error is rare classes taken for frequent ones.

use std::error::Error;
use std::path::Path;

use imbalance_evaluation::longtail::{Groups, LongTailScores, read_predictions, score};
use serde::Deserialize;

/// What the evaluator needs of a run's `model.json`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Model {
    train_counts: Vec<u64>,
    groups: Groups,
}

/// `exp` of the mean of the logarithms of the class accuracies, %.
fn geometric_mean(scores: &LongTailScores) -> f64 {
    let accuracies: Vec<f64> = scores.per_class.iter().filter_map(|class| class.accuracy).collect();
    let mean = accuracies.iter().map(|accuracy| accuracy.ln()).sum::<f64>() / accuracies.len() as f64;
    mean.exp()
}

/// Of the wrong predictions, the share that names a class with more training images than the true one has, %.
fn upward(scores: &LongTailScores) -> f64 {
    let images = |class: usize| scores.per_class[class].train_images;
    let wrong: Vec<_> = scores.confusion.pairs().filter(|(truth, said, _)| truth != said).collect();
    let count = |pairs: &[(usize, usize, u64)]| pairs.iter().map(|(.., count)| count).sum::<u64>() as f64;
    let up: Vec<_> = wrong.iter().copied().filter(|&(truth, said, _)| images(said) > images(truth)).collect();
    100.0 * count(&up) / count(&wrong)
}

fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::args().nth(1).ok_or("usage: own_evaluator RUN, a finished run of `toolkit vision`")?;
    let run = Path::new(&run);
    let model: Model = serde_json::from_str(&std::fs::read_to_string(run.join("model.json"))?)?;
    let predictions = read_predictions(&run.join("predictions-test.safetensors"))?;
    let scores = score(&predictions, &model.train_counts, &model.groups)?;
    println!("mean of the class accuracies            {:6.2}", scores.all);
    println!("geometric mean                          {:6.2}", geometric_mean(&scores));
    println!("errors towards more frequent classes    {:6.2}", upward(&scores));
    Ok(())
}
