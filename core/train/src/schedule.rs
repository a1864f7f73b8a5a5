//! The learning rate as a function of the position in the run.

use crate::plateau::PlateauConfig;

/// How the rate changes after the warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// It does not.
    Constant,
    /// Multiplied by `factor` once each of these epochs is complete.
    Step {
        /// Completed epochs at which the rate drops, ascending.
        epochs: Vec<usize>,
        /// What it is multiplied by.
        factor: f64,
    },
    /// Multiplied by `factor` once so many steps are done, each.
    StepAfter {
        /// Steps after which the rate drops, ascending.
        steps: Vec<u64>,
        /// What it is multiplied by.
        factor: f64,
    },
    /// Half a cosine from the base rate to the minimum, from the end of the warm-up to the end of the
    /// run, in steps (Loshchilov & Hutter 2017, "SGDR", Eq. 5, one cycle).
    Cosine,
    /// Lowered whenever the monitored metric stops improving, never below the minimum.
    Plateau(PlateauConfig),
}

/// How long the rate rises linearly from near zero to the base rate, step by step (Goyal et al. 2017,
/// "Accurate, large minibatch SGD", section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmUp {
    /// Not at all.
    None,
    /// So many epochs.
    Epochs(usize),
    /// So many steps.
    Steps(u64),
}

/// A step's place in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Steps taken before it.
    pub step: u64,
    /// Its epoch, from 1.
    pub epoch: usize,
    /// Its batch within the epoch, from 0.
    pub batch: usize,
    /// Batches in the epoch.
    pub batches: usize,
}

/// The learning rate schedule of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Base rate.
    pub lr: f64,
    /// Where the warm-up starts.
    pub start: f64,
    /// Where cosine ends and below which a plateau does not go.
    pub min_lr: f64,
    /// Rise at the start.
    pub warm_up: WarmUp,
    /// Fall afterwards.
    pub decay: Decay,
    /// Epochs in the run.
    pub epochs: usize,
}

impl Schedule {
    /// The rate of the step at `at`; `plateau_scale` is [`crate::plateau::Plateau::scale`].
    pub fn rate(&self, at: Position, plateau_scale: f64) -> f64 {
        // With a warm-up the first step already moves, and the last of it takes the full rate.
        let (warm, warm_epochs) = match self.warm_up {
            WarmUp::None => (1.0, 0.0),
            WarmUp::Epochs(epochs) => (epochs_before(at, 1) / epochs as f64, epochs as f64),
            WarmUp::Steps(steps) => ((at.step + 1) as f64 / steps as f64, steps as f64 / at.batches as f64),
        };
        let decayed = match &self.decay {
            Decay::Constant => self.lr,
            Decay::Step { epochs, factor } => {
                self.dropped(epochs.iter().filter(|&&epoch| epoch < at.epoch).count(), *factor)
            }
            Decay::StepAfter { steps, factor } => {
                self.dropped(steps.iter().filter(|&&steps| steps <= at.step).count(), *factor)
            }
            Decay::Cosine => {
                let length = self.epochs as f64 - warm_epochs;
                let done = ((epochs_before(at, 0) - warm_epochs) / length).clamp(0.0, 1.0);
                self.min_lr + (self.lr - self.min_lr) * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0
            }
            Decay::Plateau(_) => (self.lr * plateau_scale).max(self.min_lr),
        };
        let warm = warm.min(1.0);
        self.start * (1.0 - warm) + decayed * warm
    }

    fn dropped(&self, times: usize, factor: f64) -> f64 {
        self.lr * factor.powi(i32::try_from(times).unwrap_or(i32::MAX))
    }
}

/// Epochs done after `more` further batches, as a fraction.
fn epochs_before(at: Position, more: usize) -> f64 {
    (at.epoch - 1) as f64 + (at.batch + more) as f64 / at.batches as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay, warm_up: WarmUp, epochs: usize) -> Schedule {
        Schedule { lr: 0.4, start: 0.0, min_lr: 0.0, warm_up, decay, epochs }
    }

    /// Position of `step` (from 0) when every epoch has 4 batches.
    fn at(step: u64) -> Position {
        Position { step, epoch: step as usize / 4 + 1, batch: step as usize % 4, batches: 4 }
    }

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "{got} is not {want}");
    }

    #[test]
    fn warm_up_rises_linearly_a_step_and_reaches_the_base_rate_on_its_last() {
        // 2 epochs of 4 steps: an eighth of the rate more each step.
        let by_epochs = schedule(Decay::Constant, WarmUp::Epochs(2), 10);
        let by_steps = schedule(Decay::Constant, WarmUp::Steps(8), 10);
        for (step, want) in [(0, 0.05), (1, 0.1), (6, 0.35), (7, 0.4), (8, 0.4), (30, 0.4)] {
            close(by_epochs.rate(at(step), 1.0), want);
            close(by_steps.rate(at(step), 1.0), want);
        }
    }

    #[test]
    fn a_warm_up_may_start_above_zero() {
        // From .1 to .4 in 8 steps of .0375, as of large batches (Goyal et al. 2017, section 2.2).
        let large = Schedule { start: 0.1, ..schedule(Decay::Constant, WarmUp::Epochs(2), 10) };
        for (step, want) in [(0, 0.1375), (3, 0.25), (7, 0.4), (9, 0.4)] {
            close(large.rate(at(step), 1.0), want);
        }
    }

    #[test]
    fn steps_drop_once_their_epoch_is_complete() {
        let schedule = schedule(Decay::Step { epochs: vec![2, 5], factor: 0.1 }, WarmUp::None, 10);
        close(schedule.rate(at(7), 1.0), 0.4); // last step of epoch 2
        close(schedule.rate(at(8), 1.0), 0.04); // first step of epoch 3
        close(schedule.rate(at(19), 1.0), 0.04);
        close(schedule.rate(at(20), 1.0), 0.004);
    }

    #[test]
    fn steps_after_so_many_steps() {
        let schedule = schedule(Decay::StepAfter { steps: vec![6, 9], factor: 0.1 }, WarmUp::Steps(2), 10);
        for (step, want) in [(0, 0.2), (1, 0.4), (5, 0.4), (6, 0.04), (8, 0.04), (9, 0.004)] {
            close(schedule.rate(at(step), 1.0), want);
        }
    }

    #[test]
    fn cosine_by_hand() {
        let mut cosine = schedule(Decay::Cosine, WarmUp::None, 3);
        cosine.min_lr = 0.1;
        close(cosine.rate(at(0), 1.0), 0.4);
        close(cosine.rate(at(4), 1.0), 0.325); // a third: cos 60° = 1/2 → 0.1 + 0.3·3/4
        close(cosine.rate(at(6), 1.0), 0.25); // half: cos 90° = 0
        close(cosine.rate(at(8), 1.0), 0.175); // two thirds: cos 120° = −1/2
    }

    #[test]
    fn the_rates_of_cifar_10_lt_at_named_epochs() {
        // Cao et al. (2019): 0.1·k/5 at the end of epoch k ≤ 5, 0.1 to epoch 160, 0.001 to 180, then 1e-5.
        let decay = Decay::Step { epochs: vec![160, 180], factor: 0.01 };
        let schedule = Schedule { lr: 0.1, start: 0.0, min_lr: 0.0, warm_up: WarmUp::Epochs(5), decay, epochs: 200 };
        let batches = 97;
        for (epoch, rate) in
            [(1, 0.02), (2, 0.04), (5, 0.1), (6, 0.1), (160, 0.1), (161, 0.001), (180, 0.001), (181, 1e-5), (200, 1e-5)]
        {
            let step = epoch as u64 * batches as u64 - 1;
            let last = Position { step, epoch, batch: batches - 1, batches };
            assert!((schedule.rate(last, 1.0) / rate - 1.0).abs() < 1e-12, "epoch {epoch}");
        }
    }

    #[test]
    fn cosine_starts_where_the_warm_up_ends() {
        for warm_up in [WarmUp::Epochs(1), WarmUp::Steps(4)] {
            let cosine = schedule(Decay::Cosine, warm_up, 3);
            close(cosine.rate(at(0), 1.0), 0.1);
            close(cosine.rate(at(3), 1.0), 0.4);
            close(cosine.rate(at(4), 1.0), 0.4);
            close(cosine.rate(at(8), 1.0), 0.2);
        }
    }

    #[test]
    fn a_plateau_scales_down_to_the_minimum() {
        let decay = Decay::Plateau(PlateauConfig { patience: 3, factor: 0.5 });
        let mut plateau = schedule(decay, WarmUp::None, 10);
        plateau.min_lr = 0.15;
        close(plateau.rate(at(9), 0.5), 0.2);
        close(plateau.rate(at(9), 0.25), 0.15);
    }
}
