//! Evaluators of the imbalance toolkit: metrics, tables and pictures, computed without a tensor library.
//!
//! [`dialogue`] scores generated replies against references (paper, section 5.1 and Table 4), [`longtail`]
//! classifiers of images whose classes are of very different sizes (sections 5.1 and 5.2), [`coco`] detections of objects
//! (Table 1); [`figure`] draws, [`plot`] has what the pictures of several tasks share,
//! [`report`] lists runs and compares them on a page, [`significance`] tells how sure a difference is.

mod align;
pub mod coco;
pub mod dialogue;
pub mod figure;
pub mod longtail;
pub mod page;
pub mod plot;
pub mod report;
pub mod significance;
mod spread;

pub use spread::Spread;
