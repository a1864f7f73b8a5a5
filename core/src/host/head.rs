//! What the fused heads have in common: errors, pointers that threads share, reductions.

use super::{EvalError, Loss};
use crate::Head;

/// Bytes of float32 logits that one task of the thread pool works on: small enough for a core's own cache.
pub(super) const BLOCK_BYTES: usize = 128 * 1024;

/// Why a head could not be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// The logits of a row hold a NaN or an infinity.
    #[error("row {row}: its logits are not all finite (log-odds {log_odds})")]
    NotFinite {
        /// Which row.
        row: usize,
        /// What came of them.
        log_odds: f32,
    },
    /// A class id that the loss does not know.
    #[error("row {row}: target {target} is out of range, there are {classes} classes (0 to {}){others}", classes - 1)]
    Target {
        /// Which row.
        row: usize,
        /// Its target.
        target: i64,
        /// How many classes there are.
        classes: usize,
        /// What other targets mean something, in words; may be empty.
        others: &'static str,
    },
    /// Slices whose lengths do not fit together.
    #[error("{what} has {got} entries, expected {expected}")]
    Shape {
        /// Which slice.
        what: &'static str,
        /// Its length.
        got: usize,
        /// What the others ask for.
        expected: usize,
    },
    /// An example weight that cannot be one.
    #[error("row {row}: its weight is {weight}, it must be finite and at least 0")]
    Weight {
        /// Which row.
        row: usize,
        /// Its weight.
        weight: f32,
    },
    /// There is no example to average over.
    #[error("all {rows} rows are ignored (or weigh nothing): there is nothing to average over")]
    NothingCounted {
        /// How many rows there are.
        rows: usize,
    },
    /// The loss has the defaults and class ids of another head.
    #[error("loss `{id}` was made for a {made} head, this is a {wanted} head")]
    Made {
        /// The loss.
        id: String,
        /// What it was made for.
        made: &'static str,
        /// What it is used on.
        wanted: &'static str,
    },
    /// As many logits a row as the loss's class counts do not allow.
    #[error("{columns} logits a row, but the loss has {classes} class counts; {expected}")]
    Classes {
        /// Logits a row.
        columns: usize,
        /// Class counts.
        classes: usize,
        /// What would be right.
        expected: &'static str,
    },
    /// The loss itself.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl HeadError {
    /// The same error of rows that begin at row `first` of a larger matrix.
    pub fn after(mut self, first: usize) -> Self {
        if let Self::NotFinite { row, .. } | Self::Target { row, .. } | Self::Weight { row, .. } = &mut self {
            *row += first;
        }
        self
    }
}

/// What the losses of the rows become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their sum.
    #[default]
    Sum,
    /// Their sum over the number of rows that are not ignored.
    Mean,
    /// Their sum over the sum of those rows' class weights, as class-weighted cross-entropy has it in common
    /// frameworks; a row's own weight counts too.
    WeightedMean,
}

impl Reduction {
    /// What the sum is divided by.
    ///
    /// # Shapes
    /// - `targets`: `[n]`, checked by the head already; `weights`: `[n]`, if any
    ///
    /// # Errors
    /// [`HeadError::NothingCounted`] where the denominator would be 0.
    pub fn denominator(
        self,
        loss: &Loss,
        targets: &[i64],
        ignored: impl Fn(i64) -> bool,
        weights: Option<&[f32]>,
    ) -> Result<f64, HeadError> {
        let counted = targets.iter().enumerate().filter(|&(_, &target)| !ignored(target));
        // Two counts of a sigmoid head are those of foreground and background, whatever the column.
        let foreground = loss.head() == Head::Sigmoid && loss.classes() == 2;
        let class_weight = |target: i64| match &loss.adjustment().weight {
            Some(weight) if foreground && target >= 0 => weight.first(),
            // A background target (−1) is the last class.
            Some(weight) => usize::try_from(target).map_or(weight.last(), |target| weight.get(target)),
            None => Some(&1.0),
        };
        let sum: f64 = match self {
            Self::Sum => return Ok(1.0),
            Self::Mean => counted.count() as f64,
            Self::WeightedMean => counted
                .map(|(row, &target)| {
                    class_weight(target).copied().unwrap_or(1.0)
                        * weights.and_then(|weights| weights.get(row)).map_or(1.0, |&weight| f64::from(weight))
                })
                .sum(),
        };
        if sum > 0.0 { Ok(sum) } else { Err(HeadError::NothingCounted { rows: targets.len() }) }
    }
}

/// The first number of a matrix that several threads read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared<T>(pub *const T);
// SAFETY: it is read only, or every task of the pool touches the rows of its own block only.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shared<T> {}

/// The first number of a matrix whose rows several threads write, each its own; null where nothing is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exclusive<T>(pub *mut T);
// SAFETY: every task of the pool touches the rows of its own block only.
unsafe impl<T: Send> Send for Exclusive<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// There must be `numbers` numbers.
    pub unsafe fn skip(self, numbers: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.add(numbers) })
    }
}

impl<T> Exclusive<T> {
    /// # Safety
    /// There must be `numbers` numbers, if any.
    pub unsafe fn skip(self, numbers: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(if self.0.is_null() { self.0 } else { unsafe { self.0.add(numbers) } })
    }
}

pub(super) fn check_len(what: &'static str, got: usize, expected: usize) -> Result<(), HeadError> {
    if got == expected { Ok(()) } else { Err(HeadError::Shape { what, got, expected }) }
}

pub(super) fn check_weights(weights: Option<&[f32]>, rows: usize) -> Result<(), HeadError> {
    let Some(weights) = weights else { return Ok(()) };
    check_len("weights", weights.len(), rows)?;
    match weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        Some(row) => Err(HeadError::Weight { row, weight: weights[row] }),
        None => Ok(()),
    }
}

pub(super) fn check_head(loss: &Loss, wanted: Head) -> Result<(), HeadError> {
    if loss.head() == wanted {
        return Ok(());
    }
    let name = |head| if head == Head::Softmax { "softmax" } else { "sigmoid" };
    Err(HeadError::Made { id: loss.id().into(), made: name(loss.head()), wanted: name(wanted) })
}
