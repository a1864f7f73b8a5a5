//! How a model is trained beyond one pass with one loss (`--method`).

use imbalance_train::flags::numbers::{above_zero, zero_or_more, zero_to_one};
use imbalance_train::{Losses, Sampler, TrainFlags};
use serde::{Deserialize, Serialize};

use crate::VisionError;
use crate::mixing::Mixing;

/// `--method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// One stage; with --defer-epochs, loss and sampler change in its course
    Plain,
    /// The same, where another loss or sampler after --defer-epochs is required (DRW, DRS)
    Deferred,
    /// A second stage trains a fresh classifier on frozen features, with --stage-sampler (cRT)
    Crt,
    /// A second stage learns a factor for each class's logit, with --stage-sampler (LWS)
    Lws,
    /// Class vectors are divided by their lengths to the power of --norm-tau afterwards
    TauNorm,
    /// The class whose mean feature is nearest, by cosine
    Ncm,
    /// Two branches, of uniformly and of reversely sampled images, mixed (BBN)
    Bbn,
}

impl Method {
    /// Whether a second stage is trained.
    pub fn has_second_stage(self) -> bool {
        matches!(self, Self::Crt | Self::Lws)
    }
}

/// The method with its settings.
#[derive(Clone, Copy, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Method")]
#[serde(rename_all = "kebab-case")]
pub struct MethodFlags {
    /// How the model is trained
    #[arg(long, value_enum, default_value_t = Method::Plain)]
    pub method: Method,

    /// Epochs of the second stage (crt, lws) [default: 10, and 5 for lws]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_epochs: Option<u64>,

    /// Learning rate that the second stage starts from, falling to 0 along a cosine [default: --lr]
    #[arg(long, allow_negative_numbers = true, value_name = "RATE", value_parser = above_zero)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_lr: Option<f64>,

    /// The sampler of the second stage
    #[arg(long, value_enum, default_value_t = Sampler::ClassBalanced)]
    pub stage_sampler: Sampler,

    /// τ of tau-norm, from 0 (nothing changes) to 1 (class vectors of one length) [default: the best on held-out images, or 0.7]
    #[arg(long, allow_negative_numbers = true, value_name = "TAU", value_parser = zero_to_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_tau: Option<f64>,

    /// Adds −τ log π_c to the logits when predicting, π_c the share of class c in training (Menon et al., 2021)
    #[arg(long, allow_negative_numbers = true, value_name = "TAU", default_value_t = 0.0, value_parser = zero_or_more)]
    pub adjust_logits: f64,

    /// α of mixup: pairs of images are blended by a share from Beta(α, α) (Zhang et al., 2018); 0 for none
    #[arg(long, allow_negative_numbers = true, value_name = "ALPHA", default_value_t = 0.0, value_parser = zero_or_more)]
    pub mixup: f64,

    /// α of cutmix: a box of another image in the place of each one's pixels (Yun et al., 2019); 0 for none. With --mixup, a
    /// step takes one of the two
    #[arg(long, allow_negative_numbers = true, value_name = "ALPHA", default_value_t = 0.0, value_parser = zero_or_more)]
    pub cutmix: f64,
}

impl MethodFlags {
    /// Epochs of the second stage: as given, or 10 for cRT, and 5 for LWS, which learns but a number a class.
    pub fn stage_epochs(&self) -> u64 {
        let of_method = if self.method == Method::Lws { 5 } else { 10 };
        self.stage_epochs.unwrap_or(of_method)
    }

    /// Puts in what the method decides where no flag does, so that a run's settings name it.
    pub fn settle(&mut self) {
        self.stage_epochs = Some(self.stage_epochs());
    }

    /// How images are mixed, if they are; `seed` is that of this process.
    pub fn mixing(&self, seed: u64) -> Option<Mixing> {
        let Self { mixup, cutmix, .. } = *self;
        (mixup > 0.0 || cutmix > 0.0).then_some(Mixing { mixup, cutmix, seed })
    }

    /// Flags that belong to another method, or are missing for this one.
    ///
    /// # Errors
    /// [`VisionError::Usage`], naming the flag.
    pub fn check(&self, train: &TrainFlags, losses: &Losses) -> Result<(), VisionError> {
        let wrong = |message: String| Err(VisionError::Usage(message));
        if let (Some(tau), true) = (self.norm_tau, self.method != Method::TauNorm) {
            return wrong(format!("--norm-tau {tau} is for --method tau-norm"));
        }
        if let (Some(rate), false) = (self.stage_lr, self.method.has_second_stage()) {
            return wrong(format!("--stage-lr {rate} is for the second stage of --method crt and lws"));
        }
        if let (Method::Bbn, true) = (self.method, self.mixup > 0.0 || self.cutmix > 0.0) {
            return wrong(
                "--method bbn mixes the images of its branches itself; leave out --mixup and --cutmix".into(),
            );
        }
        match self.method {
            Method::Deferred => {
                let same_loss = losses.base.as_ref().is_none_or(|base| {
                    base.plugin.id() == losses.main.plugin.id() && base.params == losses.main.params
                });
                let same_sampler = train.defer_sampler.is_none_or(|sampler| sampler == train.sampler);
                if train.defer_epochs == 0 {
                    return wrong("--method deferred needs --defer-epochs, after which loss or sampler change".into());
                }
                if same_loss && same_sampler {
                    return wrong(format!(
                        "--method deferred: after --defer-epochs {} neither the loss nor the sampler changes; give \
                         another --base-loss or --loss (reweighting), or --defer-sampler (resampling)",
                        train.defer_epochs
                    ));
                }
                Ok(())
            }
            Method::Bbn if train.sampler != Sampler::Uniform || train.defer_sampler.is_some() => wrong(
                "--method bbn samples uniformly for one branch and reversely for the other; leave out --sampler and \
                 --defer-sampler"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        flags: MethodFlags,
    }

    #[test]
    fn the_second_stage_is_as_long_as_its_method_needs() {
        let settled = |args: &[&str]| {
            let mut flags = Command::parse_from([&["x", "--method"], args].concat()).flags;
            flags.settle();
            serde_json::to_value(flags).unwrap()["stage-epochs"].clone()
        };
        assert_eq!(settled(&["crt"]), 10);
        assert_eq!(settled(&["lws"]), 5);
        assert_eq!(settled(&["lws", "--stage-epochs", "3"]), 3);
    }
}
