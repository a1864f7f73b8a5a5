//! The plugins as the build folder has them, and batches for them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use imbalance_core::host::{Loss, LossChoice, Plugin, SearchPath};
use imbalance_core::{ClassCounts, Head, LossError};
use imbalance_train::heads::{Gradients, HeadOptions, sigmoid_gradients, softmax_gradients};
use tch::Tensor;

pub const IDS: [&str; 6] =
    ["equalization", "equalization-v2", "gaussian-clouded", "influence-balanced", "lade", "seesaw"];

/// Training counts of a softmax head's five classes.
pub const COUNTS: [u64; 5] = [500, 60, 60, 7, 1];
/// A row with this target counts for nothing.
pub const IGNORED: i64 = -100;

static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let exe = std::env::current_exe().unwrap();
    let profile = exe.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).args(["build", "--quiet"]);
    build.args(profile.ends_with("release").then_some("--release"));
    build.arg("--target-dir").arg(profile.parent().unwrap());
    build.args(IDS.iter().flat_map(|id| ["--package".to_owned(), format!("toolkit-loss-{id}")]));
    assert!(build.status().unwrap().success(), "the plugins do not build");
    profile.to_owned()
});

pub fn plugin(id: &str) -> Plugin {
    SearchPath::of(vec![BUILT.clone()]).open(id).unwrap()
}

pub fn make(id: &str, head: Head, params: &[(&str, f64)], counts: &[u64]) -> Result<Loss, LossError> {
    let params = params.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let choice = LossChoice { plugin: Arc::new(plugin(id)), params };
    choice.make(head, &ClassCounts::new(counts.to_vec()).unwrap())
}

/// The loss of `id` for a softmax head of [`COUNTS`].
pub fn softmax(id: &str, params: &[(&str, f64)]) -> Loss {
    make(id, Head::Softmax, params, &COUNTS).unwrap()
}

/// Keeps other tests from drawing numbers meanwhile.
pub fn alone_with_the_generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logits, or features, of a batch: numbers within ±`size` without a pattern, other ones for each `seed`.
pub fn numbers(rows: usize, columns: usize, size: f64, seed: f64) -> Vec<f64> {
    (0..rows * columns).map(|at| size * (seed + 1.7 * at as f64 * (1.0 + 0.01 * at as f64)).sin()).collect()
}

pub fn matrix(numbers: &[f64], columns: usize) -> Tensor {
    Tensor::from_slice(numbers).reshape([-1, columns as i64])
}

/// Each row's loss and the gradient of their sum, in a training step.
pub fn step(loss: &Loss, logits: &[f64], targets: &[i64], options: &HeadOptions<'_>) -> (Vec<f64>, Vec<f64>) {
    let (logits, targets) = (matrix(logits, logits.len() / targets.len()), Tensor::from_slice(targets));
    let Gradients { loss, gradient, .. } = match loss.head() {
        Head::Softmax => softmax_gradients(loss, &logits, &targets, options),
        Head::Sigmoid => sigmoid_gradients(loss, &logits, &targets, options),
    }
    .unwrap();
    (Vec::try_from(loss).unwrap(), Vec::try_from(gradient.flatten(0, -1)).unwrap())
}

/// Compares a step with `reference(z, z)`, each row's loss, and with the central differences of its sum by its first
/// argument; the second is where the loss has no gradient.
#[track_caller]
pub fn assert_agrees(
    what: &str,
    step: &(Vec<f64>, Vec<f64>),
    z: &[f64],
    reference: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) {
    let expected = reference(z, z);
    assert_eq!(step.0.len(), expected.len());
    for (row, (got, want)) in step.0.iter().zip(&expected).enumerate() {
        assert!((got - want).abs() < 1e-10 * (1.0 + want.abs()), "{what}, row {row}: {got} against {want}");
    }
    let h = 1e-5;
    let sum_at = |at: usize, by: f64| {
        let mut moved = z.to_vec();
        moved[at] += by;
        reference(&moved, z).iter().sum::<f64>()
    };
    for at in 0..z.len() {
        let (got, want) = (step.1[at], (sum_at(at, h) - sum_at(at, -h)) / (2.0 * h));
        assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{what}, logit {at}: gradient {got} against {want}");
    }
}
