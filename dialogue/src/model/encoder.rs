//! The encoder of the LSTM model.

use imbalance_train::transfer::sent_slice;
use tch::{Kind, Tensor, nn};

use super::embedding::Embedding;
use super::init::Initializer;
use super::lstm::LstmConfig;
use super::recurrent::{Lstm, State};
use super::{Batch, ModelError};

/// What the decoder may attend to.
#[derive(Debug)]
pub(super) struct Memory {
    /// The encoder's outputs, `[batch, source, hidden]`.
    pub(super) states: Tensor,
    /// Bool `[batch, source]`, true after the end of a row.
    pub(super) padding: Tensor,
}

impl Memory {
    /// Row `i` becomes what row `rows[i]` was.
    pub(super) fn select(&self, rows: &Tensor) -> Self {
        Self { states: self.states.index_select(0, rows), padding: self.padding.index_select(0, rows) }
    }
}

/// Reads a history.
#[derive(Debug)]
pub(super) struct Encoder {
    embedding: Embedding,
    lstm: Lstm,
    dropout: f64,
}

impl Encoder {
    pub(super) fn new(path: &nn::Path, init: &mut Initializer, config: &LstmConfig, embedding: Embedding) -> Self {
        let lstm = Lstm::new(&(path / "lstm"), init, config.layers, config.embedding, config.hidden, config.dropout);
        Self { embedding, lstm, dropout: config.dropout }
    }

    /// The outputs at every token, and the state of each layer after the last token of each row.
    ///
    /// # Errors
    /// As [`Lstm::forward_to_lengths`].
    pub(super) fn forward(&self, batch: &Batch, train: bool) -> Result<(Memory, State), ModelError> {
        // Time first: the layout in which the fused kernel needs no copy.
        let inputs = self.embedding.forward(&batch.history.tr()).dropout(self.dropout, train);
        let (outputs, state) = self.lstm.forward_to_lengths(&inputs, &batch.history_lengths, train)?;
        let lengths = sent_slice(&batch.history_lengths, inputs.device());
        let positions = Tensor::arange(inputs.size()[0], (Kind::Int64, inputs.device()));
        let padding = positions.unsqueeze(0).ge_tensor(&lengths.unsqueeze(1));
        Ok((Memory { states: outputs.transpose(0, 1), padding }, state))
    }
}
