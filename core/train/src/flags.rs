//! The command-line flags of training, the same for every task.

use std::path::PathBuf;

use serde::Serialize;

use crate::config::TrainConfig;
use crate::device::DeviceChoice;
use crate::error::TrainError;
use crate::heads::LossPath;
use crate::optimiser::{AdamWConfig, LayerRates, Prefixes, Rule, SgdConfig};
use crate::plateau::PlateauConfig;
use crate::precision::Precision;
use crate::run_folder::RunMode;
use crate::sampler::Sampler;
use crate::sampling::SamplingPlan;
use crate::schedule::{Decay, Schedule, WarmUp};

/// `--schedule`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The same rate throughout
    Constant,
    /// Times --step-factor after each of --step-epochs
    Step,
    /// Half a cosine down to --min-lr at the end of the run
    Cosine,
    /// Times --plateau-factor when validation stops improving
    Plateau,
}

/// `--optimiser`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Stochastic gradient descent with momentum
    Sgd,
    /// Adam with decoupled weight decay
    #[value(name = "adamw")]
    AdamW,
}

/// β₁ and β₂ of AdamW.
// A type of its own, as the lists below.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct Betas(pub [f64; 2]);

impl std::str::FromStr for Betas {
    type Err = String;

    fn from_str(text: &str) -> Result<Betas, String> {
        let beta = |part: &str| part.trim().parse().ok().filter(|beta: &f64| (0.0..1.0).contains(beta));
        text.split_once(',')
            .and_then(|(first, second)| Some(Betas([beta(first)?, beta(second)?])))
            .ok_or_else(|| "must be two numbers from 0 to below 1, as in 0.9,0.999".into())
    }
}

impl From<Betas> for String {
    fn from(Betas([first, second]): Betas) -> String {
        format!("{first},{second}")
    }
}

/// Epochs as a comma-separated list.
// A type of its own and not a `Vec`, which clap would append to when a flag overrides a recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EpochList(pub Vec<usize>);

impl std::str::FromStr for EpochList {
    type Err = String;

    fn from_str(text: &str) -> Result<EpochList, String> {
        let epoch = |part: &str| match part.trim().parse() {
            Ok(epoch) if epoch > 0 => Ok(epoch),
            _ => Err(format!("`{part}` is not an epoch (a whole number from 1); write 160,180, say")),
        };
        text.split(',').map(epoch).collect::<Result<_, _>>().map(EpochList)
    }
}

/// Numbers of steps, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StepList(pub Vec<u64>);

impl std::str::FromStr for StepList {
    type Err = String;

    fn from_str(text: &str) -> Result<StepList, String> {
        let steps = |part: &str| match part.trim().parse() {
            Ok(steps) if steps > 0 => Ok(steps),
            _ => Err(format!("`{part}` is not a number of steps (a whole number from 1); write 60000,80000, say")),
        };
        text.split(',').map(steps).collect::<Result<_, _>>().map(StepList)
    }
}

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

    /// Decay of a moving average of the weights, which then is what is evaluated; 0 for none
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

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number of at least 1".into()),
        Ok(number) => Ok(number),
    }
}

fn number(text: &str, right: impl Fn(f64) -> bool, must: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|&value| value.is_finite() && right(value))
        .ok_or_else(|| format!("must be a number {must}"))
}

fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0, "above 0")
}

fn zero_or_more(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0, "of 0 or more")
}

fn zero_to_below_one(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..1.0).contains(&value), "from 0 to below 1")
}

fn between_zero_and_one(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value < 1.0, "between 0 and 1, both excluded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    #[command(args_override_self = true)]
    struct Cli {
        #[command(flatten)]
        train: TrainFlags,
    }

    fn parse(arguments: &str) -> Result<TrainFlags, String> {
        Cli::try_parse_from(std::iter::once("toolkit").chain(arguments.split_whitespace()))
            .map(|cli| cli.train)
            .map_err(|error| error.to_string())
    }

    fn resolve(arguments: &str) -> Result<TrainConfig, String> {
        parse(arguments)?.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_plain_sgd() {
        let config = resolve("").unwrap();
        assert_eq!(config.schedule.decay, Decay::Constant);
        assert_eq!(config.clip_norm, None);
        assert_eq!(config.phase(1), crate::task::LossPhase::Main);
    }

    #[test]
    fn the_paper_dialogue_settings() {
        let config = resolve(
            "--epochs 30 --lr 3 --clip-norm 0.1 --schedule plateau --plateau-patience 3 --patience 5 --defer-epochs 5",
        )
        .unwrap();
        assert_eq!(config.clip_norm, Some(0.1));
        assert_eq!(config.schedule.decay, Decay::Plateau(PlateauConfig { patience: 3, factor: 0.5 }));
        assert_eq!(config.phase(5), crate::task::LossPhase::Base);
        assert_eq!(config.phase(6), crate::task::LossPhase::Main);
    }

    #[test]
    fn the_deferred_sampler_is_the_same_unless_given() {
        let plan = |arguments| parse(arguments).unwrap().sampling();
        assert_eq!((plan("").sampler, plan("").deferred), (Sampler::Uniform, Sampler::Uniform));
        assert_eq!(plan("--sampler reversed").deferred, Sampler::Reversed);
        let rs = plan("--epochs 200 --defer-epochs 160 --defer-sampler inverse-effective --sampler-beta 0.999");
        let expected = (Sampler::Uniform, Sampler::InverseEffective, 0.999, 160, 200);
        assert_eq!((rs.sampler, rs.deferred, rs.beta, rs.defer_epochs, rs.epochs), expected);
    }

    #[test]
    fn a_rate_for_one_batch_becomes_that_of_another() {
        // 0.1 for 256; 512·4 examples a step are 8 times as many, to which the warm-up rises from 0.1.
        let config = resolve("--lr 0.1 --lr-batch 256 --batch-size 512 --accumulate 4 --warmup-epochs 2").unwrap();
        assert_eq!((config.schedule.lr, config.schedule.start), (0.8, 0.1));
        let smaller = resolve("--lr 0.1 --lr-batch 256 --batch-size 64 --warmup-epochs 2").unwrap();
        assert_eq!((smaller.schedule.lr, smaller.schedule.start), (0.025, 0.0));
        assert_eq!(resolve("--lr 0.1 --batch-size 512").unwrap().schedule.lr, 0.1);
    }

    #[test]
    fn adamw_with_its_settings() {
        let config =
            resolve("--optimizer adamw --adam-betas 0.8,0.95 --adam-epsilon 1e-6 --weight-decay 0.05").unwrap();
        let want = AdamWConfig { betas: [0.8, 0.95], epsilon: 1e-6, weight_decay: 0.05 };
        assert_eq!(config.rule, Rule::AdamW(want));
    }

    #[test]
    fn a_later_list_replaces_an_earlier_one() {
        let flags = parse("--step-epochs 160,180 --step-epochs 3,4").unwrap();
        assert_eq!(flags.step_epochs, Some(EpochList(vec![3, 4])));
    }

    #[test]
    fn each_bad_value_is_refused_with_what_would_be_right() {
        for (arguments, flag, must) in [
            ("--epochs 0", "--epochs", "at least 1"),
            ("--warmup-steps -1", "--warmup-steps", "invalid"),
            ("--batch-size -1", "--batch-size", "at least 1"),
            ("--lr 0", "--lr", "above 0"),
            ("--lr nan", "--lr", "above 0"),
            ("--lr inf", "--lr", "above 0"),
            ("--momentum 1", "--momentum", "from 0 to below 1"),
            ("--weight-decay=-1e-4", "--weight-decay", "0 or more"),
            ("--clip-norm x", "--clip-norm", "0 or more"),
            ("--step-epochs 0", "--step-epochs", "from 1"),
            ("--step-epochs 5,,6", "--step-epochs", "from 1"),
            ("--step-factor 1", "--step-factor", "between 0 and 1"),
            ("--plateau-factor 0", "--plateau-factor", "between 0 and 1"),
            ("--threads 0", "--threads", "at least 1"),
            ("--adam-betas 0.9", "--adam-betas", "0.9,0.999"),
            ("--adam-betas 0.9,1", "--adam-betas", "from 0 to below 1"),
            ("--optimiser adam", "--optimiser", "sgd, adamw"),
            ("--ema-decay 1", "--ema-decay", "from 0 to below 1"),
            ("--layer-lr encoder", "--layer-lr", "as in encoder=0.1"),
            ("--freeze a,,b", "--freeze", "encoder,embedding"),
            ("--device gpu", "--device", "cuda:0"),
            ("--precision half", "--precision", "bfloat16, float16"),
            ("--processes 0", "--processes", "at least 1"),
            ("--seed 9223372036854775808", "--seed", "9223372036854775807"),
            ("--schedule linear", "--schedule", "constant, step, cosine, plateau"),
            (
                "--sampler balanced",
                "--sampler",
                "class-balanced, inverse-effective, square-root, progressive, reversed",
            ),
            ("--defer-sampler x", "--defer-sampler", "uniform"),
            ("--sampler-beta 1", "--sampler-beta", "from 0 to below 1"),
            ("--resume", "--run", "required"),
            ("--run x --resume --overwrite", "--overwrite", "cannot be used with"),
        ] {
            let error = parse(arguments).expect_err(arguments);
            assert!(error.contains(flag) && error.contains(must), "{arguments}: {error}");
        }
    }

    #[test]
    fn contradicting_flags_are_refused_by_name() {
        for (arguments, parts) in [
            ("--epochs 5 --defer-epochs 5", ["--defer-epochs 5", "--epochs 5"]),
            ("--lr 0.1 --min-lr 0.2", ["--min-lr 0.2", "--lr 0.1"]),
            ("--warmup-epochs 2 --warmup-steps 10", ["--warmup-epochs", "--warmup-steps"]),
            ("--epochs 2 --warmup-epochs 3", ["--warmup-epochs 3", "--epochs 2"]),
            ("--schedule step", ["--schedule step", "--step-epochs 160,180"]),
            ("--schedule step --step-epochs 4,3", ["--step-epochs", "ascend"]),
            ("--nesterov --momentum 0", ["--nesterov", "--momentum"]),
            ("--defer-sampler class-balanced", ["--defer-sampler class-balanced", "--defer-epochs, which is 0"]),
        ] {
            let error = resolve(arguments).expect_err(arguments);
            assert!(parts.iter().all(|part| error.contains(part)), "{arguments}: {error}");
        }
    }

    #[test]
    fn serialises_to_the_keys_of_a_recipe() {
        let flags = parse("--run r --step-epochs 160,180 --schedule step --threads 2").unwrap();
        let text = toml::to_string(&flags).unwrap();
        for line in ["batch-size = 64", "step-epochs = [160, 180]", "schedule = \"step\"", "threads = 2"] {
            assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("run") && !text.contains("resume") && !text.contains("defer-sampler"));
        let sampled = toml::to_string(&parse("--sampler square-root --defer-sampler progressive").unwrap()).unwrap();
        for line in ["sampler = \"square-root\"", "defer-sampler = \"progressive\"", "sampler-beta = 0.9999"] {
            assert!(sampled.lines().any(|l| l == line), "{line} is not in:\n{sampled}");
        }
        toml::to_string(&parse("").unwrap()).unwrap();
    }
}
