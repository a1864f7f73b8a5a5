//! Keeps the best validation value and says when to stop waiting for a better one.

use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::task::Goal;

/// The best value of the monitored metric so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch it was reached in, from 1.
    pub epoch: usize,
    /// The value.
    pub value: Exact,
}

/// State of early stopping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    best: Option<Best>,
    epochs_since_best: usize,
    stopped: bool,
}

impl EarlyStopping {
    /// The best value so far.
    pub fn best(&self) -> Option<Best> {
        self.best
    }

    /// Whether patience has run out.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Forgets the best value, for the first epoch of a new loss.
    pub fn restart(&mut self) {
        *self = EarlyStopping::default();
    }

    /// Takes an epoch's value; returns whether it is the best so far. With a `patience` above 0,
    /// [`EarlyStopping::stopped`] is true after that many epochs in a row without a better value.
    pub fn observe(&mut self, epoch: usize, value: f64, goal: Goal, patience: usize) -> bool {
        let improved = match self.best {
            None => !value.is_nan(),
            Some(best) => goal.better(value, best.value.0),
        };
        if improved {
            self.best = Some(Best { epoch, value: Exact(value) });
            self.epochs_since_best = 0;
        } else {
            self.epochs_since_best += 1;
            self.stopped = patience > 0 && self.epochs_since_best >= patience;
        }
        improved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_after_patience_epochs_without_a_better_value() {
        let mut stopping = EarlyStopping::default();
        let mut improved = Vec::new();
        for (epoch, value) in [3.0, 2.0, 2.0, 2.5].into_iter().enumerate() {
            improved.push(stopping.observe(epoch + 1, value, Goal::Minimise, 2));
        }
        assert_eq!(improved, [true, true, false, false]);
        assert!(stopping.stopped());
        assert_eq!(stopping.best(), Some(Best { epoch: 2, value: Exact(2.0) }));
    }

    #[test]
    fn an_improvement_starts_the_count_again_and_zero_patience_never_stops() {
        let mut patient = EarlyStopping::default();
        let mut off = EarlyStopping::default();
        for (epoch, value) in [0.1, 0.0, 0.2, 0.1, f64::NAN].into_iter().enumerate() {
            patient.observe(epoch + 1, value, Goal::Maximise, 3);
            off.observe(epoch + 1, value, Goal::Maximise, 0);
        }
        assert!(!patient.stopped());
        patient.observe(6, 0.2, Goal::Maximise, 3);
        assert!(patient.stopped(), "an equal value is not better");
        assert!(!off.stopped());
        assert_eq!(off.best().map(|best| best.epoch), Some(3));
    }
}
