//! RetinaNet (Lin et al., 2017) on COCO-format data, with any loss of the sigmoid head (paper, section 5.1).
//!
//! [`data`] reads annotations, checks them and loads images, [`model`] holds the network with its anchors, losses and
//! detections. [`train()`] puts them together for `toolkit detection`;
//! [`pictures`] and [`browse`](browse()) show what came of it.

mod browse;
pub mod data;
mod detectron;
mod error;
pub mod flags;
mod histogram;
pub mod model;
pub mod pictures;
mod predict;
mod saved;
mod schedule;
mod sets;
mod task;
mod train;

pub use browse::{BrowseRequest, Browsed, DetectionSource, browse};
pub use error::DetectionError;
pub use flags::DetectionFlags;
pub use predict::{EvaluateRequest, Evaluated, FoundObject, Predicted};
pub use saved::{ModelFile, NamedCategory, SavedDetector};
pub use train::{DETECTIONS, Ended, TRAIN_DETECTIONS, TrainedRun, train};

/// The recipes that come with the toolkit, by name.
pub const RECIPES: [(&str, &str); 5] = [
    ("synthetic", include_str!("../recipes/synthetic.toml")),
    ("small", include_str!("../recipes/small.toml")),
    ("retinanet-r50-fpn-1x", include_str!("../recipes/retinanet-r50-fpn-1x.toml")),
    ("paper-table-1", include_str!("../recipes/paper-table-1.toml")),
    ("paper-table-1-released", include_str!("../recipes/paper-table-1-released.toml")),
];
