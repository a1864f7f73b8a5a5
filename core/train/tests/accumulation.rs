//! Several batches in one step.

use std::collections::BTreeMap;
use std::path::Path;

use imbalance_train::config::TrainConfig;
use imbalance_train::optimiser::{LayerRates, Prefixes, Rule, SgdConfig};
use imbalance_train::schedule::{Decay, Schedule, WarmUp};
use imbalance_train::{
    BatchLoss, Goal, Group, Interrupt, LossPhase, Manifest, Outcome, RunFolder, RunMode, RunRequest, Step, Task,
    TrainError, fit,
};
use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};

/// A regression on eight points, of which the loss sums squares.
struct Regression {
    store: VarStore,
    slope: Tensor,
    points: Tensor,
    values: Tensor,
    batches: Vec<Vec<usize>>,
    /// A batch that has nothing to train on.
    empty: Option<usize>,
    asked: usize,
}

impl Regression {
    fn new(batches: Vec<Vec<usize>>) -> Self {
        let store = VarStore::new(Device::Cpu);
        let slope = store.root().var("slope", &[2], nn::Init::Const(0.5));
        let points =
            Tensor::from_slice(&[1f32, 2., 0., 1., 3., -1., 2., 2., -2., 1., 1., 0., 0.5, 4., -1., -1.]).view([8, 2]);
        let values = Tensor::from_slice(&[1f32, -2., 0.5, 3., 1., 0., 2., -1.]);
        Self { store, slope, points, values, batches, empty: None, asked: 0 }
    }
}

impl Task for Regression {
    fn variables(&self) -> &VarStore {
        &self.store
    }

    fn batches(&self, _: usize) -> Result<Vec<Vec<usize>>, TrainError> {
        Ok(self.batches.clone())
    }

    fn forward(&mut self, batch: &[usize], _: Step) -> Result<Option<BatchLoss>, TrainError> {
        self.asked += 1;
        if self.empty == Some(self.asked) {
            return Ok(None);
        }
        let indices = Tensor::from_slice(&batch.iter().map(|&index| index as i64).collect::<Vec<_>>());
        let found = self.points.index_select(0, &indices).matmul(&self.slope);
        let sum = (found - self.values.index_select(0, &indices)).square().sum(Kind::Float);
        Ok(Some(BatchLoss { sum, units: batch.len() as f64 }))
    }

    fn validate(&mut self, _: LossPhase, _: &Group) -> Result<BTreeMap<String, f64>, TrainError> {
        Ok(BTreeMap::from([("loss".to_owned(), 0.0)]))
    }

    fn monitor(&self) -> (&str, Goal) {
        ("loss", Goal::Minimise)
    }
}

fn config(accumulate: usize, clip_norm: Option<f64>) -> TrainConfig {
    TrainConfig {
        schedule: Schedule {
            lr: 0.05,
            start: 0.0,
            min_lr: 0.0,
            warm_up: WarmUp::None,
            decay: Decay::Constant,
            epochs: 2,
        },
        rule: Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 0.01, nesterov: false }),
        layer_rates: LayerRates::default(),
        frozen: Prefixes::default(),
        average: None,
        scale_loss: false,
        accumulate,
        clip_norm,
        defer_epochs: 0,
        patience: 0,
        seed: 1,
        checkpoint_every: 0,
        log_every: 0,
        quiet: true,
    }
}

/// The weights after two epochs, and the steps that they took.
fn trained(folder: &Path, task: &mut Regression, config: &TrainConfig) -> (Vec<f64>, u64) {
    let request = RunRequest {
        folder: Some(folder.to_owned()),
        root: "runs".into(),
        name: "regression".into(),
        mode: RunMode::New,
        config: format!("accumulate = {}\n", config.accumulate),
        manifest: Manifest::collect(1),
    };
    let mut run = RunFolder::open(&request).unwrap();
    let outcome = fit(task, config, Some(&mut run), &Interrupt::default(), &Group::alone()).unwrap();
    let Outcome::Finished(summary) = outcome else { panic!("nobody interrupted") };
    (Vec::try_from(task.slope.to_kind(Kind::Double)).unwrap(), summary.steps)
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
}

#[test]
fn batches_of_unlike_sizes_make_the_step_of_one_large_batch() {
    let folder = tempfile::tempdir().unwrap();
    for (name, clip_norm) in [("free", None), ("clipped", Some(0.7))] {
        let mut large = Regression::new(vec![(0..6).collect(), vec![6, 7]]);
        let (expected, steps) = trained(&folder.path().join(name).join("large"), &mut large, &config(1, clip_norm));
        assert_eq!(steps, 4);
        // The last step has one batch only.
        let mut small = Regression::new(vec![vec![0, 1, 2, 3], vec![4, 5], vec![6, 7]]);
        let (found, steps) = trained(&folder.path().join(name).join("small"), &mut small, &config(2, clip_norm));
        assert_eq!(steps, 4);
        assert!(near(&found, &expected), "{name}: {found:?} and {expected:?}");
        assert!(!near(&found, &[0.5, 0.5]), "it trained");
    }
}

#[test]
fn a_batch_without_anything_to_train_on_is_no_part_of_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut with_empty = Regression::new(vec![vec![0, 1], vec![2, 3], vec![4, 5]]);
    // Of the first epoch: three batches are asked for in each.
    with_empty.empty = Some(2);
    let (found, steps) = trained(&folder.path().join("empty"), &mut with_empty, &config(3, None));
    assert_eq!((steps, with_empty.asked), (2, 6));
    // By hand: a step on points 0, 1, 4, 5, then one on all six.
    let expected = by_hand(&with_empty, &[&[0, 1, 4, 5], &[0, 1, 2, 3, 4, 5]]);
    assert!(near(&found, &expected), "{found:?} and {expected:?}");

    // A step of nothing but that changes nothing.
    let mut nothing = Regression::new(vec![vec![0, 1]]);
    nothing.empty = Some(1);
    let (found, steps) = trained(&folder.path().join("nothing"), &mut nothing, &config(1, None));
    assert_eq!(steps, 2);
    assert!(near(&found, &by_hand(&nothing, &[&[0, 1]])), "{found:?}");
}

#[test]
fn schedules_count_steps_and_not_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    // Three steps an epoch, the last of one batch; two of the six warm up, and the cosine has four.
    let mut task = Regression::new((0..5).map(|at| vec![at]).collect());
    let mut config = TrainConfig { log_every: 1, ..config(2, None) };
    config.schedule = Schedule { warm_up: WarmUp::Steps(2), decay: Decay::Cosine, ..config.schedule };
    assert_eq!(trained(&path, &mut task, &config).1, 6);
    let text = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let rates: Vec<f64> = records.filter_map(|record| record["lr"].as_f64()).collect();
    // 0.05·(1 + cos 0, 45, 90 and 135 degrees)/2.
    let root = std::f64::consts::FRAC_1_SQRT_2;
    let expected = [0.025, 0.05, 0.05, 0.025 * (1.0 + root), 0.025, 0.025 * (1.0 - root)];
    assert_eq!(rates.len(), 6);
    assert!(rates.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{rates:?}");
}

/// SGD with momentum in float64 over these steps.
fn by_hand(task: &Regression, steps: &[&[usize]]) -> Vec<f64> {
    let points: Vec<f64> = Vec::try_from(task.points.to_kind(Kind::Double).view([-1])).unwrap();
    let values: Vec<f64> = Vec::try_from(task.values.to_kind(Kind::Double)).unwrap();
    let (mut slope, mut velocity) = (vec![0.5, 0.5], [0.0, 0.0]);
    for step in steps {
        let mut gradient = [0.0, 0.0];
        for &at in *step {
            let (x, y) = (points[2 * at], points[2 * at + 1]);
            let error = slope[0] * x + slope[1] * y - values[at];
            gradient[0] += 2.0 * error * x / step.len() as f64;
            gradient[1] += 2.0 * error * y / step.len() as f64;
        }
        for axis in 0..2 {
            velocity[axis] = 0.9 * velocity[axis] + gradient[axis] + 0.01 * slope[axis];
            slope[axis] -= 0.05 * velocity[axis];
        }
    }
    slope
}
