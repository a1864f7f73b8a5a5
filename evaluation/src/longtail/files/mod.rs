//! The files that scoring takes and that a run leaves for it.

mod csv;
mod error;
mod safetensors;
mod train_counts;

use std::path::Path;

pub use error::{ReadError, WriteError};
pub use safetensors::write_predictions;
pub use train_counts::read_train_counts;

use super::Predictions;

/// Predictions and labels of a set of images, from the formats that the end of the file's name stands for.
///
/// `.safetensors`: a tensor `logits` or `probabilities`, `[images, classes]`, of float32, float64, float16 or bfloat16,
/// and a tensor `labels`, `[images]`, of any integers. Other tensors are ignored.
///
/// `.csv`: an image a line, under a line of headings: `label` and then, for all classes in order, either `z0,z1,…` (logits) or
/// `p0,p1,…` (probabilities).
///
/// ```text
/// label,z0,z1,z2
/// 0,4.1,-0.3,0.2
/// 2,0.0,1.5,1.25
/// ```
///
/// # Errors
/// A file that cannot be read, is empty, of another format or malformed, with the tensor or the line and column; numbers
/// that are no predictions ([`PredictionError`](super::PredictionError)), with their row or line.
pub fn read_predictions(path: &Path) -> Result<Predictions, ReadError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "safetensors" => safetensors::read(path),
        "csv" => csv::read(path),
        _ => Err(ReadError::Extension { path: path.to_owned() }),
    }
}

/// Fails on a file without bytes, and on what is no file.
fn check_not_empty(path: &Path, expected: &'static str) -> Result<(), ReadError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
            Err(ReadError::Empty { path: path.to_owned(), expected })
        }
        Ok(_) => Ok(()),
        Err(source) => Err(ReadError::Io { path: path.to_owned(), source }),
    }
}
