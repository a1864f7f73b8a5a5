//! The command-line flags of training, the same for every task.
pub mod numbers;
mod values;

use std::path::PathBuf;

use serde::Serialize;

use crate::config::TrainConfig;
use crate::device::DeviceChoice;
use crate::error::TrainError;
use crate::group::Backend;
use crate::heads::LossPath;
use crate::optimiser::{AdamWConfig, LayerRates, Prefixes, Rule, SgdConfig};
use crate::plateau::PlateauConfig;
use crate::precision::Precision;
use crate::run_folder::RunMode;
use crate::sampler::Sampler;
use crate::sampling::SamplingPlan;
use crate::schedule::{Decay, Schedule, WarmUp};

use numbers::{above_zero, at_least_one, between_zero_and_one, zero_or_more, zero_to_below_one};
pub use values::{Betas, EpochList, OptimiserKind, ScheduleKind, StepList};

// Negative numbers are let through to the parsers, whose messages say what would be right.
/// Flags of the training loop, for `#[command(flatten)]`. Serialises to the keys of a recipe, which are the flags'
/// names; `run`, `resume` and `overwrite` concern one invocation and are left out.
#[derive(clap::Args, Clone, Debug, PartialEq, Serialize)]
#[command(next_help_heading = "Training")]
#[serde(rename_all = "kebab-case")]
pub struct TrainFlags {
    /// Passes over the training data
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub epochs: usize,

    /// Examples in a batch
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub batch_size: usize,

    /// Batches that make one step: the gradient is that of one batch so many times as large, in the memory of one
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub accumulate: usize,

    /// Base learning rate
    #[arg(long, allow_negative_numbers = true, value_name = "RATE", default_value_t = 0.1, value_parser = above_zero)]
    pub lr: f64,

    /// Batch that --lr is meant for: a step of more examples takes as many times the rate, to which a warm-up then rises
    /// from --lr; 0 to take --lr as it is
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 0)]
    pub lr_batch: usize,

    /// Factors of the rate by the start of variables' names, as in encoder=0.1,head=10
    #[arg(long, value_name = "START=F,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_lr: Option<LayerRates>,

    /// Variables to leave as they are, by the start of their names, as in encoder,embedding
    #[arg(long, value_name = "START,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Prefixes>,

    /// How gradients move weights
    #[arg(long, alias = "optimizer", value_enum, default_value_t = OptimiserKind::Sgd)]
    pub optimiser: OptimiserKind,

    /// β₁ and β₂ of AdamW
    #[arg(long, value_name = "B,B", default_value = "0.9,0.999")]
    pub adam_betas: Betas,

    /// ε of AdamW
    #[arg(long, allow_negative_numbers = true, value_name = "E", default_value_t = 1e-8, value_parser = above_zero)]
    pub adam_epsilon: f64,

    /// Decay of a moving average of the weights, which then is what is evaluated; 0 for none. After n steps it is at most
    /// (1 + n) / (10 + n), so that the average forgets the first weights soon
    #[arg(long, allow_negative_numbers = true, value_name = "D", default_value_t = 0.0, value_parser = zero_to_below_one)]
    pub ema_decay: f64,

    /// Momentum of SGD, from 0 to below 1
    #[arg(long, allow_negative_numbers = true, value_name = "M", default_value_t = 0.9, value_parser = zero_to_below_one)]
    pub momentum: f64,

    /// Use Nesterov's form of momentum
    #[arg(long)]
    pub nesterov: bool,

    /// Weight decay, added to the gradient (L2) by SGD, apart from it by AdamW
    #[arg(long, allow_negative_numbers = true, value_name = "L", default_value_t = 0.0, value_parser = zero_or_more)]
    pub weight_decay: f64,

    /// Largest gradient norm; 0 for no limit
    #[arg(long, allow_negative_numbers = true, value_name = "NORM", default_value_t = 0.0, value_parser = zero_or_more)]
    pub clip_norm: f64,

    /// How the learning rate changes
    #[arg(long, value_enum, default_value_t = ScheduleKind::Constant)]
    pub schedule: ScheduleKind,

    /// Epochs over which the rate first rises linearly; 0 for none
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 0)]
    pub warmup_epochs: usize,

    /// Steps over which the rate first rises linearly, instead of epochs; 0 for none
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 0)]
    pub warmup_steps: u64,

    /// Epochs after which --schedule step lowers the rate, as in 160,180
    #[arg(long, value_name = "N,N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_epochs: Option<EpochList>,

    /// Steps after which --schedule step lowers the rate, instead of --step-epochs, as in 60000,80000
    #[arg(long, value_name = "N,N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_after: Option<StepList>,

    /// What --schedule step multiplies the rate by
    #[arg(long, allow_negative_numbers = true, value_name = "F", default_value_t = 0.1, value_parser = between_zero_and_one)]
    pub step_factor: f64,

    /// Epochs without improvement that --schedule plateau tolerates
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 3)]
    pub plateau_patience: usize,

    /// What --schedule plateau multiplies the rate by
    #[arg(long, allow_negative_numbers = true, value_name = "F", default_value_t = 0.5, value_parser = between_zero_and_one)]
    pub plateau_factor: f64,

    /// Lowest rate of --schedule cosine and plateau
    #[arg(long, allow_negative_numbers = true, value_name = "RATE", default_value_t = 0.0, value_parser = zero_or_more)]
    pub min_lr: f64,

    /// Epochs that train with --base-loss and --sampler before --loss and --defer-sampler take over
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 0)]
    pub defer_epochs: usize,

    /// How losses are computed: by fused kernels (CPU), or by tensor operations (any device)
    #[arg(long, value_enum, default_value_t)]
    pub loss_path: LossPath,

    /// How often an epoch draws which examples; all but uniform draw with replacement
    #[arg(long, value_enum, default_value_t)]
    pub sampler: Sampler,

    /// The sampler after --defer-epochs [default: that of --sampler]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defer_sampler: Option<Sampler>,

    /// β of the effective numbers that the sampler inverse-effective draws by, from 0 to below 1
    #[arg(long, allow_negative_numbers = true, value_name = "BETA", default_value_t = 0.9999, value_parser = zero_to_below_one)]
    pub sampler_beta: f64,

    /// Stop after this many epochs without a better validation value; 0 for never
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 0)]
    pub patience: usize,

    /// Seed of weights, data order and dropout
    // TOML's integers, and so a recipe's, end at i64::MAX.
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub seed: u64,

    /// Where to compute: auto (a GPU if there is one), cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t, help_heading = "Machine")]
    pub device: DeviceChoice,

    /// Precision of convolutions and products; weights, loss and optimiser are float32
    #[arg(long, value_enum, default_value_t, help_heading = "Machine")]
    pub precision: Precision,

    /// Let GPUs round the factors of float32 products to TF32
    #[arg(long, help_heading = "Machine")]
    pub tf32: bool,

    /// Use only algorithms that give the same bytes every time; on the CPU all do
    #[arg(long, help_heading = "Machine")]
    pub deterministic: bool,

    /// CPU threads of each process [default: all cores, shared by the processes]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = at_least_one, help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,

    /// Processes on this machine that train together, each with a part of every batch; torchrun, srun or mpirun start those
    /// of several machines
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 1, value_parser = at_least_one, help_heading = "Machine")]
    #[serde(skip)]
    pub processes: usize,

    /// What carries gradients between processes
    #[arg(long, value_enum, default_value_t, help_heading = "Machine")]
    #[serde(skip)]
    pub backend: Backend,

    /// Steps between checkpoints within an epoch; 0 for the end of each epoch only
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 0, help_heading = "Run")]
    pub checkpoint_every: u64,

    /// Steps between records of the training loss; 0 for the end of each epoch only
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 50, help_heading = "Run")]
    pub log_every: u64,

    /// Folder for the run [default: the next free number in runs/]
    #[arg(long, value_name = "FOLDER", help_heading = "Run")]
    #[serde(skip)]
    pub run: Option<PathBuf>,

    /// Go on with the run in --run from its last checkpoint
    #[arg(long, requires = "run", conflicts_with = "overwrite", help_heading = "Run")]
    #[serde(skip)]
    pub resume: bool,

    /// Replace the run in --run
    #[arg(long, requires = "run", help_heading = "Run")]
    #[serde(skip)]
    pub overwrite: bool,

    /// Report no progress
    #[arg(long, help_heading = "Run")]
    #[serde(skip)]
    pub quiet: bool,
}

impl TrainFlags {
    /// The settings of the loop, checked together.
    ///
    /// # Errors
    /// [`TrainError::Settings`], naming the flags that contradict each other.
    pub fn resolve(&self) -> Result<TrainConfig, TrainError> {
        let warm_up = match (self.warmup_epochs, self.warmup_steps) {
            (0, 0) => WarmUp::None,
            (epochs, 0) => WarmUp::Epochs(epochs),
            (0, steps) => WarmUp::Steps(steps),
            _ => {
                return Err(TrainError::Settings(
                    "--warmup-epochs and --warmup-steps are two ways to say one thing; set one to 0".into(),
                ));
            }
        };
        let decay = match self.schedule {
            ScheduleKind::Constant => Decay::Constant,
            ScheduleKind::Step => match &self.step_after {
                Some(StepList(steps)) => Decay::StepAfter { steps: steps.clone(), factor: self.step_factor },
                None => {
                    Decay::Step { epochs: self.step_epochs.clone().unwrap_or_default().0, factor: self.step_factor }
                }
            },
            ScheduleKind::Cosine => Decay::Cosine,
            ScheduleKind::Plateau => {
                Decay::Plateau(PlateauConfig { patience: self.plateau_patience, factor: self.plateau_factor })
            }
        };
        // Goyal et al. 2017, section 2.1: the rate grows with the batch.
        let times = match self.lr_batch {
            0 => 1.0,
            batch => (self.batch_size * self.accumulate) as f64 / batch as f64,
        };
        let start = if times > 1.0 { self.lr } else { 0.0 };
        let lr = self.lr * times;
        let rule = match self.optimiser {
            OptimiserKind::Sgd => Rule::Sgd(SgdConfig {
                momentum: self.momentum,
                weight_decay: self.weight_decay,
                nesterov: self.nesterov,
            }),
            OptimiserKind::AdamW => Rule::AdamW(AdamWConfig {
                betas: self.adam_betas.0,
                epsilon: self.adam_epsilon,
                weight_decay: self.weight_decay,
            }),
        };
        let config = TrainConfig {
            schedule: Schedule { lr, start, min_lr: self.min_lr, warm_up, decay, epochs: self.epochs },
            rule,
            layer_rates: self.layer_lr.clone().unwrap_or_default(),
            frozen: self.freeze.clone().unwrap_or_default(),
            average: (self.ema_decay > 0.0).then_some(self.ema_decay),
            scale_loss: self.precision == Precision::Float16,
            accumulate: self.accumulate,
            clip_norm: (self.clip_norm > 0.0).then_some(self.clip_norm),
            defer_epochs: self.defer_epochs,
            patience: self.patience,
            seed: self.seed,
            checkpoint_every: self.checkpoint_every,
            log_every: self.log_every,
            quiet: self.quiet,
        };
        config.check()?;
        if let (Some(sampler), 0) = (self.defer_sampler, self.defer_epochs) {
            return Err(TrainError::Settings(format!(
                "--defer-sampler {sampler} takes over after --defer-epochs, which is 0; set --defer-epochs, or --sampler for the whole run"
            )));
        }
        Ok(config)
    }

    /// The samplers of the run, for [`crate::sampling::Sampling::new`].
    pub fn sampling(&self) -> SamplingPlan {
        SamplingPlan {
            sampler: self.sampler,
            deferred: self.defer_sampler.unwrap_or(self.sampler),
            beta: self.sampler_beta,
            defer_epochs: self.defer_epochs,
            epochs: self.epochs,
        }
    }

    /// What `--resume` and `--overwrite` ask for.
    pub fn run_mode(&self) -> RunMode {
        match (self.resume, self.overwrite) {
            (true, _) => RunMode::Resume,
            (false, true) => RunMode::Overwrite,
            (false, false) => RunMode::New,
        }
    }
}
