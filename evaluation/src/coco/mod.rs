//! Scores of detected boxes against ground truth in COCO format (paper, Table 1): the 12 numbers of COCO, those of each
//! class and of rare, common and frequent classes, precision-recall curves, types of errors, and how sure a difference
//! between two systems is.
//!
//! Matching and accumulation are the crate hotcoco's, which agrees with pycocotools to the last bit. What pycocotools
//! takes silently for something else is refused here, or named in a [`Warning`].
//!
//! ```
//! use imbalance_evaluation::coco::{Annotation, Category, Detection, GroundTruth, Options, evaluate};
//!
//! // One image with a box; a detection of it whose overlap is 90 %, so that 9 of the 10 thresholds .5, .55, … .95 count it.
//! let annotation =
//!     Annotation { id: 1, image_id: 7, category_id: 3, bbox: [10.0, 10.0, 100.0, 100.0], area: 1e4, iscrowd: false };
//! let truth = GroundTruth::new(&[7], &[annotation], vec![Category::new(3, "dog")])?;
//! let found = Detection { image_id: 7, category_id: 3, bbox: [10.0, 10.0, 100.0, 90.0], score: 0.8 };
//! let summary = evaluate(&truth, &[found], &Options::default())?;
//! assert!((summary.stats.ap50 - 1.0).abs() < 1e-12);
//! assert!((summary.stats.ap - 0.9).abs() < 1e-12);
//! print!("{}", summary.stats);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bootstrap;
mod curves;
mod detection;
mod error;
mod evaluation;
mod figures;
mod files;
mod frequency;
mod ground_truth;
mod lvis;
mod matches;
#[cfg(test)]
mod reference_tests;
mod stats;
mod summary;
mod table;
mod tide;
mod verdicts;
mod warning;

pub use bootstrap::{Bootstrap, BootstrapOptions, Resampled, paired_bootstrap, resampled_precisions};
pub use curves::{ClassCurves, RECALL_POINTS, recall_points};
pub use detection::{Detection, write_detections};
pub use error::CocoError;
pub use evaluation::{ClassScores, Evaluation, MAX_DETECTIONS, Options, Summary, evaluate};
pub use figures::{
    SCORE_BINS, ScoreHistograms, class_precision_figure, group_precision_figure, precision_recall_figure, scores_figure,
};
pub use files::{ReadError, read_detections, read_ground_truth, read_train_images};
pub use frequency::{Frequency, FrequencyGroups, GroupScores, GroupSource, frequency_groups};
pub use ground_truth::{Annotation, Category, GroundTruth};
pub use lvis::{Federation, LvisClass, LvisStats, LvisSummary, evaluate_lvis};
pub use matches::Matches;
pub use stats::Stats;
pub use summary::{StatsSummary, stats_table};
pub use table::{class_table, comparison_table, group_table, lvis_class_table, tide_table};
pub use tide::{Tide, TideError, TideErrorType};
pub use verdicts::{ImageVerdicts, JudgedDetection, JudgedObject, Verdict};
pub use warning::Warning;
