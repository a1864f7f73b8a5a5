//! Lowers the learning rate when the monitored metric stops improving.

use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::task::Goal;

/// Improvements below this fraction of the best value do not count (the default of PyTorch's `ReduceLROnPlateau`).
const THRESHOLD: f64 = 1e-4;

/// Settings of [`Plateau`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateauConfig {
    /// Epochs without improvement that are tolerated; the next one lowers the rate.
    pub patience: usize,
    /// What the rate is multiplied by, in (0, 1).
    pub factor: f64,
}

/// State of the plateau schedule, with the semantics of PyTorch's `ReduceLROnPlateau` (relative threshold
/// 1e-4, no cool-down).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    best: Option<Exact>,
    bad_epochs: usize,
    scale: Exact,
}

impl Default for Plateau {
    fn default() -> Plateau {
        Plateau { best: None, bad_epochs: 0, scale: Exact(1.0) }
    }
}

impl Plateau {
    /// The product of all reductions so far, which multiplies the base rate.
    pub fn scale(&self) -> f64 {
        self.scale.0
    }

    /// Forgets the best value but keeps the rate, for the first epoch of a new loss, whose values are of
    /// another scale.
    pub fn restart(&mut self) {
        self.best = None;
        self.bad_epochs = 0;
    }

    /// Takes an epoch's value of the metric; returns whether the rate was lowered.
    pub fn observe(&mut self, value: f64, goal: Goal, config: PlateauConfig) -> bool {
        let improved = match self.best {
            None => !value.is_nan(),
            // The margin is relative to |best|: these losses go below zero, where best·(1 − 1e-4)
            // would count a worse value as better.
            Some(Exact(best)) => match goal {
                Goal::Minimise => value < best - best.abs() * THRESHOLD,
                Goal::Maximise => value > best + best.abs() * THRESHOLD,
            },
        };
        if improved {
            self.best = Some(Exact(value));
            self.bad_epochs = 0;
            return false;
        }
        self.bad_epochs += 1;
        if self.bad_epochs <= config.patience {
            return false;
        }
        self.bad_epochs = 0;
        self.scale.0 *= config.factor;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALVE_AFTER_2: PlateauConfig = PlateauConfig { patience: 2, factor: 0.5 };

    fn scales(values: &[f64], goal: Goal) -> Vec<f64> {
        let mut plateau = Plateau::default();
        values
            .iter()
            .map(|&value| {
                plateau.observe(value, goal, HALVE_AFTER_2);
                plateau.scale()
            })
            .collect()
    }

    #[test]
    fn halves_after_the_third_bad_epoch_and_counts_afresh() {
        // torch.optim.lr_scheduler.ReduceLROnPlateau(patience=2, factor=.5) by hand: bad epochs 1, 2, 3 → halved.
        let got = scales(&[4.0, 3.0, 3.0, 3.5, 3.1, 3.0, 3.0, 3.0, 2.0], Goal::Minimise);
        assert_eq!(got, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn an_improvement_below_the_threshold_is_none() {
        // 1e-4 of 2.0 is 2e-4: 1.9999 is not enough, 1.9997 is.
        assert_eq!(scales(&[2.0, 1.9999, 1.9999, 1.9999], Goal::Minimise)[3], 0.5);
        assert_eq!(scales(&[2.0, 1.9999, 1.9997, 1.9999], Goal::Minimise)[3], 1.0);
        assert_eq!(scales(&[0.5, 0.6, 0.7, 0.8], Goal::Maximise)[3], 1.0);
    }

    #[test]
    fn a_worse_negative_loss_is_not_an_improvement() {
        // −2.0001 is within the threshold of −2 (margin 2e-4), −1.9999 is worse.
        assert_eq!(scales(&[-2.0, -1.9999, -1.9999, -2.0001], Goal::Minimise)[3], 0.5);
    }

    #[test]
    fn a_new_loss_starts_the_count_again_at_the_same_rate() {
        let mut plateau = Plateau::default();
        for value in [1.0, 2.0, 2.0, 2.0, 2.0, 2.0] {
            plateau.observe(value, Goal::Minimise, HALVE_AFTER_2);
        }
        assert_eq!(plateau.scale(), 0.5);
        plateau.restart();
        for value in [5.0, 5.0, 5.0] {
            assert!(!plateau.observe(value, Goal::Minimise, HALVE_AFTER_2));
        }
        assert!(plateau.observe(5.0, Goal::Minimise, HALVE_AFTER_2));
        assert_eq!(plateau.scale(), 0.25);
    }

    #[test]
    fn nan_is_never_better() {
        assert_eq!(scales(&[f64::NAN, f64::NAN, f64::NAN, 1.0], Goal::Minimise), [1.0, 1.0, 0.5, 0.5]);
    }
}
