//! A run of detection in steps, between whose rounds it is evaluated.

use std::ops::Range;

use crate::DetectionError;

/// The rounds of a run: what the training loop takes for epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rounds {
    steps: usize,
    round: usize,
    /// Batches of a step.
    accumulate: usize,
}

impl Rounds {
    /// `iterations` steps, or `epochs` passes of `pass` steps where that is 0, evaluated every `every` steps, or every pass where
    /// that is 0. A step takes one batch.
    pub(crate) fn new(iterations: usize, epochs: usize, every: usize, pass: usize) -> Result<Self, DetectionError> {
        let steps = if iterations > 0 { iterations } else { epochs * pass };
        if every > steps {
            return Err(DetectionError::Usage(format!(
                "--eval-every {every} is more than the {steps} steps of the run; it must not be"
            )));
        }
        Ok(Self { steps, round: if every > 0 { every } else { pass.min(steps) }, accumulate: 1 })
    }

    /// The same with so many batches a step.
    pub(crate) fn accumulating(self, batches: usize) -> Self {
        Self { accumulate: batches, ..self }
    }

    pub(crate) fn count(self) -> usize {
        self.steps.div_ceil(self.round)
    }

    /// All steps.
    pub(crate) fn all(self) -> usize {
        self.steps
    }

    /// The batches of a round, which are numbered from 1.
    pub(crate) fn batches(self, round: usize) -> Range<usize> {
        let (first, end) = ((round - 1) * self.round, (round * self.round).min(self.steps));
        first * self.accumulate..end * self.accumulate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_by_hand() {
        let rounds = Rounds::new(10, 3, 4, 7).unwrap();
        assert_eq!((rounds.count(), rounds.all()), (3, 10));
        assert_eq!([1, 2, 3].map(|round| rounds.batches(round)), [0..4, 4..8, 8..10]);
        assert_eq!(rounds.accumulating(3).batches(3), 24..30);
        let passes = Rounds::new(0, 3, 0, 7).unwrap();
        assert_eq!((passes.count(), passes.batches(2)), (3, 7..14));
        assert!(Rounds::new(10, 3, 11, 7).unwrap_err().to_string().contains("--eval-every 11"));
    }
}
