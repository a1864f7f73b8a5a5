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
    /// Steps of the epoch taken before it.
    pub place: usize,
    /// Steps in the epoch.
    pub steps: usize,
}

/// The steps over which a cosine falls; nothing where the warm-up leaves it none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Steps of the warm-up.
    pub start: u64,
    /// Steps of the run.
    pub end: u64,
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
    /// Where the cosine of a run falls whose epochs (from 1) have so many steps, all but the last alike. Other schedules ask for
    /// none, and `steps_of` is not called.
    ///
    /// # Errors
    /// Those of `steps_of`.
    pub fn span<E>(&self, steps_of: impl Fn(usize) -> Result<u64, E>) -> Result<Span, E> {
        if self.decay != Decay::Cosine {
            return Ok(Span::default());
        }
        let (each, last) = (steps_of(1)?, steps_of(self.epochs)?);
        let before = |epoch: usize| each * epoch.saturating_sub(1) as u64;
        let end = before(self.epochs) + last;
        let start = match self.warm_up {
            WarmUp::None => 0,
            WarmUp::Steps(steps) => steps,
            WarmUp::Epochs(epochs) if epochs < self.epochs => before(epochs + 1),
            WarmUp::Epochs(_) => end,
        };
        Ok(Span { start, end })
    }

    /// The rate of the step at `at`; `span` is that of [`Schedule::span`], `plateau_scale` is
    /// [`crate::plateau::Plateau::scale`].
    pub fn rate(&self, at: Position, span: Span, plateau_scale: f64) -> f64 {
        // With a warm-up the first step already moves, and the last of it takes the full rate.
        let warm = match self.warm_up {
            WarmUp::None => 1.0,
            WarmUp::Epochs(epochs) => ((at.epoch - 1) as f64 + (at.place + 1) as f64 / at.steps as f64) / epochs as f64,
            WarmUp::Steps(steps) => (at.step + 1) as f64 / steps as f64,
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
                let done = self.fallen(at.step, span);
                self.min_lr + (self.lr - self.min_lr) * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0
            }
            Decay::Plateau(_) => (self.lr * plateau_scale).max(self.min_lr),
        };
        let warm = warm.min(1.0);
        self.start * (1.0 - warm) + decayed * warm
    }

    /// The part of the cosine, from 0 to 1, that is done after so many steps.
    fn fallen(&self, step: u64, span: Span) -> f64 {
        if span.start >= span.end {
            // A run that ends within its warm-up only rises.
            return 0.0;
        }
        // `(step − start)/(end − start)`, counted in epochs of the mean length: with epochs that are all alike this is how rates
        // have always been rounded, and published figures can be had again to the bit.
        let (epochs, end) = (self.epochs as u128, u128::from(span.end));
        let (steps, start) = (u128::from(step) * epochs, (u128::from(span.start) * epochs) as f64 / end as f64);
        let done = (steps / end) as f64 + (steps % end) as f64 / end as f64;
        ((done - start) / (epochs as f64 - start)).clamp(0.0, 1.0)
    }

    fn dropped(&self, times: usize, factor: f64) -> f64 {
        self.lr * factor.powi(i32::try_from(times).unwrap_or(i32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay, warm_up: WarmUp, epochs: usize) -> Schedule {
        Schedule { lr: 0.4, start: 0.0, min_lr: 0.0, warm_up, decay, epochs }
    }

    /// Position of `step` (from 0) when every epoch has 4 steps.
    fn at(step: u64) -> Position {
        Position { step, epoch: step as usize / 4 + 1, place: step as usize % 4, steps: 4 }
    }

    /// Its rate then.
    fn rate(schedule: &Schedule, step: u64) -> f64 {
        schedule.rate(at(step), span(schedule, 4, 4), 1.0)
    }

    /// Of epochs of `each` steps, the last of `last`.
    fn span(schedule: &Schedule, each: u64, last: u64) -> Span {
        let steps_of = |epoch| Ok::<_, ()>(if epoch == schedule.epochs { last } else { each });
        schedule.span(steps_of).unwrap()
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
            close(rate(&by_epochs, step), want);
            close(rate(&by_steps, step), want);
        }
    }

    #[test]
    fn a_warm_up_may_start_above_zero() {
        // From .1 to .4 in 8 steps of .0375, as of large batches (Goyal et al. 2017, section 2.2).
        let large = Schedule { start: 0.1, ..schedule(Decay::Constant, WarmUp::Epochs(2), 10) };
        for (step, want) in [(0, 0.1375), (3, 0.25), (7, 0.4), (9, 0.4)] {
            close(rate(&large, step), want);
        }
    }

    #[test]
    fn steps_drop_once_their_epoch_is_complete() {
        let schedule = schedule(Decay::Step { epochs: vec![2, 5], factor: 0.1 }, WarmUp::None, 10);
        close(rate(&schedule, 7), 0.4); // last step of epoch 2
        close(rate(&schedule, 8), 0.04); // first step of epoch 3
        close(rate(&schedule, 19), 0.04);
        close(rate(&schedule, 20), 0.004);
    }

    #[test]
    fn steps_after_so_many_steps() {
        let schedule = schedule(Decay::StepAfter { steps: vec![6, 9], factor: 0.1 }, WarmUp::Steps(2), 10);
        for (step, want) in [(0, 0.2), (1, 0.4), (5, 0.4), (6, 0.04), (8, 0.04), (9, 0.004)] {
            close(rate(&schedule, step), want);
        }
    }

    #[test]
    fn cosine_by_hand() {
        let mut cosine = schedule(Decay::Cosine, WarmUp::None, 3);
        cosine.min_lr = 0.1;
        close(rate(&cosine, 0), 0.4);
        close(rate(&cosine, 4), 0.325); // a third: cos 60° = 1/2 → 0.1 + 0.3·3/4
        close(rate(&cosine, 6), 0.25); // half: cos 90° = 0
        close(rate(&cosine, 8), 0.175); // two thirds: cos 120° = −1/2
    }

    #[test]
    fn the_rates_of_cifar_10_lt_at_named_epochs() {
        // Cao et al. (2019): 0.1·k/5 at the end of epoch k ≤ 5, 0.1 to epoch 160, 0.001 to 180, then 1e-5.
        let decay = Decay::Step { epochs: vec![160, 180], factor: 0.01 };
        let schedule = Schedule { lr: 0.1, start: 0.0, min_lr: 0.0, warm_up: WarmUp::Epochs(5), decay, epochs: 200 };
        let steps = 97;
        for (epoch, rate) in
            [(1, 0.02), (2, 0.04), (5, 0.1), (6, 0.1), (160, 0.1), (161, 0.001), (180, 0.001), (181, 1e-5), (200, 1e-5)]
        {
            let last = Position { step: epoch as u64 * steps as u64 - 1, epoch, place: steps - 1, steps };
            assert!((schedule.rate(last, Span::default(), 1.0) / rate - 1.0).abs() < 1e-12, "epoch {epoch}");
        }
    }

    #[test]
    fn cosine_starts_where_the_warm_up_ends() {
        for warm_up in [WarmUp::Epochs(1), WarmUp::Steps(4)] {
            let cosine = schedule(Decay::Cosine, warm_up, 3);
            close(rate(&cosine, 0), 0.1);
            close(rate(&cosine, 3), 0.4);
            close(rate(&cosine, 4), 0.4);
            close(rate(&cosine, 8), 0.2);
        }
    }

    #[test]
    fn the_cosine_of_epochs_that_are_all_alike_is_rounded_as_it_always_was() {
        // What published figures were trained with: epochs done, as a whole number and a fraction of batches.
        let (epochs, batches) = (7, 97);
        for warm_up in [WarmUp::None, WarmUp::Epochs(2), WarmUp::Steps(5), WarmUp::Steps(150)] {
            let cosine = schedule(Decay::Cosine, warm_up, epochs);
            let span = span(&cosine, batches, batches);
            let warm_epochs = match warm_up {
                WarmUp::None => 0.0,
                WarmUp::Epochs(epochs) => epochs as f64,
                WarmUp::Steps(steps) => steps as f64 / batches as f64,
            };
            for step in 0..epochs as u64 * batches {
                let before = (step / batches) as f64 + (step % batches) as f64 / batches as f64;
                let done = ((before - warm_epochs) / (epochs as f64 - warm_epochs)).clamp(0.0, 1.0);
                assert_eq!(cosine.fallen(step, span).to_bits(), done.to_bits(), "{warm_up:?}, step {step}");
            }
        }
    }

    #[test]
    fn a_shorter_last_epoch_ends_the_cosine_sooner() {
        // Epochs of 12 and 6 steps, 4 to warm up: the cosine has 14, and falls by cos(k·π/14) at its k-th.
        for warm_up in [WarmUp::Steps(4), WarmUp::None] {
            let cosine = schedule(Decay::Cosine, warm_up, 2);
            let span = span(&cosine, 12, 6);
            let start = if warm_up == WarmUp::None { 0 } else { 4 };
            assert_eq!(span, Span { start, end: 18 });
            for step in start..18 {
                let (epoch, place, steps) = if step < 12 { (1, step, 12) } else { (2, step - 12, 6) };
                let found = cosine.rate(Position { step, epoch, place: place as usize, steps }, span, 1.0);
                let angle = std::f64::consts::PI * (step - start) as f64 / (18 - start) as f64;
                close(found, 0.2 * (1.0 + angle.cos()));
            }
        }
        // Of three epochs of 12, 12 and 6 steps, two warm up.
        assert_eq!(span(&schedule(Decay::Cosine, WarmUp::Epochs(2), 3), 12, 6), Span { start: 24, end: 30 });
        assert_eq!(span(&schedule(Decay::Cosine, WarmUp::Epochs(3), 3), 12, 6), Span { start: 30, end: 30 });
        assert_eq!(schedule(Decay::Constant, WarmUp::None, 3).span(|_| Err(())), Ok(Span::default()));
    }

    #[test]
    fn a_run_that_ends_within_its_warm_up_only_rises() {
        // 12 steps of which the warm-up would have 16, or all.
        for (warm_up, steps) in [(WarmUp::Steps(16), 16.0), (WarmUp::Steps(12), 12.0), (WarmUp::Epochs(3), 12.0)] {
            let cosine = schedule(Decay::Cosine, warm_up, 3);
            for step in 0..12 {
                close(rate(&cosine, step), 0.4 * (step + 1) as f64 / steps);
            }
        }
    }

    #[test]
    fn a_plateau_scales_down_to_the_minimum() {
        let decay = Decay::Plateau(PlateauConfig { patience: 3, factor: 0.5 });
        let mut plateau = schedule(decay, WarmUp::None, 10);
        plateau.min_lr = 0.15;
        close(plateau.rate(at(9), Span::default(), 0.5), 0.2);
        close(plateau.rate(at(9), Span::default(), 0.25), 0.15);
    }
}
