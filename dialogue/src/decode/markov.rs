//! A model small enough to be searched exhaustively.

use tch::{Device, Kind, Tensor};

use crate::model::{Batch, DecoderState, ModelError, ReplyModel};

/// Logits of a token given the one before it and the first one of the history.
pub(super) struct Markov {
    /// `[vocabulary, vocabulary]`, rows by the token before.
    pub(super) transitions: Tensor,
    /// `[vocabulary, vocabulary]`, rows by the history's first token.
    pub(super) histories: Tensor,
}

impl Markov {
    /// Random logits of the given spread.
    pub(super) fn random(vocabulary: i64, spread: f64, seed: i64) -> Self {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed as u64);
        let mut table = || {
            let values: Vec<f32> =
                (0..vocabulary * vocabulary).map(|_| spread as f32 * rng.random_range(-1.0f32..1.0)).collect();
            Tensor::from_slice(&values).view([vocabulary, vocabulary])
        };
        Self { transitions: table(), histories: table() }
    }

    /// `log p` of every token after `last`, in float64.
    pub(super) fn log_probabilities(&self, history: u32, last: u32) -> Vec<f64> {
        let row =
            |table: &Tensor, row: u32| Vec::<f64>::try_from(table.get(i64::from(row)).to_kind(Kind::Double)).unwrap();
        let logits: Vec<f64> =
            row(&self.transitions, last).iter().zip(row(&self.histories, history)).map(|(a, b)| a + b).collect();
        let normaliser = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        logits.iter().map(|logit| logit - normaliser).collect()
    }
}

impl ReplyModel for Markov {
    fn logits(&self, batch: &Batch, _train: bool) -> Result<Tensor, ModelError> {
        Err(ModelError::Forward(format!("not needed for {} rows", batch.len())))
    }

    fn start<'a>(&'a self, histories: &Batch) -> Result<Box<dyn DecoderState + 'a>, ModelError> {
        Ok(Box::new(MarkovState { model: self, history: histories.history.select(1, 0) }))
    }

    fn vocabulary_len(&self) -> usize {
        self.transitions.size()[0] as usize
    }
}

struct MarkovState<'a> {
    model: &'a Markov,
    history: Tensor,
}

impl DecoderState for MarkovState<'_> {
    fn step(&mut self, last: &Tensor) -> Result<Tensor, ModelError> {
        assert_eq!(last.device(), Device::Cpu);
        Ok(self.model.transitions.index_select(0, last) + self.model.histories.index_select(0, &self.history))
    }

    fn select(&mut self, rows: &Tensor) {
        self.history = self.history.index_select(0, rows);
    }
}
