//! The paired bootstrap over examples (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).

use rayon::prelude::*;

use super::{Difference, SignificanceError, draw, percentile};

/// What several systems score on the same examples.
#[derive(Clone, Debug)]
pub struct Examples<'a> {
    /// Of each system the value of each example, `[systems][examples]`: whether it is right, its F1.
    pub values: &'a [Vec<f64>],
    /// The stratum of each example, its class say, `[examples]`.
    pub strata: &'a [usize],
    /// Of each score the weight of each stratum's mean, `[scores][strata]`. All 1 makes it the mean over the strata.
    pub weights: &'a [Vec<f64>],
}

/// Scores of several systems on resamples of the same examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrapped {
    /// `[systems][scores]`; NaN where no stratum of weight has examples.
    observed: Vec<Vec<f64>>,
    /// `[resamples][systems][scores]`.
    resampled: Vec<Vec<Vec<f64>>>,
    examples: usize,
}

/// Draws as many examples as there are, with replacement, `resamples` times, and scores all systems on the same draws.
///
/// A score is `Σ_s w_s · mean_s / Σ_s w_s` over the strata s that have an example. The result depends on the seed alone, not on
/// the number of threads.
///
/// # Errors
/// Numbers that do not pair up, no examples, a stratum without a weight, a value that is not finite.
pub fn bootstrap(examples: &Examples<'_>, resamples: usize, seed: u64) -> Result<Bootstrapped, SignificanceError> {
    let count = examples.strata.len();
    examples.check()?;
    let observed = examples.scores(&vec![1; count]);
    let resampled = (0..resamples as u64)
        .into_par_iter()
        .map_init(
            || vec![0; count],
            |copies, resample| {
                draw(seed, resample, copies);
                examples.scores(copies)
            },
        )
        .collect();
    Ok(Bootstrapped { observed, resampled, examples: count })
}

impl Examples<'_> {
    fn check(&self) -> Result<(), SignificanceError> {
        let count = self.strata.len();
        if count == 0 {
            return Err(SignificanceError::TooFew { pairs: 0, needed: 1 });
        }
        if let Some(other) = self.values.iter().find(|values| values.len() != count) {
            return Err(SignificanceError::Unpaired { first: count, second: other.len() });
        }
        if self.values.iter().flatten().any(|value| !value.is_finite()) {
            return Err(SignificanceError::NotFinite);
        }
        let strata = self.weights.iter().map(Vec::len).min().unwrap_or(0);
        match self.strata.iter().position(|&stratum| stratum >= strata) {
            Some(example) => Err(SignificanceError::Stratum { example, stratum: self.strata[example], strata }),
            None => Ok(()),
        }
    }

    /// `[systems][scores]` when each example is there `copies` times.
    fn scores(&self, copies: &[u32]) -> Vec<Vec<f64>> {
        let strata = self.weights.iter().map(Vec::len).max().unwrap_or(0);
        let mut counts = vec![0.0; strata];
        for (&stratum, &copies) in self.strata.iter().zip(copies) {
            counts[stratum] += f64::from(copies);
        }
        let of_system = |values: &Vec<f64>| {
            let mut sums = vec![0.0; strata];
            for ((&stratum, &copies), value) in self.strata.iter().zip(copies).zip(values) {
                sums[stratum] += f64::from(copies) * value;
            }
            let score = |weights: &Vec<f64>| {
                let present = weights.iter().zip(sums.iter().zip(&counts)).filter(|(_, (_, count))| **count > 0.0);
                let (mut sum, mut weight) = (0.0, 0.0);
                for (own, (total, count)) in present {
                    sum += own * total / count;
                    weight += own;
                }
                sum / weight
            };
            self.weights.iter().map(score).collect()
        };
        self.values.iter().map(of_system).collect()
    }
}

impl Bootstrapped {
    /// A score on the examples as they are; NaN where there is none.
    pub fn observed(&self, system: usize, score: usize) -> f64 {
        self.observed[system][score]
    }

    /// The difference between two systems in a score; `None` where there is no score, or fewer than two resamples have one.
    pub fn difference(&self, first: usize, second: usize, score: usize) -> Option<Difference> {
        let of = |systems: &[Vec<f64>]| systems[first][score] - systems[second][score];
        Difference::of_resamples(of(&self.observed), self.resampled.iter().map(|one| of(one)), self.examples)
    }
}

impl Difference {
    /// A difference with those on resamples of `pairs` examples; those that are NaN are left out. `None` where the difference
    /// is NaN, or fewer than two resamples are left.
    ///
    /// ```text
    /// interval: the 2.5th and 97.5th percentile of the resamples
    /// p = min(1, 2 · min(#{d ≤ 0} + 1, #{d ≥ 0} + 1) / (resamples + 1))
    /// ```
    ///
    /// p belongs to that interval: it is below 0.05 where 0 lies outside (Davison and Hinkley, "Bootstrap Methods and their
    /// Application", 1997, sections 4.2 and 5.3). It is never 0, as it cannot be told from less than 1 of the resamples.
    pub fn of_resamples(difference: f64, resampled: impl Iterator<Item = f64>, pairs: usize) -> Option<Self> {
        let mut sorted: Vec<f64> = resampled.filter(|one| !one.is_nan()).collect();
        if difference.is_nan() || sorted.len() < 2 {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let least =
            sorted.iter().filter(|&&one| one <= 0.0).count().min(sorted.iter().filter(|&&one| one >= 0.0).count());
        let p = (2.0 * (least + 1) as f64 / (sorted.len() + 1) as f64).min(1.0);
        Some(Self { difference, lower: percentile(&sorted, 0.025), upper: percentile(&sorted, 0.975), p, pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three examples of class 0, one of class 1. The first system has the first two right, the second the last two.
    fn example(resamples: usize, seed: u64) -> Bootstrapped {
        let values = [vec![1.0, 1.0, 0.0, 0.0], vec![0.0, 0.0, 1.0, 1.0]];
        let weights = [vec![1.0, 1.0], vec![3.0, 1.0], vec![0.0, 1.0]];
        let examples = Examples { values: &values, strata: &[0, 0, 0, 1], weights: &weights };
        bootstrap(&examples, resamples, seed).unwrap()
    }

    #[test]
    fn scores_by_hand() {
        let found = example(0, 0);
        let near = |system, score, want: f64| assert!((found.observed(system, score) - want).abs() < 1e-12);
        // Mean of the classes' accuracies 2/3 and 0, 1/3 and 1; weighed 3 to 1; class 1 alone.
        near(0, 0, 1.0 / 3.0);
        near(1, 0, 2.0 / 3.0);
        near(0, 1, 0.5);
        near(1, 1, 0.5);
        near(0, 2, 0.0);
        assert_eq!(found.difference(0, 1, 0), None, "no resamples");
    }

    #[test]
    fn a_class_that_is_not_drawn_is_left_out() {
        let values = [vec![1.0, 1.0, 0.0, 0.0]];
        let examples = Examples { values: &values, strata: &[0, 0, 0, 1], weights: &[vec![1.0, 1.0], vec![0.0, 1.0]] };
        let scores = examples.scores(&[3, 0, 1, 0]);
        assert_eq!(scores[0][0], 0.75);
        assert!(scores[0][1].is_nan());
    }

    #[test]
    fn differences_are_those_of_the_same_draws() {
        let found = example(500, 3);
        let difference = found.difference(0, 1, 0).unwrap();
        assert!((difference.difference + 1.0 / 3.0).abs() < 1e-12);
        assert!(difference.lower < difference.difference && difference.upper > difference.difference);
        let back = found.difference(1, 0, 0).unwrap();
        assert_eq!((back.lower, back.p, back.pairs), (-difference.upper, difference.p, 4));
        assert_eq!(found.difference(0, 0, 0).unwrap().p, 1.0);
        // As text, in which NaN equals NaN.
        let text = |seed| format!("{:?}", example(500, seed));
        assert!(text(3) == text(3) && text(3) != text(4));
    }

    #[test]
    fn p_by_hand() {
        let of = |resampled: &[f64]| Difference::of_resamples(1.0, resampled.iter().copied(), 9).unwrap();
        // One of nine at most 0: 2 · 2 / 10.
        assert!((of(&[-1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0]).p - 0.4).abs() < 1e-12);
        // None of 99: 2 / 100.
        let sure = of(&[1.0; 99]);
        assert!((sure.p - 0.02).abs() < 1e-12 && sure.lower == 1.0 && sure.pairs == 9);
        assert_eq!(of(&[0.0, 0.0, 0.0]).p, 1.0);
        assert!(Difference::of_resamples(f64::NAN, [1.0, 2.0].into_iter(), 9).is_none());
        assert!(Difference::of_resamples(1.0, [1.0, f64::NAN].into_iter(), 9).is_none());
    }

    #[test]
    fn what_does_not_pair_up_is_refused() {
        let values = [vec![1.0]];
        let of = |strata: &[usize], weights: &[Vec<f64>]| {
            bootstrap(&Examples { values: &values, strata, weights }, 3, 0).unwrap_err().to_string()
        };
        assert!(of(&[0, 0], &[vec![1.0]]).contains("2 and 1 values"));
        assert!(of(&[1], &[vec![1.0]]).contains("stratum 1"));
        assert!(of(&[], &[]).contains("too few"));
    }
}
