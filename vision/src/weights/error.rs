//! What can be wrong with a file of weights.

use std::path::PathBuf;

use tch::Kind;

/// Why weights could not be read, loaded or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of another format.
    #[error(
        "{}: is {found}, but should be safetensors or a state dict saved by torch.save(model.state_dict(), …)",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: String,
    },
    /// A file that ends early or contradicts itself.
    #[error("{}: damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor of a sort that is not read.
    #[error("{}: `{name}` is {found}, but should be a dense tensor of numbers", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What it is.
        found: String,
    },
    /// No name in common.
    #[error(
        "{}: weights of another model: none of its {count} tensors ({examples}) has a name of this model, as `{expected}`",
        path.display()
    )]
    NothingMatches {
        /// The file.
        path: PathBuf,
        /// How many tensors it holds.
        count: usize,
        /// The first few of their names.
        examples: String,
        /// The model's first parameter.
        expected: String,
    },
    /// A parameter of the model that the file lacks.
    #[error("{}: weights of another model: it has no `{name}`, which this model has", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
    },
    /// A parameter whose shape in the file is not the model's.
    #[error("{}: weights of another model: `{name}` is {found:?} there and {expected:?} in this model{}", path.display(), hint)]
    Shape {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// Its shape in the file.
        found: Vec<i64>,
        /// Its shape in the model.
        expected: Vec<i64>,
        /// What to do about it; may be empty.
        hint: &'static str,
    },
    /// A tensor of the file that the model has no place for.
    #[error("{}: weights of another model: it has `{name}`, which this model has not", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// Values that are no weights.
    #[error("{}: `{name}` holds {kind:?} values, but weights should be floating-point numbers", path.display())]
    Kind {
        /// The file, or the one to write.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// The type of its values.
        kind: Kind,
    },
    /// What libtorch refused.
    #[error("{}: libtorch: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// What libtorch says.
        source: tch::TchError,
    },
}
