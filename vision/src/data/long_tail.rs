//! How many images of each class a long-tailed data set has.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The shape of the tail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// From class to class fewer by the same factor (Cui et al. 2019, section 4.1).
    #[default]
    Exponential,
    /// The first half of the classes has the most, the others the fewest (Buda et al. 2018).
    Step,
}

/// Why a data set cannot be made long-tailed as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LongTailError {
    /// A ratio that is none.
    #[error("an imbalance ratio of {ratio}; it is the largest class over the smallest and must be at least 1")]
    Ratio {
        /// What was asked for.
        ratio: f64,
    },
    /// The smallest class would have no images.
    #[error(
        "an imbalance ratio of {ratio} leaves no image of class {class} when the largest class has {n_max}; the ratio can be at most {largest}"
    )]
    EmptyTail {
        /// What was asked for.
        ratio: f64,
        /// Images in the largest class.
        n_max: usize,
        /// The first class without images.
        class: usize,
        /// The largest ratio, in hundredths, that leaves images of every class.
        largest: f64,
    },
    /// A class has fewer images than it should be given.
    #[error("an imbalance ratio of {ratio} needs {needed} images of class {class} ({name}), which has {available}; {}", advice(*.smallest_ratio, *.largest_n_max))]
    TooFew {
        /// What was asked for.
        ratio: f64,
        /// The first class with too few.
        class: usize,
        /// Its name.
        name: String,
        /// How many of its images are needed.
        needed: usize,
        /// How many it has.
        available: usize,
        /// The smallest whole ratio that the data can give with this number of images in the largest class, if any.
        smallest_ratio: Option<usize>,
        /// The most images in the largest class with which the data can give this ratio, if any.
        largest_n_max: Option<usize>,
    },
}

fn advice(smallest_ratio: Option<usize>, largest_n_max: Option<usize>) -> String {
    let largest = |n_max| format!("with at most {n_max} images in the largest class this ratio can be had");
    match (smallest_ratio, largest_n_max) {
        (Some(ratio), Some(n_max)) => {
            format!("the smallest whole ratio that this data can give is {ratio}; {}", largest(n_max))
        }
        (Some(ratio), None) => format!("the smallest whole ratio that this data can give is {ratio}"),
        (None, Some(n_max)) => largest(n_max),
        (None, None) => "this data can give no such tail".to_owned(),
    }
}

/// Images of each class, the largest class first:
///
/// ```text
/// exponential   n_i = ⌊n_max · (1/ratio)^(i/(C−1))⌋
/// step          n_i = n_max for i < ⌊C/2⌋, ⌊n_max · (1/ratio)⌋ for the others
/// ```
///
/// (paper, section 5.2; Cui et al. 2019). In float64 and in this order of operations, so that the rounding down falls as
/// it does in the published subsets.
///
/// # Errors
/// [`LongTailError::Ratio`], and [`LongTailError::EmptyTail`] where the ratio is above `n_max`, or equal to one of those n_max
/// for which n_max · (1/n_max) is below 1, such as 49.
pub fn class_counts(n_max: usize, classes: usize, ratio: f64, profile: Profile) -> Result<Vec<usize>, LongTailError> {
    if !(ratio >= 1.0 && ratio.is_finite()) {
        return Err(LongTailError::Ratio { ratio });
    }
    let counts = rounded(n_max, classes, ratio, profile);
    match counts.iter().position(|&count| count == 0) {
        Some(class) => {
            let whole = n_max as f64;
            let largest = if rounded(n_max, classes, whole, profile).contains(&0) {
                (100.0 * whole - 1.0) / 100.0
            } else {
                whole
            };
            Err(LongTailError::EmptyTail { ratio, n_max, class, largest })
        }
        None => Ok(counts),
    }
}

fn rounded(n_max: usize, classes: usize, ratio: f64, profile: Profile) -> Vec<usize> {
    let factor = 1.0 / ratio;
    let largest = n_max as f64;
    let count = |class: usize| match profile {
        Profile::Exponential if classes > 1 => (largest * factor.powf(class as f64 / (classes as f64 - 1.0))) as usize,
        Profile::Step if class >= classes / 2 && classes > 1 => (largest * factor) as usize,
        _ => n_max,
    };
    (0..classes).map(count).collect()
}

/// Checks that each class has as many images as it should be given.
///
/// # Errors
/// [`LongTailError::TooFew`], naming the first class that has not.
pub(super) fn check_available(
    counts: &[usize],
    available: &[usize],
    names: &[String],
    ratio: f64,
    profile: Profile,
) -> Result<(), LongTailError> {
    let fits = |counts: &[usize]| counts.iter().zip(available).all(|(needed, available)| needed <= available);
    let Some(class) = counts.iter().zip(available).position(|(needed, available)| needed > available) else {
        return Ok(());
    };
    let classes = counts.len();
    let n_max = counts.first().copied().unwrap_or_default();
    let possible = |n_max, ratio| class_counts(n_max, classes, ratio, profile).is_ok_and(|counts| fits(&counts));
    // Both are monotonic: a higher ratio or a smaller largest class never needs more of any class.
    let first_ratio = partition_point(1, n_max, |ratio| possible(n_max, ratio as f64));
    let too_large = partition_point(1, n_max, |n_max| {
        class_counts(n_max, classes, ratio, profile).is_ok_and(|counts| !fits(&counts))
    });
    let largest_n_max = too_large.map_or(n_max, |n_max| n_max - 1);
    Err(LongTailError::TooFew {
        ratio,
        class,
        name: names.get(class).cloned().unwrap_or_default(),
        needed: counts[class],
        available: available[class],
        smallest_ratio: first_ratio,
        largest_n_max: possible(largest_n_max, ratio).then_some(largest_n_max),
    })
}

/// The first of `low..=high` for which `is` holds, where it holds for all that follow one.
fn partition_point(low: usize, high: usize, is: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut low, mut end) = (low, high + 1);
    while low < end {
        let middle = low + (end - low) / 2;
        if is(middle) {
            end = middle;
        } else {
            low = middle + 1;
        }
    }
    (low <= high).then_some(low)
}
