//! The decoder of the LSTM model.

use tch::{Tensor, nn};

use super::attention::GlobalAttention;
use super::embedding::Embedding;
use super::encoder::Memory;
use super::init::Initializer;
use super::lstm::LstmConfig;
use super::output::OutputLayer;
use super::recurrent::{Lstm, State};
use super::{Batch, DecoderState, ModelError};

/// Writes a reply.
#[derive(Debug)]
pub(super) struct Decoder {
    embedding: Embedding,
    lstm: Lstm,
    attention: Option<GlobalAttention>,
    output: OutputLayer,
    dropout: f64,
    start: i64,
}

impl Decoder {
    pub(super) fn new(
        path: &nn::Path,
        init: &mut Initializer,
        config: &LstmConfig,
        embedding: Embedding,
        output: OutputLayer,
        start: u32,
    ) -> Self {
        Self {
            lstm: Lstm::new(&(path / "lstm"), init, config.layers, config.embedding, config.hidden, config.dropout),
            attention: GlobalAttention::new(&(path / "attention"), init, config.attention, config.hidden),
            embedding,
            output,
            dropout: config.dropout,
            start: i64::from(start),
        }
    }

    /// Logits of every target token, `[tokens, vocabulary]`, each row fed its own tokens one step late.
    ///
    /// # Errors
    /// As [`Lstm::forward`].
    pub(super) fn teacher_forced(
        &self,
        batch: &Batch,
        memory: &Memory,
        state: &State,
        train: bool,
    ) -> Result<Tensor, ModelError> {
        Ok(self.output.forward(&self.features(batch, memory, state, train)?))
    }

    /// The cosines that those logits are the scaled of.
    ///
    /// # Errors
    /// As [`Lstm::forward`], and [`ModelError::NotNormalised`] where the classifier is not normalised.
    pub(super) fn teacher_forced_cosines(
        &self,
        batch: &Batch,
        memory: &Memory,
        state: &State,
        train: bool,
    ) -> Result<Tensor, ModelError> {
        self.output.cosines(&self.features(batch, memory, state, train)?).ok_or(ModelError::NotNormalised)
    }

    /// What the output layer sees of every target token, `[tokens, hidden]`.
    fn features(&self, batch: &Batch, memory: &Memory, state: &State, train: bool) -> Result<Tensor, ModelError> {
        let (rows, steps) = batch.reply.size2().unwrap_or((0, 0));
        let start = Tensor::full([rows, 1], self.start, (batch.reply.kind(), batch.reply.device()));
        let fed = Tensor::cat(&[start, batch.reply.narrow(1, 0, steps - 1)], 1);
        let inputs = self.embedding.forward(&fed.tr()).dropout(self.dropout, train);
        let states = self.lstm.forward(&inputs, state, train)?.transpose(0, 1);

        // Padding leaves before the widest layers; the scores alone are computed for it.
        let positions = batch.target_positions(|row, column| row * steps + column);
        let tokens = |tensor: &Tensor| tensor.reshape([rows * steps, -1]).index_select(0, &positions);
        let combined = match &self.attention {
            Some(attention) => attention.combine(&tokens(&attention.context(&states, memory)?), &tokens(&states)),
            None => tokens(&states),
        };
        Ok(combined.dropout(self.dropout, train))
    }
}

/// The replies that the LSTM model is decoding.
pub(super) struct Decoding<'a> {
    decoder: &'a Decoder,
    state: State,
    memory: Memory,
    /// The example that each row's memory belongs to, i64 `[rows]`.
    examples: Tensor,
}

impl<'a> Decoding<'a> {
    pub(super) fn new(decoder: &'a Decoder, memory: Memory, state: State) -> Self {
        // Contiguous once, here, and not in every product.
        let memory = Memory { states: memory.states.contiguous(), ..memory };
        let examples = Tensor::arange(memory.padding.size()[0], (tch::Kind::Int64, memory.padding.device()));
        Self { decoder, state, memory, examples }
    }
}

impl DecoderState for Decoding<'_> {
    fn step(&mut self, last: &Tensor) -> Result<Tensor, ModelError> {
        tch::no_grad(|| {
            let states = self.decoder.lstm.step(&self.decoder.embedding.forward(last), &mut self.state)?;
            let combined = match &self.decoder.attention {
                Some(attention) => {
                    let context = attention.context(&states.unsqueeze(1), &self.memory)?.squeeze_dim(1);
                    attention.combine(&context, &states)
                }
                None => states,
            };
            Ok(self.decoder.output.forward(&combined))
        })
    }

    fn select(&mut self, rows: &Tensor) {
        tch::no_grad(|| {
            self.state = self.state.select(rows);
            let examples = self.examples.index_select(0, rows);
            // Beams mostly change places within their example, which leaves the memory, the largest tensor here, as it is.
            if examples.size() != self.examples.size() || !examples.equal(&self.examples) {
                self.memory = self.memory.select(rows);
                self.examples = examples;
            }
        });
    }
}
