//! The loop on a small network: exact resumption, and what happens when things go wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imbalance_train::checkpoint::{self, Checkpoint};
use imbalance_train::optimiser::{LayerRates, Prefixes, Rule, SgdConfig};
use imbalance_train::order::shuffled_batches;
use imbalance_train::run_folder::RunMode;
use imbalance_train::schedule::{Decay, Schedule, WarmUp};
use imbalance_train::seeding::{Stream, seed_libtorch};
use imbalance_train::{
    BatchLoss, Goal, Group, Interrupt, LossPhase, Manifest, Outcome, RunFolder, RunRequest, Step, Task, TrainConfig,
    TrainError, fit,
};
use serde_json::Value;
use tch::nn::{self, Module, VarStore};
use tch::{Device, Kind, Tensor};

const EXAMPLES: i64 = 90;

/// libtorch's generator belongs to the process, so only one of these tests may train at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TRAINING: Mutex<()> = Mutex::new(());
    TRAINING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ways for a task to be wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    NoBatches,
    NoUnits,
    NoGraph,
    NotAScalar,
    Gradient,
}

/// Two layers with dropout on made points; can stop itself, slow down, or spoil a loss, after so many steps.
struct Points {
    store: VarStore,
    first: nn::Linear,
    second: nn::Linear,
    inputs: Tensor,
    labels: Tensor,
    steps: u64,
    stop_after: Option<(u64, Interrupt)>,
    spoil_at: Option<u64>,
    slow_after: Option<u64>,
    /// A step whose gradient is finite, but not times 65,536.
    steep_at: Option<u64>,
    phases: Vec<LossPhase>,
    monitor: &'static str,
    validations: Option<Vec<f64>>,
    wrong: Option<Wrong>,
}

impl Points {
    fn new() -> Points {
        seed_libtorch(1, Stream::Weights, 0);
        let store = VarStore::new(Device::Cpu);
        let root = store.root();
        let first = nn::linear(&root / "first", 4, 16, nn::LinearConfig::default());
        let second = nn::linear(&root / "second", 16, 3, nn::LinearConfig::default());
        let inputs = Tensor::randn([EXAMPLES, 4], (Kind::Float, Device::Cpu));
        let labels = inputs.slice(1, 0, 3, 1).argmax(1, false);
        Points {
            store,
            first,
            second,
            inputs,
            labels,
            steps: 0,
            stop_after: None,
            spoil_at: None,
            slow_after: None,
            steep_at: None,
            phases: Vec::new(),
            monitor: "loss",
            validations: None,
            wrong: None,
        }
    }

    fn logits(&self, inputs: &Tensor, train: bool) -> Tensor {
        self.second.forward(&self.first.forward(inputs).relu().dropout(0.3, train))
    }
}

impl Task for Points {
    fn variables(&self) -> &VarStore {
        &self.store
    }

    fn batches(&self, epoch: usize) -> Result<Vec<Vec<usize>>, TrainError> {
        if self.wrong == Some(Wrong::NoBatches) {
            return Ok(Vec::new());
        }
        Ok(shuffled_batches(EXAMPLES as usize, 8, 1, epoch))
    }

    fn forward(&mut self, batch: &[usize], at: Step) -> Result<Option<BatchLoss>, TrainError> {
        self.steps += 1;
        self.phases.push(at.phase);
        if let Some((steps, interrupt)) = &self.stop_after
            && self.steps == *steps
        {
            interrupt.request();
        }
        if self.slow_after.is_some_and(|steps| self.steps > steps) {
            std::thread::sleep(Duration::from_millis(300));
        }
        let indices = Tensor::from_slice(&batch.iter().map(|&index| index as i64).collect::<Vec<_>>());
        let logits = self.logits(&self.inputs.index_select(0, &indices), true);
        let labels = self.labels.index_select(0, &indices);
        let mut sum = logits.cross_entropy_loss::<Tensor>(&labels, None, tch::Reduction::Sum, -100, 0.0);
        if self.spoil_at == Some(self.steps) {
            sum *= f64::NAN;
        }
        if self.steep_at == Some(self.steps) {
            let slope = (&self.first.ws * 1e36).sum(Kind::Float);
            sum += &slope - slope.detach();
        }
        let units = if self.wrong == Some(Wrong::NoUnits) { 0.0 } else { batch.len() as f64 };
        match self.wrong {
            Some(Wrong::NoGraph) => sum = sum.detach(),
            Some(Wrong::NotAScalar) => sum = sum.repeat([2]),
            // The square root has a value at 0 but no slope.
            Some(Wrong::Gradient) => sum += (self.first.ws.sum(Kind::Float) * 0.0).sqrt(),
            _ => {}
        }
        Ok(Some(BatchLoss { sum, units }))
    }

    fn validate(&mut self, phase: LossPhase, _: &Group) -> Result<BTreeMap<String, f64>, TrainError> {
        let logits = self.logits(&self.inputs, false);
        let mut loss = logits.cross_entropy_for_logits(&self.labels).double_value(&[]);
        assert!(self.phases.last().is_none_or(|&last| last == phase), "validation is told the phase that trained");
        if let Some(values) = &mut self.validations {
            loss = values.remove(0);
        }
        Ok(BTreeMap::from([
            ("accuracy".to_string(), logits.accuracy_for_logits(&self.labels).double_value(&[])),
            ("loss".to_string(), loss),
        ]))
    }

    fn monitor(&self) -> (&str, Goal) {
        (self.monitor, Goal::Minimise)
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        schedule: Schedule {
            lr: 0.2,
            start: 0.0,
            min_lr: 0.0,
            warm_up: WarmUp::Steps(5),
            decay: Decay::Cosine,
            epochs: 3,
        },
        rule: Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 1e-4, nesterov: false }),
        layer_rates: LayerRates::default(),
        frozen: Prefixes::default(),
        average: None,
        scale_loss: false,
        accumulate: 1,
        clip_norm: Some(1.0),
        defer_epochs: 1,
        patience: 0,
        seed: 1,
        checkpoint_every: 0,
        log_every: 5,
        quiet: true,
    }
}

fn open(folder: &Path, mode: RunMode) -> RunFolder {
    RunFolder::open(&RunRequest {
        folder: Some(folder.to_path_buf()),
        root: folder.join("runs"),
        name: "points".into(),
        mode,
        config: "lr = 0.2\n".into(),
        manifest: Manifest::collect(1),
    })
    .unwrap()
}

fn train(task: &mut Points, config: &TrainConfig, folder: &Path, mode: RunMode) -> Result<Outcome, TrainError> {
    let interrupt = task.stop_after.as_ref().map_or_else(Interrupt::manual, |(_, interrupt)| interrupt.clone());
    fit(task, config, Some(&mut open(folder, mode)), &interrupt, &Group::alone())
}

fn stopping_after(steps: u64) -> Points {
    Points { stop_after: Some((steps, Interrupt::manual())), ..Points::new() }
}

/// Every checkpoint's bytes, and every metric but the times.
fn products(folder: &Path) -> (BTreeMap<PathBuf, Vec<u8>>, Vec<Value>) {
    let checkpoints = std::fs::read_dir(folder.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into(), std::fs::read(entry.path()).unwrap()))
        .collect();
    (checkpoints, metrics(folder))
}

fn metrics(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record.as_object_mut().unwrap().remove("seconds").unwrap();
            record
        })
        .collect()
}

#[test]
fn a_run_learns_and_leaves_its_records() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut task = Points::new();
    let Outcome::Finished(summary) = train(&mut task, &config(), &path, RunMode::New).unwrap() else {
        panic!("it was not interrupted");
    };
    // 90 examples in batches of 8: 12 steps an epoch.
    assert_eq!((summary.epochs, summary.steps, summary.stopped_early), (3, 36, false));
    assert!(summary.peak_memory_bytes.is_none_or(|bytes| bytes > 1 << 20));
    assert_eq!(task.phases[11..13], [LossPhase::Base, LossPhase::Main]);
    let records = metrics(&path);
    let kinds: Vec<&str> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    // Steps 5, 10, 12 | 15, 20, 24 | 25, 30, 35, 36, and an epoch and a valid after each bar.
    let (t, e) = ("train", ["epoch", "valid"]);
    assert_eq!(kinds, [vec![t; 3], e.to_vec(), vec![t; 3], e.to_vec(), vec![t; 4], e.to_vec()].concat());
    // Full rate at step 5 and the warm-up is 5/12 of an epoch: step 10 is (9 − 5)/31 of the way down.
    assert!((records[0]["lr"].as_f64().unwrap() - 0.2).abs() < 1e-12);
    let want = 0.1 * (1.0 + (std::f64::consts::PI * 4.0 / 31.0).cos());
    assert!((records[1]["lr"].as_f64().unwrap() - want).abs() < 1e-12);
    let loss = |record: &Value| record["loss"].as_f64().unwrap();
    assert!(loss(&records[records.len() - 2]) < 0.7 * loss(&records[0]), "the loss falls");
    assert_eq!(records[0]["phase"], "base");
    assert_eq!(records[5]["phase"], "main");
    for file in ["last", "previous", "best"] {
        assert!(path.join(format!("checkpoints/{file}.safetensors")).exists());
    }
}

#[test]
fn a_run_stopped_anywhere_and_resumed_ends_with_the_same_bytes() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let straight = folder.path().join("straight");
    train(&mut Points::new(), &config(), &straight, RunMode::New).unwrap();
    let want = products(&straight);
    // In the first epoch, within a window of records, at an epoch's last step, and twice.
    for stops in [vec![1], vec![17], vec![24], vec![7, 10]] {
        let path = folder.path().join(format!("stopped-{stops:?}"));
        let mut mode = RunMode::New;
        for &steps in &stops {
            let outcome = train(&mut stopping_after(steps), &config(), &path, mode).unwrap();
            let Outcome::Interrupted(summary) = outcome else { panic!("it was interrupted") };
            assert!(summary.last_checkpoint.exists());
            mode = RunMode::Resume;
        }
        let outcome = train(&mut Points::new(), &config(), &path, mode).unwrap();
        assert!(matches!(outcome, Outcome::Finished(summary) if summary.steps == 36));
        let got = products(&path);
        assert_eq!(got.1, want.1, "metrics after stops at {stops:?}");
        assert!(got.0 == want.0, "checkpoints after stops at {stops:?}");
    }
}

#[test]
fn a_killed_run_repeats_what_its_checkpoint_does_not_hold() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let straight = folder.path().join("straight");
    let mut config = config();
    config.checkpoint_every = 5;
    train(&mut Points::new(), &config, &straight, RunMode::New).unwrap();
    // An error at step 19 stands for the kill: the last checkpoint is of step 15, the records go on to step 15 too
    // but a half-written line follows.
    let path = folder.path().join("killed");
    let mut task = Points { spoil_at: Some(19), ..Points::new() };
    train(&mut task, &config, &path, RunMode::New).unwrap_err();
    let metrics_path = path.join("metrics.jsonl");
    let mut text = std::fs::read_to_string(&metrics_path).unwrap();
    text.push_str("{\"kind\":\"train\",\"epoch\":2,\"st");
    std::fs::write(&metrics_path, text).unwrap();
    train(&mut Points::new(), &config, &path, RunMode::Resume).unwrap();
    assert!(products(&path) == products(&straight));
}

#[test]
fn a_damaged_last_checkpoint_falls_back_to_the_one_before() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let straight = folder.path().join("straight");
    train(&mut Points::new(), &config(), &straight, RunMode::New).unwrap();
    let path = folder.path().join("damaged");
    let mut config = config();
    config.checkpoint_every = 5;
    train(&mut stopping_after(21), &config, &path, RunMode::New).unwrap();
    let last = path.join("checkpoints/last.safetensors");
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 10]).unwrap();
    // Killed in the step after its first save: the checkpoint that was whole is still there.
    let previous = path.join("checkpoints/previous.safetensors");
    let whole = std::fs::read(&previous).unwrap();
    let mut killed = Points { spoil_at: Some(2), ..Points::new() };
    train(&mut killed, &TrainConfig { checkpoint_every: 1, ..config.clone() }, &path, RunMode::Resume).unwrap_err();
    assert!(std::fs::read(&previous).unwrap() == whole);
    assert_eq!(Checkpoint::read(&last).unwrap().state().step, 21);
    std::fs::write(&last, &bytes[..bytes.len() - 10]).unwrap();
    config.checkpoint_every = 0;
    train(&mut Points::new(), &config, &path, RunMode::Resume).unwrap();
    let damaged = path.join("checkpoints/damaged.safetensors");
    assert_eq!(std::fs::read(&damaged).unwrap(), &bytes[..bytes.len() - 10]);
    std::fs::remove_file(damaged).unwrap();
    let (got, want) = (products(&path), products(&straight));
    assert_eq!(got.1, want.1);
    assert!(got.0 == want.0);

    for file in ["last", "previous"] {
        std::fs::write(path.join(format!("checkpoints/{file}.safetensors")), "junk").unwrap();
    }
    let error = train(&mut Points::new(), &config, &path, RunMode::Resume).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("last.safetensors") && text.contains("previous.safetensors"), "{text}");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run_before_the_next_is_due() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut config = config();
    config.checkpoint_every = 5;
    train(&mut stopping_after(3), &config, &path, RunMode::New).unwrap();
    // Where the file is written before it gets its name, there is no room for one.
    std::fs::create_dir(path.join("checkpoints/.last.safetensors.tmp")).unwrap();
    // The save is at step 5, the second of this process, and the next at step 10.
    let mut task = Points { slow_after: Some(2), ..Points::new() };
    let error = train(&mut task, &config, &path, RunMode::Resume).unwrap_err().to_string();
    assert!(error.contains("checkpoints/last.safetensors"), "{error}");
    assert!(task.steps < 7, "it took {} further steps", task.steps);
}

#[test]
fn a_non_finite_loss_stops_the_run_and_keeps_the_last_good_checkpoint() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let good = folder.path().join("good");
    let mut config = config();
    config.checkpoint_every = 4;
    train(&mut stopping_after(16), &config, &good, RunMode::New).unwrap();
    let mut task = Points { spoil_at: Some(18), ..Points::new() };
    let error = train(&mut task, &config, &path, RunMode::New).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let text = error.to_string();
    let last = path.join("checkpoints/last.safetensors");
    for part in ["loss became NaN", "step 18", "epoch 2", &last.display().to_string()] {
        assert!(text.contains(part), "{text}");
    }
    let want = std::fs::read(good.join("checkpoints/last.safetensors")).unwrap();
    assert!(std::fs::read(&last).unwrap() == want, "the checkpoint is that of step 16");
}

#[test]
fn a_run_that_fails_on_its_first_step_leaves_nothing() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut task = Points { spoil_at: Some(1), ..Points::new() };
    let text = train(&mut task, &config(), &path, RunMode::New).unwrap_err().to_string();
    assert!(text.contains("step 1 ") && text.contains("no checkpoint had been written"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn patience_counts_from_the_first_epoch_of_the_chosen_loss() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut config = config();
    config.schedule.epochs = 9;
    config.defer_epochs = 3;
    config.patience = 2;
    // Best of all in epoch 1, but with the base loss; epoch 5 is the best of the chosen one.
    let values = vec![0.1, 0.2, 0.3, 0.9, 0.8, 0.85, 0.8, 0.7, 0.6];
    let mut task = Points { validations: Some(values), ..Points::new() };
    let Outcome::Finished(summary) = train(&mut task, &config, &path, RunMode::New).unwrap() else {
        panic!("it was not interrupted");
    };
    assert!(summary.stopped_early);
    assert_eq!(summary.epochs, 7);
    let best = summary.best.unwrap();
    assert_eq!((best.metric.as_str(), best.epoch, best.value), ("loss", 5, 0.8));
    // Resuming a run that has ended changes nothing.
    let before = products(&path);
    let again = train(&mut Points::new(), &config, &path, RunMode::Resume).unwrap();
    assert!(matches!(again, Outcome::Finished(summary) if summary.epochs == 7));
    assert!(products(&path) == before);
}

#[test]
fn a_monitor_that_validation_does_not_report_is_named() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut task = Points { monitor: "f1", ..Points::new() };
    let error = train(&mut task, &config(), &folder.path().join("run"), RunMode::New).unwrap_err();
    assert!(error.to_string().ends_with("`f1`, which selects the best checkpoint; it reported: accuracy, loss"));
}

#[test]
fn a_wrong_task_is_stopped_with_the_place_and_leaves_nothing() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for (wrong, parts) in [
        (Wrong::NoBatches, ["epoch 1 has no batches", "no usable example"]),
        (Wrong::NoUnits, ["epoch 1, batch 1:", "sums over 0 examples"]),
        (Wrong::NoGraph, ["epoch 1, batch 1:", "not a scalar with a graph"]),
        (Wrong::NotAScalar, ["epoch 1, batch 1:", "not a scalar with a graph"]),
        (Wrong::Gradient, ["gradient norm became NaN at step 1 (epoch 1)", "no checkpoint had been written"]),
    ] {
        let mut task = Points { wrong: Some(wrong), ..Points::new() };
        let text = train(&mut task, &config(), &folder.path().join("run"), RunMode::New).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn contradicting_settings_are_refused_before_anything_happens() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.defer_epochs = 3;
    let error = train(&mut Points::new(), &config, &folder.path().join("run"), RunMode::New).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_scaled_loss_takes_the_same_steps() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (plain, scaled) = (folder.path().join("plain"), folder.path().join("scaled"));
    train(&mut Points::new(), &config(), &plain, RunMode::New).unwrap();
    train(&mut Points::new(), &TrainConfig { scale_loss: true, ..config() }, &scaled, RunMode::New).unwrap();
    // A power of two changes no digit.
    assert_eq!(metrics(&plain), metrics(&scaled));
}

#[test]
fn gradients_that_overflow_are_passed_over_and_scaled_less() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut task = Points { steep_at: Some(7), ..Points::new() };
    let config = TrainConfig { scale_loss: true, log_every: 1, ..config() };
    train(&mut task, &config, &path, RunMode::New).unwrap();
    let checkpoint = Checkpoint::read(&path.join("checkpoints/last.safetensors")).unwrap();
    assert_eq!((checkpoint.state().step, checkpoint.state().loss_scale.factor()), (36, 32_768.0));
    let norms: Vec<bool> = metrics(&path)
        .iter()
        .filter(|record| record["kind"] == "train")
        .map(|record| record["gradient_norm"].is_null())
        .collect();
    assert_eq!(norms.iter().filter(|null| **null).count(), 1);
    assert!(norms[6]);
}

#[test]
fn an_averaged_run_is_resumed_to_the_same_bytes_and_ends_with_the_average() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let config = TrainConfig { average: Some(0.9), ..config() };
    let mut task = Points::new();
    train(&mut task, &config, &whole, RunMode::New).unwrap();
    let last = whole.join("checkpoints/last.safetensors");
    let averaged = Points::new();
    checkpoint::load_weights(&last, &averaged.store).unwrap();
    assert!(task.first.ws.equal(&averaged.first.ws), "the task ends with the average, which is what is loaded");
    train(&mut stopping_after(17), &config, &parts, RunMode::New).unwrap();
    train(&mut Points::new(), &config, &parts, RunMode::Resume).unwrap();
    assert_eq!(products(&whole), products(&parts));
}
