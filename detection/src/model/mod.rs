//! RetinaNet with a feature pyramid (Lin et al., 2017, "Focal Loss for Dense Object Detection"): anchors, matching, box
//! coding, the network, its losses and its detections.
//!
//! Parameters have torchvision's names (`backbone.body.…`, `backbone.fpn.…`, `head.…`). Every step can be set to
//! torchvision's or Detectron2's rules where the two differ.

mod anchors;
mod boxes;
mod coder;
mod config;
mod conv;
mod detect;
mod error;
mod head;
mod loss;
mod matcher;
mod network;
mod nms;
mod pyramid;

pub use anchors::{AnchorConfig, AnchorRule, AnchorShape, Anchors, Level};
pub use boxes::{Boxes, area, clip, intersection_over_union};
pub use coder::{MAX_LOG_SCALE, decode, encode};
pub use config::{BackboneWeights, P6From, RetinaNetConfig};
pub use detect::{DetectOptions, Detection, detect};
pub use error::ModelError;
pub use head::HeadOutput;
pub use loss::{BoxLoss, ClassView, ImageTargets, Normaliser, NormaliserState, RetinaLoss, Targets};
pub use matcher::{BACKGROUND, IGNORED, MatchOptions, Matches, match_anchors};
pub use network::RetinaNet;
pub use nms::non_maximum_suppression;
