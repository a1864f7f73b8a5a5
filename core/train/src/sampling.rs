//! Which examples each epoch of a run draws.

use imbalance_core::ClassCounts;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::example_classes::ExampleClasses;
use crate::order::order_rng;
use crate::sampler::{Sampler, SamplerError};

/// The samplers of a run, from [`crate::flags::TrainFlags::sampling`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingPlan {
    /// `--sampler`.
    pub sampler: Sampler,
    /// The sampler of the epochs after `defer_epochs`: `--defer-sampler`, or the same.
    pub deferred: Sampler,
    /// `--sampler-beta`, 0 ≤ β < 1.
    pub beta: f64,
    /// Epochs before the deferred sampler's.
    pub defer_epochs: usize,
    /// Epochs of the run.
    pub epochs: usize,
}

impl SamplingPlan {
    /// The sampler of `epoch` (from 1) and the progress t of a progressive one: 0 in the first of the epochs that
    /// are its own, 1 in the last of them.
    pub fn at(&self, epoch: usize) -> (Sampler, f64) {
        let (sampler, first, last) = match (self.sampler == self.deferred, epoch <= self.defer_epochs) {
            (true, _) => (self.sampler, 1, self.epochs),
            (false, true) => (self.sampler, 1, self.defer_epochs),
            (false, false) => (self.deferred, self.defer_epochs + 1, self.epochs),
        };
        let progress = if last > first { epoch.saturating_sub(first) as f64 / (last - first) as f64 } else { 0.0 };
        (sampler, progress.min(1.0))
    }
}

/// A plan over the data it draws from. What an epoch draws is a function of the seed and the epoch alone, so that
/// resuming needs no state.
#[derive(Clone, Debug)]
pub struct Sampling {
    plan: SamplingPlan,
    counts: ClassCounts,
    examples: ExampleClasses,
}

impl Sampling {
    /// Binds `plan` to the classes of the training examples. `counts` are those that the losses weigh by.
    ///
    /// # Errors
    /// [`SamplerError::Class`], naming the first example whose class the counts do not have.
    pub fn new(plan: SamplingPlan, counts: ClassCounts, examples: ExampleClasses) -> Result<Self, SamplerError> {
        plan.deferred.weights(plan.beta, 0.0, &counts, &examples)?;
        Ok(Self { plan, counts, examples })
    }

    /// The examples that `epoch` (from 1) visits, in order: a shuffle of all, or as many draws with replacement.
    ///
    /// # Errors
    /// [`SamplerError::Weights`] where a β outside its range makes weights that are none.
    pub fn order(&self, epoch: usize, rng: &mut ChaCha8Rng) -> Result<Vec<usize>, SamplerError> {
        let (sampler, progress) = self.plan.at(epoch);
        let examples = self.examples.len();
        if sampler == Sampler::Uniform || examples == 0 {
            let mut order: Vec<usize> = (0..examples).collect();
            order.shuffle(rng);
            return Ok(order);
        }
        let weights = sampler.weights(self.plan.beta, progress, &self.counts, &self.examples)?;
        let draws = WeightedIndex::new(weights)?;
        Ok((0..examples).map(|_| draws.sample(rng)).collect())
    }

    /// [`Sampling::order`] in batches of `batch_size` (the last may be smaller), a function of (seed, epoch); with the
    /// uniform sampler, [`crate::order::shuffled_batches`].
    ///
    /// # Errors
    /// As [`Sampling::order`].
    pub fn batches(&self, batch_size: usize, seed: u64, epoch: usize) -> Result<Vec<Vec<usize>>, SamplerError> {
        let order = self.order(epoch, &mut order_rng(seed, epoch))?;
        Ok(order.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::shuffled_batches;

    const COUNTS: [usize; 4] = [800, 150, 40, 10];

    fn plan(sampler: Sampler, deferred: Sampler) -> SamplingPlan {
        SamplingPlan { sampler, deferred, beta: 0.99, defer_epochs: 4, epochs: 9 }
    }

    fn labels() -> Vec<u32> {
        COUNTS.iter().zip(0..).flat_map(|(&n, class)| vec![class; n]).collect()
    }

    fn sampling(sampler: Sampler, deferred: Sampler) -> Sampling {
        let counts = ClassCounts::new(COUNTS.map(|n| n as u64).to_vec()).unwrap();
        Sampling::new(plan(sampler, deferred), counts, ExampleClasses::single(labels())).unwrap()
    }

    /// Draws of each class in twenty epochs that all use `epoch`'s sampler, by twenty seeds.
    fn drawn(sampling: &Sampling, epoch: usize) -> [f64; 4] {
        let labels = labels();
        let mut drawn = [0.0; 4];
        for seed in 0..20 {
            let batches = sampling.batches(64, seed, epoch).unwrap();
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [vec![64; 15], vec![40]].concat());
            batches.concat().iter().for_each(|&example| drawn[labels[example] as usize] += 1.0);
        }
        drawn
    }

    /// Pearson's statistic stays below the .9999 quantile of χ² with 3 degrees of freedom, 21.1.
    #[track_caller]
    fn has_frequencies(drawn: [f64; 4], class: [f64; 4]) {
        let total: f64 = class.iter().sum();
        let expected = class.map(|class| 20_000.0 * class / total);
        let statistic: f64 = drawn.iter().zip(expected).map(|(n, e)| (n - e) * (n - e) / e).sum();
        assert!(statistic < 21.1, "χ² = {statistic}: {drawn:?}, expected {expected:?}");
    }

    #[test]
    fn draws_have_the_frequencies_of_each_sampler() {
        let of = |sampler| drawn(&sampling(sampler, sampler), 1);
        has_frequencies(of(Sampler::ClassBalanced), [1.0; 4]);
        has_frequencies(of(Sampler::SquareRoot), [28.284271, 12.247449, 6.324555, 3.162278]);
        has_frequencies(of(Sampler::Reversed), [1.0 / 800.0, 1.0 / 150.0, 1.0 / 40.0, 1.0 / 10.0]);
        // n/(1 − .99ⁿ), by hand: .99⁸⁰⁰ = 3.22e-4, .99¹⁵⁰ = .22145, .99⁴⁰ = .66897, .99¹⁰ = .90438.
        has_frequencies(of(Sampler::InverseEffective), [800.258, 192.666, 120.836, 104.583]);
    }

    #[test]
    fn within_a_class_all_examples_are_alike() {
        let sampling = sampling(Sampler::Reversed, Sampler::Reversed);
        let mut drawn = [0.0; 10];
        for seed in 0..20 {
            for example in sampling.batches(64, seed, 1).unwrap().concat() {
                if example >= 990 {
                    drawn[example - 990] += 1.0;
                }
            }
        }
        let mean = drawn.iter().sum::<f64>() / 10.0;
        // .9999 quantile of χ² with 9 degrees of freedom.
        let statistic: f64 = drawn.iter().map(|n| (n - mean) * (n - mean) / mean).sum();
        assert!(mean > 1000.0 && statistic < 33.7, "χ² = {statistic}: {drawn:?}");
    }

    #[test]
    fn progressive_starts_instance_balanced_and_ends_class_balanced() {
        let progressive = sampling(Sampler::Progressive, Sampler::Progressive);
        has_frequencies(drawn(&progressive, 1), [800.0, 150.0, 40.0, 10.0]);
        has_frequencies(drawn(&progressive, 5), [0.525, 0.2, 0.145, 0.13]);
        has_frequencies(drawn(&progressive, 9), [1.0; 4]);
    }

    #[test]
    fn the_deferred_sampler_takes_over_and_progresses_over_its_own_epochs() {
        let plan = plan(Sampler::Progressive, Sampler::Reversed);
        assert_eq!(plan.at(1), (Sampler::Progressive, 0.0));
        assert_eq!(plan.at(4), (Sampler::Progressive, 1.0));
        assert_eq!(plan.at(5).0, Sampler::Reversed);
        let later = SamplingPlan { sampler: Sampler::Uniform, deferred: Sampler::Progressive, ..plan };
        assert_eq!((5..=9).map(|epoch| later.at(epoch).1).collect::<Vec<_>>(), [0.0, 0.25, 0.5, 0.75, 1.0]);
        let same = SamplingPlan { deferred: Sampler::Progressive, ..plan };
        assert_eq!((same.at(1).1, same.at(5).1, same.at(9).1), (0.0, 0.5, 1.0));
        let one = SamplingPlan { epochs: 1, defer_epochs: 0, ..same };
        assert_eq!(one.at(1), (Sampler::Progressive, 0.0));
        let switched = sampling(Sampler::Uniform, Sampler::ClassBalanced);
        assert_eq!(drawn(&switched, 4), [16_000.0, 3000.0, 800.0, 200.0]);
        has_frequencies(drawn(&switched, 5), [1.0; 4]);
    }

    #[test]
    fn uniform_is_the_plain_shuffle() {
        let uniform = sampling(Sampler::Uniform, Sampler::Uniform);
        assert_eq!(uniform.batches(64, 7, 3).unwrap(), shuffled_batches(1000, 64, 7, 3));
    }

    #[test]
    fn a_function_of_seed_and_epoch() {
        let balanced = sampling(Sampler::ClassBalanced, Sampler::ClassBalanced);
        assert_eq!(balanced.batches(8, 7, 2).unwrap(), balanced.batches(8, 7, 2).unwrap());
        assert_ne!(balanced.batches(8, 7, 2).unwrap(), balanced.batches(8, 7, 3).unwrap());
        assert_ne!(balanced.batches(8, 7, 2).unwrap(), balanced.batches(8, 8, 2).unwrap());
    }

    #[test]
    fn no_examples_give_no_batches_and_wrong_classes_are_refused_at_once() {
        let counts = ClassCounts::new(vec![1, 1]).unwrap();
        let plan = plan(Sampler::Uniform, Sampler::Uniform);
        let none = Sampling::new(plan, counts.clone(), ExampleClasses::default()).unwrap();
        assert!(none.batches(8, 1, 1).unwrap().is_empty());
        let error = Sampling::new(plan, counts, ExampleClasses::single(vec![0, 2])).unwrap_err();
        assert!(error.to_string().starts_with("example 1: class 2 is out of range"), "{error}");
    }
}
