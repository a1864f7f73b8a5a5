//! Models that answer a dialogue history with a reply.
//!
//! A front-end sees only [`ReplyModel`]: it trains through [`ReplyModel::logits`], whatever the loss, and decodes through
//! [`ReplyModel::start`], whatever the architecture.

mod attention;
mod batch;
mod decoder;
mod embedding;
mod encoder;
mod error;
pub mod gpt2;
mod init;
mod lstm;
mod output;
mod recurrent;

pub use attention::Attention;
pub use batch::Batch;
pub use error::ModelError;
pub use gpt2::{Gpt2Config, Gpt2Model};
pub use lstm::{LstmConfig, LstmModel, SharedEmbeddings};

use tch::Tensor;

/// The ids of the tokens with a role of their own.
///
/// Roles may share an id (GPT-2 has one token for `pad`, `start` and `end`), except that [`LstmModel`] needs a `pad` of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    /// Fills rows of a batch up to its longest; never predicted, never attended to.
    pub pad: u32,
    /// Fed before a reply's first token.
    pub start: u32,
    /// Ends a reply.
    pub end: u32,
    /// Stands for words outside the vocabulary; `None` where every text can be spelt (byte-level BPE).
    pub unknown: Option<u32>,
}

impl Special {
    /// Whether the tokens that models feed by themselves are in a vocabulary of this size.
    fn check(self, origin: &str, vocabulary: usize) -> Result<(), ModelError> {
        if [self.pad, self.start, self.end].into_iter().all(|token| (token as usize) < vocabulary) {
            return Ok(());
        }
        Err(ModelError::Setting {
            origin: origin.into(),
            field: "special",
            found: format!("{self:?}"),
            expected: format!("ids below the vocabulary's size, {vocabulary}"),
        })
    }
}

/// A model of `p(reply | history)`, factored over the tokens of the reply from left to right.
pub trait ReplyModel {
    /// Logits of every target token given the ones before it (teacher forcing), in the order of [`Batch::targets`].
    ///
    /// With `train`, dropout is active and draws from libtorch's global generator.
    ///
    /// # Shapes
    /// - output: `[tokens, vocabulary]`
    ///
    /// # Errors
    /// [`ModelError::ReplyTooLong`] where the architecture bounds the length and a reply exceeds it.
    fn logits(&self, batch: &Batch, train: bool) -> Result<Tensor, ModelError>;

    /// The cosines of features and class vectors that [`ReplyModel::logits`] are the scaled of, for a loss that asks for a
    /// normalised classifier and scales them itself.
    ///
    /// # Shapes
    /// - output: `[tokens, vocabulary]`
    ///
    /// # Errors
    /// [`ModelError::NotNormalised`] for a model without such a classifier.
    fn cosines(&self, _batch: &Batch, _train: bool) -> Result<Tensor, ModelError> {
        Err(ModelError::NotNormalised)
    }

    /// Logits over cosines; `None` for a model without a normalised classifier.
    fn cosine_scale(&self) -> Option<f64> {
        None
    }

    /// Reads the histories of a batch, without dropout, and stands ready to decode one row for each.
    ///
    /// # Errors
    /// [`ModelError::Forward`] when the model cannot be evaluated.
    fn start<'a>(&'a self, histories: &Batch) -> Result<Box<dyn DecoderState + 'a>, ModelError>;

    /// Number of token types, the width of the logits.
    fn vocabulary_len(&self) -> usize;
}

/// The replies that are being decoded, one a row.
pub trait DecoderState {
    /// Feeds the last token of each row (the start token, the first time) and gives a fresh tensor of logits for the next.
    ///
    /// # Shapes
    /// - `last`: i64 `[rows]`
    /// - output: `[rows, vocabulary]`
    ///
    /// # Errors
    /// [`ModelError::Forward`] when the model cannot be evaluated.
    fn step(&mut self, last: &Tensor) -> Result<Tensor, ModelError>;

    /// Makes row `i` continue what row `rows[i]` was: drops finished rows, reorders and repeats beams.
    ///
    /// # Shapes
    /// - `rows`: i64 `[new rows]`
    fn select(&mut self, rows: &Tensor);
}
