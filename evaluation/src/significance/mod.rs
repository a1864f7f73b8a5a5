//! How sure a difference between two systems is.
//!
//! All tests here are paired: both systems were scored on the same examples, or trained with the same seeds. Each gives a
//! [`Difference`], of the first system less the second.
//!
//! - [`mcnemar`]: right and wrong on the same examples, exact
//! - [`bootstrap`]: any mean of means over the same examples, such as a mean class accuracy, resampled
//! - [`paired_t_test`]: a score over runs with equal seeds, which alone tells how another training would come out

mod bootstrap;
mod mcnemar;
mod resample;
mod t_test;

#[cfg(test)]
mod reference_tests;

use serde::Serialize;

pub use bootstrap::{Bootstrapped, Examples, bootstrap};
pub use mcnemar::mcnemar;
pub(crate) use resample::{draw, percentile};
pub use t_test::paired_t_test;

/// A difference with how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Score of the first less that of the second.
    pub difference: f64,
    /// Lower end of the 95 % interval.
    pub lower: f64,
    /// Upper end of the 95 % interval.
    pub upper: f64,
    /// Two-sided: how likely at least such a difference is if there is none.
    pub p: f64,
    /// Pairs that the test rests on: examples, or seeds.
    pub pairs: usize,
}

/// Why nothing can be tested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignificanceError {
    /// Numbers that do not pair up.
    #[error("{first} and {second} values do not pair up; each of one system needs its like of the other")]
    Unpaired {
        /// Values of the first.
        first: usize,
        /// Values of the second.
        second: usize,
    },
    /// Too little to test.
    #[error("{pairs} pairs are too few; at least {needed} are needed")]
    TooFew {
        /// Pairs there are.
        pairs: usize,
        /// Pairs needed.
        needed: usize,
    },
    /// A stratum that is none, or one without a weight.
    #[error("example {example} is of stratum {stratum}; there are weights for {strata}")]
    Stratum {
        /// The example, from 0.
        example: usize,
        /// Its stratum.
        stratum: usize,
        /// Strata with weights.
        strata: usize,
    },
    /// A value that is no number.
    #[error("a value is not finite; all must be")]
    NotFinite,
}
