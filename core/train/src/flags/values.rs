//! The values that training flags take.

use serde::Serialize;

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
