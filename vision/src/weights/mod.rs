//! Weights that others trained, or that a run exports: what a file holds, and how it goes into a model.
//!
//! [`load_weights`] reads safetensors and what `torch.save` writes (`.pth`, `.pt`, `.bin`; since PyTorch 1.6 or before), whatever the
//! file is called, and says what matched. Pickles are read by an interpreter that makes values and never calls anything, so
//! a file from a stranger can do no more than fail to load.

mod error;
mod exported;
mod hash;
mod load;
mod pickle;
mod pth;
mod read;
mod report;
mod storage;

pub use error::WeightsError;
pub use exported::{read_metadata, save_model};
pub(crate) use hash::sha256;
pub use load::{ClassifierWeights, LoadOptions, Translate, load_weights};
pub use read::read_weights;
pub use report::{LoadReport, OtherShape};
