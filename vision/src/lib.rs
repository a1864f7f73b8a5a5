//! Long-tailed image classification (paper, sections 5.2 to 5.4).
//!
//! [`data`] reads image sets and makes them long-tailed, [`augment`] decodes, augments and loads, [`model`] holds the residual
//! networks, [`weights`] loads what others trained. [`train()`] puts them together for `toolkit vision`.

pub mod augment;
pub mod data;
pub mod device_images;
mod error;
pub mod flags;
pub mod method;
pub mod mixing;
pub mod model;
pub mod network;
mod outcome;
pub mod pictures;
mod rebuild;
mod saved;
mod task;
mod train;
pub mod weights;

pub use error::VisionError;
pub use flags::VisionFlags;
pub use method::Method;
pub use outcome::{BestEpoch, ChosenBy, RunResults, TrainedRun};
pub use saved::{Logits, ModelFile, SavedModel, TestImages, TestRequest, test_images};
pub use train::{Ended, train};

/// The recipes that come with the toolkit, by name.
pub const RECIPES: [(&str, &str); 7] = [
    ("synthetic", include_str!("../recipes/synthetic.toml")),
    ("cifar-10-lt", include_str!("../recipes/cifar-10-lt.toml")),
    ("cifar-10-lt-quick", include_str!("../recipes/cifar-10-lt-quick.toml")),
    ("cifar-100-lt", include_str!("../recipes/cifar-100-lt.toml")),
    ("cifar-100-lt-quick", include_str!("../recipes/cifar-100-lt-quick.toml")),
    ("imagenet-lt", include_str!("../recipes/imagenet-lt.toml")),
    ("inaturalist-2018", include_str!("../recipes/inaturalist-2018.toml")),
];
