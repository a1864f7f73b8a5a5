//! Ctrl-C through a real signal: this test program starts itself as the process that trains.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use imbalance_train::checkpoint::Checkpoint;
use imbalance_train::interrupt::EXIT_INTERRUPTED;
use imbalance_train::optimiser::{LayerRates, Prefixes, Rule, SgdConfig};
use imbalance_train::run_folder::RunMode;
use imbalance_train::schedule::{Decay, Schedule, WarmUp};
use imbalance_train::{
    BatchLoss, Goal, Group, Interrupt, LossPhase, Manifest, Outcome, RunFolder, RunRequest, Step, Task, TrainConfig,
    TrainError, fit,
};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// A step takes this long, so that a signal always falls into one.
const STEP: Duration = Duration::from_millis(50);

struct Slow {
    store: VarStore,
    weight: Tensor,
    hang_when: Option<Interrupt>,
}

impl Task for Slow {
    fn variables(&self) -> &VarStore {
        &self.store
    }

    fn batches(&self, _epoch: usize) -> Result<Vec<Vec<usize>>, TrainError> {
        Ok(vec![vec![0]; 1000])
    }

    fn forward(&mut self, _batch: &[usize], _at: Step) -> Result<Option<BatchLoss>, TrainError> {
        std::thread::sleep(STEP);
        while self.hang_when.as_ref().is_some_and(Interrupt::requested) {
            std::thread::sleep(STEP);
        }
        Ok(Some(BatchLoss { sum: self.weight.square().sum(Kind::Float), units: 1.0 }))
    }

    fn validate(&mut self, _phase: LossPhase, _: &Group) -> Result<BTreeMap<String, f64>, TrainError> {
        Ok(BTreeMap::from([("loss".to_string(), 0.0)]))
    }

    fn monitor(&self) -> (&str, Goal) {
        ("loss", Goal::Minimise)
    }
}

#[test]
#[ignore = "the process that the other tests start"]
fn train_until_interrupted() {
    let Some(folder) = std::env::var_os("SIGNALS_RUN") else { return };
    let interrupt = Interrupt::install().unwrap();
    let store = VarStore::new(Device::Cpu);
    let weight = store.root().ones("weight", &[1]);
    let hang_when = std::env::var_os("SIGNALS_HANG").map(|_| interrupt.clone());
    let mut task = Slow { store, weight, hang_when };
    let config = TrainConfig {
        schedule: Schedule {
            lr: 1e-3,
            start: 0.0,
            min_lr: 0.0,
            warm_up: WarmUp::None,
            decay: Decay::Constant,
            epochs: 1,
        },
        rule: Rule::Sgd(SgdConfig { momentum: 0.0, weight_decay: 0.0, nesterov: false }),
        layer_rates: LayerRates::default(),
        frozen: Prefixes::default(),
        average: None,
        scale_loss: false,
        accumulate: 1,
        clip_norm: None,
        defer_epochs: 0,
        patience: 0,
        seed: 1,
        checkpoint_every: 0,
        log_every: 1,
        quiet: false,
    };
    let mut run = RunFolder::open(&RunRequest {
        folder: Some(folder.into()),
        root: "runs".into(),
        name: "slow".into(),
        mode: RunMode::New,
        config: String::new(),
        manifest: Manifest::collect(1),
    })
    .unwrap();
    let outcome = fit(&mut task, &config, Some(&mut run), &interrupt, &Group::alone()).unwrap();
    let code = if matches!(outcome, Outcome::Interrupted(_)) { EXIT_INTERRUPTED } else { 0 };
    drop(run);
    std::process::exit(code.into());
}

/// Starts the training process, with SIGINT and SIGHUP ignored or not, and returns once it has written its first record.
fn start(run: &Path, hang: bool, ignoring: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "train_until_interrupted", "--nocapture"]);
    command.env("SIGNALS_RUN", run).stdout(Stdio::null()).stderr(Stdio::piped());
    if hang {
        command.env("SIGNALS_HANG", "1");
    }
    // Not as these tests were started themselves.
    let handler = if ignoring { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: the closure makes two system calls between fork and exec and touches no memory.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGINT, handler);
            libc::signal(libc::SIGHUP, handler);
            Ok(())
        });
    }
    let child = command.spawn().unwrap();
    wait_for("the first record", || std::fs::metadata(run.join("metrics.jsonl")).is_ok_and(|m| m.len() > 0));
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stderr(child: &mut Child) -> String {
    std::io::read_to_string(child.stderr.take().unwrap()).unwrap()
}

#[test]
fn the_first_signal_ends_the_run_with_a_checkpoint_and_exit_130() {
    for name in ["INT", "TERM", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let mut child = start(&run, false, false);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let checkpoint = Checkpoint::read(&run.join("checkpoints/last.safetensors")).unwrap();
        let lines = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count();
        assert_eq!(checkpoint.state().step, lines as u64);
        let said = stderr(&mut child);
        assert!(said.contains("epoch 1/1 step 1/1000: loss 1.0000"), "plain progress lines: {said}");
        assert!(said.contains("once more to quit at once"), "{said}");
    }
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let lines = || std::fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count();
    let mut child = start(&run, false, true);
    for name in ["INT", "HUP"] {
        signal(&child, name);
        let before = lines();
        wait_for("two further steps", || lines() > before + 2 || child.try_wait().unwrap().is_some());
        assert_eq!(child.try_wait().unwrap(), None, "it goes on after {name}");
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(&folder.path().join("run"), true, false);
    signal(&child, "INT");
    // Two signals that arrive together count as one, so the second waits until the first has been answered;
    // the step now hangs for good.
    let mut first = [0u8; 4096];
    let mut seen = String::new();
    let mut pipe = child.stderr.take().unwrap();
    wait_for("the answer to the first signal", || {
        let length = std::io::Read::read(&mut pipe, &mut first).unwrap();
        seen.push_str(&String::from_utf8_lossy(&first[..length]));
        seen.contains("once more to quit at once")
    });
    std::thread::sleep(2 * STEP);
    assert_eq!(child.try_wait().unwrap(), None, "it hangs in its step");
    signal(&child, "INT");
    wait_for("the end", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
