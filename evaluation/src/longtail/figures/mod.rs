//! Pictures of classifiers on a long tail, each a [`Figure`](crate::figure::Figure) to write as SVG or PNG; the same bytes
//! each time.

mod class_accuracy;
mod confusion;
mod gap;
mod likelihood;

pub use class_accuracy::class_accuracy_figure;
pub use confusion::confusion_figure;
pub use gap::gap_figure;
pub use likelihood::likelihood_figure;

use crate::plot::{PlotError, check_runs, line_legend};
