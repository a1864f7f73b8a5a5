//! A run of detection in steps, between whose rounds it is evaluated.

use std::ops::Range;

use imbalance_train::schedule::{Decay, Schedule, WarmUp};

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

/// How a schedule in steps that is meant for steps of so many images follows another number of them
/// (Goyal et al., 2017, "Accurate, large minibatch SGD", section 2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchScale {
    /// Images of a step that the schedule is meant for; 0: any.
    pub meant: usize,
    /// Images of a step.
    pub step: usize,
}

impl BatchScale {
    /// As many steps as see the images of `steps` meant ones.
    pub(crate) fn steps(self, steps: usize) -> usize {
        match self.meant {
            0 => steps,
            meant => (steps * meant).div_ceil(self.step),
        }
    }

    /// Warm-up and drops, in steps.
    pub(crate) fn apply(self, schedule: &mut Schedule) {
        let scaled = |steps: &mut u64| *steps = self.steps(*steps as usize) as u64;
        if let WarmUp::Steps(steps) = &mut schedule.warm_up {
            scaled(steps);
        }
        if let Decay::StepAfter { steps, .. } = &mut schedule.decay {
            steps.iter_mut().for_each(scaled);
        }
    }
}

/// The first drop of the rate that a run of so many steps never comes to.
pub(crate) fn drops_after(schedule: &Schedule, steps: usize) -> Option<u64> {
    match &schedule.decay {
        Decay::StepAfter { steps: drops, .. } => drops.iter().copied().find(|&drop| drop >= steps as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_follow_the_batch() {
        // Detectron2's 1x schedule, of 16 images a step.
        let drops = Decay::StepAfter { steps: vec![60_000, 80_000], factor: 0.1 };
        let mut schedule =
            Schedule { lr: 0.01, start: 0.0, min_lr: 0.0, warm_up: WarmUp::Steps(1000), decay: drops, epochs: 1 };
        let as_it_is = schedule.clone();
        BatchScale { meant: 0, step: 2 }.apply(&mut schedule);
        assert_eq!(schedule, as_it_is);
        let eighth = BatchScale { meant: 16, step: 2 };
        eighth.apply(&mut schedule);
        assert_eq!(schedule.warm_up, WarmUp::Steps(8000));
        assert_eq!(schedule.decay, Decay::StepAfter { steps: vec![480_000, 640_000], factor: 0.1 });
        assert_eq!([0, 90_000].map(|steps| eighth.steps(steps)), [0, 720_000]);
        assert_eq!(BatchScale { meant: 8, step: 16 }.steps(5), 3);
        assert_eq!([640_000, 640_001].map(|steps| drops_after(&schedule, steps)), [Some(640_000), None]);
    }

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
