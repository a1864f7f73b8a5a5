//! The training runtime of the imbalance toolkit: one loop on libtorch for every task.
//!
//! A task implements [`task::Task`]; [`trainer::fit`] trains it in a [`run_folder::RunFolder`], with
//! the settings that [`flags::TrainFlags`] took from the command line.

pub mod atomic_file;
pub mod batch_norm;
pub mod checkpoint;
pub mod clipping;
pub mod config;
pub mod early_stopping;
pub mod error;
pub mod exact;
pub mod example_classes;
pub mod flags;
mod fused_sgd;
pub mod heads;
pub mod initial_values;
pub mod interrupt;
pub mod losses;
pub mod manifest;
pub mod memory;
pub mod metrics;
pub mod normalised_classifier;
pub mod order;
mod parallel;
pub mod plateau;
pub mod post_hoc;
pub mod precision;
pub mod progress;
pub mod run_folder;
pub mod sampler;
pub mod sampling;
pub mod schedule;
pub mod seeding;
mod settings;
pub mod sgd;
pub mod state;
pub mod task;
pub mod tensorboard;
pub mod threads;
pub mod trainer;

pub use atomic_file::write_atomically;
pub use batch_norm::{BatchNorm, BatchNormError};
pub use checkpoint::CheckpointError;
pub use config::TrainConfig;
pub use error::TrainError;
pub use example_classes::ExampleClasses;
pub use flags::TrainFlags;
pub use initial_values::InitialValues;
pub use interrupt::Interrupt;
pub use losses::Losses;
pub use manifest::Manifest;
pub use manifest::PluginRecord;
pub use normalised_classifier::NormalisedClassifier;
pub use order::order_rng;
pub use post_hoc::post_hoc_bias;
pub use precision::{Autocast, Precision};
pub use run_folder::RunError;
pub use run_folder::{RunFolder, RunMode, RunRequest};
pub use sampler::{Sampler, SamplerError};
pub use sampling::{Sampling, SamplingPlan};
pub use seeding::{Stream, derive};
pub use task::{BatchLoss, Goal, LossPhase, Step, Task};
pub use threads::set_threads;
pub use trainer::{Outcome, Summary, fit};
