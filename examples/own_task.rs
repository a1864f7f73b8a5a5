//! A task of one's own: all that the runtime does (checkpoints, exact resumption, schedules, metrics, several processes)
//! for a model and data that it knows nothing of.
//!
//!     cargo build --release && cargo run --release --example own_task
//!
//! Sines with noise are told from squares, of which there are nine times as many. Ctrl-C stops it; started again, it goes on.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use imbalance_core::host::{Loss, SearchPath};
use imbalance_core::{ClassCounts, Head};
use imbalance_train::device::Shapes;
use imbalance_train::heads::{HeadOptions, softmax_loss_with};
use imbalance_train::order::shuffled_batches;
use imbalance_train::seeding::seed_libtorch;
use imbalance_train::{
    BatchLoss, Compute, Goal, Group, Interrupt, LossPhase, Manifest, Outcome, RunFolder, RunRequest, Step, Stream,
    Task, TrainError, TrainFlags, fit,
};
use tch::nn::{self, Module, VarStore};
use tch::{Kind, Tensor};

/// Tells sines from squares
#[derive(Parser)]
struct Args {
    /// --epochs, --lr, --run, --processes' environment and all other flags of training come with the runtime.
    #[command(flatten)]
    train: TrainFlags,
}

/// Signals of 32 numbers, of two classes.
struct Signals {
    values: Tensor,
    classes: Tensor,
}

impl Signals {
    fn new(of_class: [i64; 2], compute: &Compute) -> Self {
        let count = of_class[0] + of_class[1];
        let (kind, device) = (Kind::Float, compute.device);
        let time = Tensor::linspace(0.0, 12.6, 32, (kind, device)) + Tensor::rand([count, 1], (kind, device)) * 6.3;
        let sines = time.sin();
        let values =
            Tensor::cat(&[sines.narrow(0, 0, of_class[0]).sign(), sines.narrow(0, of_class[0], of_class[1])], 0);
        let classes =
            Tensor::cat(&[0, 1].map(|class| Tensor::full([of_class[class]], class as i64, (Kind::Int64, device))), 0);
        Self { values: values.randn_like() * 0.8 + values, classes }
    }
}

/// What the runtime asks for: variables, batches, a loss for each, and a validation.
struct Telling {
    store: VarStore,
    model: nn::Sequential,
    train: Signals,
    valid: Signals,
    loss: Loss,
    batch_size: usize,
    seed: u64,
}

impl Task for Telling {
    fn variables(&self) -> &VarStore {
        &self.store
    }

    fn batches(&self, epoch: usize) -> Result<Vec<Vec<usize>>, TrainError> {
        // A function of seed and epoch, so that a resumed run goes on with the batches that were left.
        Ok(shuffled_batches(self.train.classes.size()[0] as usize, self.batch_size, self.seed, epoch))
    }

    fn forward(&mut self, batch: &[usize], _: Step) -> Result<Option<BatchLoss>, TrainError> {
        if batch.is_empty() {
            return Ok(None);
        }
        let batch: Vec<i64> = batch.iter().map(|&index| index as i64).collect();
        let batch = Tensor::from_slice(&batch).to_device(self.store.device());
        let logits = self.model.forward(&self.train.values.index_select(0, &batch));
        let classes = self.train.classes.index_select(0, &batch);
        let sum =
            softmax_loss_with(&self.loss, logits, &classes, &HeadOptions::default()).map_err(TrainError::task)?.sum;
        Ok(Some(BatchLoss { sum, units: batch.size()[0] as f64 }))
    }

    fn validate(&mut self, _: LossPhase, _: &Group) -> Result<BTreeMap<String, f64>, TrainError> {
        let right = self.model.forward(&self.valid.values).argmax(-1, false).eq_tensor(&self.valid.classes);
        let of = |class: i64| {
            let own = self.valid.classes.eq(class);
            100.0 * (right.logical_and(&own).sum(Kind::Float) / own.sum(Kind::Float)).double_value(&[])
        };
        let (squares, sines) = (of(0), of(1));
        Ok(BTreeMap::from([
            ("squares".into(), squares),
            ("sines".into(), sines),
            ("accuracy".into(), (squares + sines) / 2.0),
        ]))
    }

    fn monitor(&self) -> (&str, Goal) {
        ("accuracy", Goal::Maximise)
    }

    fn units_name(&self) -> &str {
        "signals"
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut flags = Args::parse().train;
    // A run folder that is there is gone on with.
    flags.run = flags.run.or_else(|| Some("runs/own-task".into()));
    flags.resume |= flags.run.as_ref().is_some_and(|run| RunFolder::resumable(run));
    let compute = Compute::open(&flags, Shapes::Alike)?;

    seed_libtorch(flags.seed, Stream::Weights, 0);
    let (train, valid) = (Signals::new([900, 100], &compute), Signals::new([500, 500], &compute));
    let store = VarStore::new(compute.device);
    let root = store.root();
    let model = nn::seq()
        .add(nn::linear(&root / "hidden", 32, 64, nn::LinearConfig::default()))
        .add_fn(Tensor::relu)
        .add(nn::linear(&root / "logits", 64, 2, nn::LinearConfig::default()));
    let plugins = SearchPath::of(vec![built_plugins()?]);
    let plugin = Arc::new(plugins.open("balanced-softmax")?);
    let loss = Loss::new(plugin, Head::Softmax, &[], &ClassCounts::new(vec![900, 100])?)?;
    let mut task = Telling { store, model, train, valid, loss, batch_size: flags.batch_size, seed: flags.seed };

    let request = RunRequest {
        folder: flags.run.clone(),
        root: "runs".into(),
        name: "own-task".into(),
        mode: flags.run_mode(),
        config: toml::to_string(&flags)?,
        manifest: Manifest::collect(flags.seed),
    };
    let mut run = compute.open_run(&flags, &request)?;
    match fit(&mut task, &flags.resolve()?, run.as_mut(), &Interrupt::install()?, &compute.group)? {
        Outcome::Finished(summary) => compute.say(&flags, &format!("{} steps; best {:?}", summary.steps, summary.best)),
        Outcome::Interrupted(_) => compute.say(&flags, "stopped; the same command goes on"),
    }
    Ok(())
}

/// The folder that `cargo build` puts plugins into, two above this program.
fn built_plugins() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).ok_or("the program is in no folder")?.to_owned())
}
