//! What can be wrong with a model's settings, weights or input.

use std::path::PathBuf;

use tch::TchError;

/// Why a model could not be built, loaded or evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A setting outside its range.
    #[error("{origin}: {field} is {found}, but should be {expected}")]
    Setting {
        /// Where the setting comes from: the model's name or the file.
        origin: String,
        /// The setting's name.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// An embedding matrix of the wrong size.
    #[error("the embedding matrix has {found} values, but {vocabulary} tokens of width {width} need {}", vocabulary * width)]
    EmbeddingSize {
        /// Number of values given.
        found: usize,
        /// Rows wanted.
        vocabulary: usize,
        /// Columns wanted.
        width: usize,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A configuration that is not the JSON expected; `source` names line and column.
    #[error("{}: {source}", path.display())]
    Json {
        /// The configuration file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A folder without weights.
    #[error("{}: holds neither model.safetensors nor rust_model.ot{}", folder.display(), if *sharded {
        "; it has sharded weights (model.safetensors.index.json), which have to be merged into one file first"
    } else {
        ""
    })]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// Whether it has weights in several files, which are not supported.
        sharded: bool,
    },
    /// Weights that libtorch cannot read or write.
    #[error("{}: not readable as weights: {source}", path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What libtorch says.
        source: TchError,
    },
    /// A parameter of the model that the file lacks.
    #[error("{}: tensor {name} is missing (with or without its prefix \"transformer.\")", path.display())]
    MissingTensor {
        /// The weights file.
        path: PathBuf,
        /// The parameter's name.
        name: String,
    },
    /// A parameter whose shape in the file is not the model's.
    #[error("{}: tensor {name} has shape {found:?}, but the configuration and vocabulary need {expected:?}{hint}", path.display())]
    TensorShape {
        /// The weights file.
        path: PathBuf,
        /// The parameter's name.
        name: String,
        /// Its shape in the file.
        found: Vec<i64>,
        /// Its shape in the model.
        expected: Vec<i64>,
        /// What to do about it; may be empty.
        hint: &'static str,
    },
    /// An output layer that is not the transposed embedding, which this model cannot represent.
    #[error("{}: lm_head.weight differs from {name}; only tied output embeddings are supported", path.display())]
    UntiedHead {
        /// The weights file.
        path: PathBuf,
        /// The embedding's name in the file.
        name: String,
    },
    /// A reply longer than the model has positions for.
    #[error("a reply has {tokens} tokens with its end, but the model has {positions} positions; use shorter replies")]
    ReplyTooLong {
        /// Length of the reply, end token counted.
        tokens: i64,
        /// The model's `n_positions`.
        positions: i64,
    },
    /// Cosines asked of a model whose logits are none.
    #[error(
        "the model has no normalised classifier, so there are no cosines; train it with --normalised-classifier yes"
    )]
    NotNormalised,
    /// A forward pass that failed.
    #[error("the model could not be evaluated: {0}")]
    Forward(String),
}

impl From<TchError> for ModelError {
    fn from(error: TchError) -> Self {
        let text = error.to_string();
        // libtorch's messages go on with stack traces.
        let said = text.lines().next().unwrap_or_default();
        let memory = said.contains("allocate memory") || said.contains("out of memory");
        let hint = if memory {
            "; --history-tokens, --reply-tokens and --batch-size limit what is computed at once"
        } else {
            ""
        };
        Self::Forward(format!("libtorch: {said}{hint}"))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn libtorchs_errors_are_one_line_and_say_what_helps() {
        let said = |error: TchError| ModelError::from(error).to_string();
        let product = said(Tensor::zeros([2], (Kind::Float, Device::Cpu)).f_matmul(&Tensor::new()).unwrap_err());
        assert!(
            product.contains("libtorch: ") && !product.contains('\n') && !product.contains("--history"),
            "{product}"
        );
        let memory = said(Tensor::f_empty([1_i64 << 50], (Kind::Float, Device::Cpu)).unwrap_err());
        assert!(
            memory.ends_with("--history-tokens, --reply-tokens and --batch-size limit what is computed at once"),
            "{memory}"
        );
    }
}
