//! What the pictures of several tasks share: curves of a training, values of classes against their frequency, bars.

mod bars;
mod by_frequency;
mod curves;
mod metrics;
mod range;

pub use curves::{Curve, CurvePanel, curves_figure};

pub(crate) use bars::{Bars, bars_figure};
pub(crate) use by_frequency::{ByFrequency, ClassPoints, by_frequency_figure};
pub(crate) use range::{log_ticks, round_range};

use crate::figure::{Key, Stroke};

/// Why there is nothing to draw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    /// No runs.
    #[error("the {figure} picture needs at least one run")]
    NoRuns {
        /// The picture.
        figure: &'static str,
    },
    /// A run has no value that can be shown.
    #[error("the {figure} picture cannot show {name:?}: it has no {lacks}")]
    EmptyRun {
        /// The picture.
        figure: &'static str,
        /// The run.
        name: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// Names of other classes than there are.
    #[error("{names} class names for {classes} classes; each class needs one, or give none")]
    Names {
        /// Number of names.
        names: usize,
        /// Number of classes.
        classes: usize,
    },
}

pub(crate) fn check_runs<T>(figure: &'static str, runs: &[T]) -> Result<(), PlotError> {
    if runs.is_empty() { Err(PlotError::NoRuns { figure }) } else { Ok(()) }
}

/// A legend of lines, one for each run.
pub(crate) fn line_legend<'a>(names: impl Iterator<Item = &'a String>) -> Vec<Key> {
    names.enumerate().map(|(at, name)| Key { text: name.clone(), stroke: Stroke::of(at) }).collect()
}

/// A name that is longer than `most` letters, cut.
pub(crate) fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most { name.to_owned() } else { name.chars().take(most - 1).chain(['…']).collect() }
}
