//! How likely an epoch draws each example.

use std::fmt;

use clap::ValueEnum as _;
use clap::builder::PossibleValue;
use imbalance_core::{ClassCounts, effective_number};
use serde::Serialize;

use crate::example_classes::ExampleClasses;

/// `--sampler` and `--defer-sampler`.
///
/// `uniform` visits every example once an epoch. The others draw as many examples as there are, with replacement, each
/// with a probability ∝ its weight: u_c for an example of class c, with n_c examples of C classes in the data,
///
/// ```text
/// class-balanced     u_c = 1/n_c                          every class equally likely
/// square-root        u_c = 1/√n_c                         class c drawn ∝ √n_c
/// inverse-effective  u_c = 1/E_c, E_c = (1−βⁿ)/(1−β)      RS of the LDAM-DRW baseline (Cao et al. 2019)
/// reversed           u_c = 1/n_c²                         class c drawn ∝ 1/n_c (Zhou et al. 2020, "BBN")
/// progressive        (1 − t)·1/N + t·u_i/Σu, u class-balanced, t from 0 in the first epoch to 1 in the last
/// ```
///
/// Square-root sampling is that of Mahajan et al. 2018, progressive that of Kang et al. 2020, "Decoupling representation and
/// classifier", section 3.
///
/// An example with several classes (the tokens of a reply, the boxes of an image) weighs the mean of u over them, each
/// occurrence counted, which for a single class is u itself. One without any weighs as if it were of the most frequent class.
/// A class that the counts say has no example weighs as if it had one.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// Every example once an epoch
    #[default]
    Uniform,
    /// Each class equally likely
    ClassBalanced,
    /// Examples by one over the effective number of their class, see --sampler-beta
    InverseEffective,
    /// Classes by the square root of their count
    SquareRoot,
    /// From uniform in the first epoch to class-balanced in the last
    Progressive,
    /// Classes by one over their count
    Reversed,
}

impl fmt::Display for Sampler {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        to.write_str(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// Why examples cannot be weighted or drawn.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// A class id beyond the counts.
    #[error("example {example}: class {class} is out of range, there are counts of {classes} classes (0 to {})", classes - 1)]
    Class {
        /// Which example, from 0.
        example: usize,
        /// Its class.
        class: u32,
        /// How many classes there are.
        classes: usize,
    },
    /// Weights that no example can be drawn by.
    #[error("examples cannot be drawn by their weights: {0}")]
    Weights(#[from] rand::distr::weighted::Error),
}

impl Sampler {
    /// The weight of each example; only their ratios matter.
    ///
    /// `beta` is that of the effective number, 0 ≤ β < 1; `progress` is t of [`Sampler::Progressive`], 0 ≤ t ≤ 1.
    ///
    /// # Shapes
    /// - output: `[examples]`
    ///
    /// # Errors
    /// [`SamplerError::Class`].
    pub fn weights(
        self,
        beta: f64,
        progress: f64,
        counts: &ClassCounts,
        examples: &ExampleClasses,
    ) -> Result<Vec<f64>, SamplerError> {
        let by_class: Vec<f64> = counts.seen().map(|n| self.class_weight(n, beta)).collect();
        // Every u falls with n, so that the most frequent class has the least.
        let without_class = by_class.iter().copied().fold(f64::INFINITY, f64::min);
        let weight = |(example, classes): (usize, &[u32])| {
            let mut sum = 0.0;
            for &class in classes {
                let wrong = SamplerError::Class { example, class, classes: by_class.len() };
                sum += by_class.get(class as usize).ok_or(wrong)?;
            }
            Ok(if classes.is_empty() { without_class } else { sum / classes.len() as f64 })
        };
        let mut weights: Vec<f64> = examples.iter().enumerate().map(weight).collect::<Result<_, SamplerError>>()?;
        if self == Sampler::Progressive {
            let (share, total) = (1.0 / weights.len() as f64, weights.iter().sum::<f64>());
            weights.iter_mut().for_each(|weight| *weight = (1.0 - progress) * share + progress * *weight / total);
        }
        Ok(weights)
    }

    /// u of a class with `n` examples.
    fn class_weight(self, n: f64, beta: f64) -> f64 {
        match self {
            Sampler::Uniform => 1.0,
            Sampler::ClassBalanced | Sampler::Progressive => 1.0 / n,
            Sampler::InverseEffective => 1.0 / effective_number(n, beta),
            Sampler::SquareRoot => 1.0 / n.sqrt(),
            Sampler::Reversed => 1.0 / (n * n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes of 16, 4 and 1 examples.
    fn long_tail() -> (ClassCounts, ExampleClasses) {
        let labels = [vec![0; 16], vec![1; 4], vec![2]].concat();
        (ClassCounts::new(vec![16, 4, 1]).unwrap(), ExampleClasses::single(labels))
    }

    /// The probability that a draw is of each class.
    fn class_probabilities(sampler: Sampler, beta: f64, progress: f64) -> [f64; 3] {
        let (counts, examples) = long_tail();
        let weights = sampler.weights(beta, progress, &counts, &examples).unwrap();
        let total: f64 = weights.iter().sum();
        [&weights[..16], &weights[16..20], &weights[20..]].map(|class| class.iter().sum::<f64>() / total)
    }

    #[track_caller]
    fn close(found: [f64; 3], expected: [f64; 3]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} is not {expected:?}");
    }

    #[test]
    fn class_probabilities_by_hand() {
        let third = 1.0 / 3.0;
        close(class_probabilities(Sampler::Uniform, 0.0, 0.0), [16.0 / 21.0, 4.0 / 21.0, 1.0 / 21.0]);
        close(class_probabilities(Sampler::ClassBalanced, 0.0, 0.0), [third; 3]);
        // √16 : √4 : √1
        close(class_probabilities(Sampler::SquareRoot, 0.0, 0.0), [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]);
        // 16/16 : 16/4 : 16/1
        close(class_probabilities(Sampler::Reversed, 0.0, 0.0), [1.0 / 21.0, 4.0 / 21.0, 16.0 / 21.0]);
    }

    #[test]
    fn the_effective_number_leads_from_uniform_to_class_balanced() {
        close(class_probabilities(Sampler::InverseEffective, 0.0, 0.0), [16.0 / 21.0, 4.0 / 21.0, 1.0 / 21.0]);
        // β = ½: E = (1 − 2⁻ⁿ)·2, so that n/E is 8/(1 − 2⁻¹⁶), 2/(1 − 2⁻⁴) and ½/(1 − ½) = 1.
        let class = [8.0 * 65536.0 / 65535.0, 2.0 * 16.0 / 15.0, 1.0];
        let total: f64 = class.iter().sum();
        close(class_probabilities(Sampler::InverseEffective, 0.5, 0.0), class.map(|class| class / total));
        let near_one = class_probabilities(Sampler::InverseEffective, 1.0 - 1e-12, 0.0);
        assert!(near_one.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-6), "{near_one:?}");
    }

    #[test]
    fn progressive_mixes_the_class_probabilities() {
        close(class_probabilities(Sampler::Progressive, 0.0, 0.0), [16.0 / 21.0, 4.0 / 21.0, 1.0 / 21.0]);
        close(class_probabilities(Sampler::Progressive, 0.0, 1.0), [1.0 / 3.0; 3]);
        // A quarter of the way: ¾·16/21 + ¼·⅓ = 55/84, and so on.
        close(class_probabilities(Sampler::Progressive, 0.0, 0.25), [55.0 / 84.0, 19.0 / 84.0, 10.0 / 84.0]);
    }

    #[test]
    fn an_example_with_several_classes_weighs_their_mean() {
        let counts = ClassCounts::new(vec![100, 10, 4]).unwrap();
        let examples = ExampleClasses::from_iter([vec![0], vec![0, 1], vec![1, 2, 2], vec![]]);
        let weights = Sampler::ClassBalanced.weights(0.0, 0.0, &counts, &examples).unwrap();
        let expected = [0.01, (0.01 + 0.1) / 2.0, (0.1 + 0.25 + 0.25) / 3.0, 0.01];
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{weights:?}");
    }

    #[test]
    fn classes_without_examples_and_a_single_class_do_no_harm() {
        // Class 1 has none and is never drawn; the others are as if it were not there.
        let counts = ClassCounts::new(vec![9, 0, 1]).unwrap();
        let examples = ExampleClasses::single([vec![0; 9], vec![2]].concat());
        for progress in [0.5, 1.0] {
            let weights = Sampler::Progressive.weights(0.0, progress, &counts, &examples).unwrap();
            let rare = (1.0 - progress) * 0.1 + progress * 0.5;
            assert!((weights[9] - rare).abs() < 1e-15 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        // The counts may say none where there is one, as when they were taken from other data: it weighs as one.
        let one = Sampler::Reversed.weights(0.0, 0.0, &counts, &ExampleClasses::single(vec![1])).unwrap();
        assert_eq!(one, [1.0]);
        let only = ClassCounts::new(vec![5]).unwrap();
        for sampler in [Sampler::ClassBalanced, Sampler::InverseEffective, Sampler::Progressive, Sampler::Reversed] {
            let weights = sampler.weights(0.9999, 0.3, &only, &ExampleClasses::single(vec![0; 5])).unwrap();
            assert!(weights.iter().all(|weight| *weight == weights[0] && *weight > 0.0), "{sampler:?} {weights:?}");
        }
    }

    #[test]
    fn a_class_out_of_range_is_named() {
        let (counts, _) = long_tail();
        let examples = ExampleClasses::from_iter([vec![0], vec![1, 3]]);
        let error = Sampler::SquareRoot.weights(0.0, 0.0, &counts, &examples).unwrap_err().to_string();
        assert_eq!(error, "example 1: class 3 is out of range, there are counts of 3 classes (0 to 2)");
    }
}
