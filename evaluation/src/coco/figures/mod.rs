//! Pictures of detectors, each a [`Figure`](crate::figure::Figure) to write as SVG or PNG; the same bytes each time.

mod class_precision;
mod group_precision;
mod precision_recall;
mod scores;

pub use class_precision::class_precision_figure;
pub use group_precision::group_precision_figure;
pub use precision_recall::precision_recall_figure;
pub use scores::{SCORE_BINS, ScoreHistograms, scores_figure};
