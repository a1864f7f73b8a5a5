//! One number a class.

use crate::real::PerClassTable;
use crate::{Class, ClassCounts, LossError, Real};

/// One number a class, looked up in whatever precision a formula is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct PerClass(PerClassTable);

impl PerClass {
    /// Wraps `values` `[classes]`.
    pub fn new(values: Vec<f64>) -> Self {
        Self(PerClassTable::new(values))
    }

    /// `value(n_c)` for every class.
    pub fn from_counts(classes: &ClassCounts, value: impl FnMut(f64) -> f64) -> Self {
        Self::new(classes.seen().map(value).collect())
    }

    /// The number of `class`.
    #[inline(always)]
    pub fn of<R: Real>(&self, class: Class<R>) -> R {
        R::lookup(&self.0, class.0)
    }

    /// The numbers in float64, `[classes]`.
    pub fn values(&self) -> &[f64] {
        &self.0.f64
    }

    /// These numbers times `factor`.
    pub fn scaled(&self, factor: f64) -> Self {
        Self::new(self.values().iter().map(|value| value * factor).collect())
    }

    /// Refuses numbers that are not finite, naming the first class that has one.
    pub fn checked(self, what: &str) -> Result<Self, LossError> {
        match self.values().iter().position(|value| !value.is_finite()) {
            Some(class) => Err(LossError::new(format!("{what} of class {class} is {}", self.values()[class]))),
            None => Ok(self),
        }
    }
}
