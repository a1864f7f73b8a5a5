//! Scores of classifiers trained on a long tail: accuracy of all classes and of those with many, medium and few training
//! images, accuracy on the training distribution, calibration, likelihood, and their pictures (paper, sections 5.1
//! and 5.2, Figures 4 to 6).
//!
//! ```
//! use imbalance_evaluation::longtail::{Groups, Predictions, score, summarise, table};
//!
//! // Three images of two classes, of which the first has 300 training images and the second 10.
//! let predictions = Predictions::from_logits(2, vec![2.0, 0.0, 1.0, 0.0, 0.0, 1.0], vec![0, 1, 1])?;
//! let scores = score(&predictions, &[300, 10], &Groups::default())?;
//! assert_eq!((scores.many, scores.few), (Some(100.0), Some(50.0)));
//! // (300·100 + 10·50) / 310.
//! assert!((scores.natural.unwrap_or_default() - 98.39).abs() < 0.01);
//! print!("{}", table(&[("ours".to_owned(), summarise(&[scores]).ok_or("no runs")?)]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod by_group;
mod calibration;
mod confusion;
mod figures;
mod files;
mod gap;
mod groups;
mod likelihood;
mod predictions;
#[cfg(test)]
mod reference_tests;
mod score;
mod scores;
mod summary;
mod table;

pub use by_group::ByGroup;
pub use calibration::CALIBRATION_BINS;
pub use confusion::ConfusionMatrix;
pub use figures::{class_accuracy_figure, confusion_figure, gap_figure, likelihood_figure};
pub use files::{ReadError, WriteError, read_predictions, read_train_counts, write_predictions};
pub use gap::{Gap, GeneralisationGap, generalisation_gap};
pub use groups::{Group, GroupError, Groups};
pub use likelihood::{LIKELIHOOD_BINS, LikelihoodHistograms, likelihood_histograms};
pub use predictions::{PredictionError, Predictions, SUM_TOLERANCE};
pub use score::{ScoreError, score};
pub use scores::{ClassScores, GroupSize, LongTailScores};
pub use summary::{Summary, summarise};
pub use table::{class_table, group_table, table};
