//! Dialogue response generation under imbalanced word distributions: each word type is a class
//! (paper, section 5.1).
//!
//! [`train`] runs the whole of a training, [`SavedRun`] takes up what it left.

pub mod data;
mod dataset;
pub mod decode;
mod error;
mod evaluate;
mod flags;
pub mod glove;
pub mod model;
mod reply;
mod saved;
mod task;
mod train;
pub mod vocabulary;

pub use dataset::Examples;
pub use error::DialogueError;
pub use evaluate::Evaluation;
pub use flags::{DataFlags, DialogueFlags, ModelFlags};
pub use reply::{answer, generate, one_line, reply};
pub use saved::{AnyModel, DataSource, ModelSpec, SavedRun};
pub use train::{Ended, TrainedRun, train};

/// Recipes that come with the toolkit: name and TOML.
pub const RECIPES: [(&str, &str); 3] = [
    ("paper", include_str!("../recipes/paper.toml")),
    ("quick", include_str!("../recipes/quick.toml")),
    ("small", include_str!("../recipes/small.toml")),
];
