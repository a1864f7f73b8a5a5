//! What can go wrong in a dialogue run.

use std::path::PathBuf;

use imbalance_train::TrainError;

/// Why a dialogue run could not start, go on or be used.
#[derive(Debug, thiserror::Error)]
pub enum DialogueError {
    /// The data.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// The vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] crate::vocabulary::VocabularyError),
    /// The word vectors.
    #[error(transparent)]
    Glove(#[from] crate::glove::GloveError),
    /// The model.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// Decoding.
    #[error(transparent)]
    Decode(#[from] crate::decode::DecodeError),
    /// The loss.
    #[error(transparent)]
    Loss(#[from] imbalance_core::LossError),
    /// The training loop or the run folder.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Scoring.
    #[error(transparent)]
    Score(#[from] imbalance_evaluation::dialogue::ScoreError),
    /// The loss on a batch.
    #[error(transparent)]
    Head(#[from] imbalance_train::heads::LossHeadError),
    /// A file of the run folder.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// Flags that do not fit together.
    #[error("{0}")]
    Usage(String),
}

impl DialogueError {
    /// 2 for wrong usage, 1 for a run that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Decode(crate::decode::DecodeError::Option { .. }) => 2,
            Self::Train(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// For `map_err`: names the file that an operation failed on.
    pub(crate) fn on<E: std::fmt::Display>(path: &std::path::Path, doing: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::File { path: path.to_owned(), reason: format!("cannot {doing}: {error}") }
    }
}

impl From<imbalance_train::RunError> for DialogueError {
    fn from(error: imbalance_train::RunError) -> Self {
        Self::Train(error.into())
    }
}

impl From<imbalance_train::CheckpointError> for DialogueError {
    fn from(error: imbalance_train::CheckpointError) -> Self {
        Self::Train(error.into())
    }
}
