//! Pictures of classifiers on a long tail, each a [`Figure`](crate::figure::Figure) to write as SVG or PNG; the same bytes
//! each time.

mod class_accuracy;
mod confusion;
mod curves;
mod gap;
mod likelihood;
mod range;

pub use class_accuracy::class_accuracy_figure;
pub use confusion::confusion_figure;
pub use curves::{Curve, CurvePanel, curves_figure};
pub use gap::gap_figure;
pub use likelihood::likelihood_figure;

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

fn check_runs<T>(figure: &'static str, runs: &[T]) -> Result<(), PlotError> {
    if runs.is_empty() { Err(PlotError::NoRuns { figure }) } else { Ok(()) }
}

/// A legend of lines, one for each run.
fn line_legend<'a>(names: impl Iterator<Item = &'a String>) -> Vec<Key> {
    names.enumerate().map(|(at, name)| Key { text: name.clone(), stroke: Stroke::of(at) }).collect()
}
