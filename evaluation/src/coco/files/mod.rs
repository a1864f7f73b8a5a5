//! The files that scoring takes: ground truth, detections, training images of the categories.

mod detections;
mod error;
mod fields;
mod ground_truth;
mod json;
mod not_finite;
mod train_images;

pub use detections::read_detections;
pub use error::ReadError;
pub(super) use fields::id;
pub use ground_truth::read_ground_truth;
pub use train_images::read_train_images;
