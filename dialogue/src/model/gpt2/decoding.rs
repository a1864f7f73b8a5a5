//! Decoding with GPT-2's cache of keys and values.

use tch::{Kind, Tensor};

use super::Gpt2Model;
use crate::model::{Batch, DecoderState, ModelError};

/// The sequences that GPT-2 is continuing, padded at their left so that all of them grow at the same column.
pub(super) struct Decoding<'a> {
    model: &'a Gpt2Model,
    /// What was fed, i64 `[rows, columns]`.
    tokens: Tensor,
    /// 1 for tokens and 0 for padding, i64 `[rows, columns]`.
    mask: Tensor,
    /// Keys and values of every layer, `[2, rows, heads, columns, head width]`; absent before the first step, and
    /// within a step that moves the window.
    cache: Option<Vec<Tensor>>,
}

impl<'a> Decoding<'a> {
    pub(super) fn new(model: &'a Gpt2Model, batch: &Batch) -> Self {
        let source = batch.history.size()[1];
        let width = (source + 1).min(model.config.n_positions);
        let (mut columns, mut mask) = (Vec::new(), Vec::new());
        for (&length, row) in batch.history_lengths.iter().zip(0..) {
            // The last `width` tokens of `history, end`; the column `source` holds the end.
            let first = length + 1 - width;
            columns.extend((first..length).map(|column| row * (source + 1) + column.max(0)));
            columns.push(row * (source + 1) + source);
            mask.extend((first..=length).map(|column| i64::from(column >= 0)));
        }
        let (rows, device) = (batch.len() as i64, batch.history.device());
        let separator = Tensor::full([rows, 1], model.end, (Kind::Int64, device));
        let everything = Tensor::cat(&[&batch.history, &separator], 1).flatten(0, 1);
        let matrix = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        Self {
            model,
            tokens: everything.index_select(0, &matrix(&columns)).view([rows, width]),
            mask: matrix(&mask).view([rows, width]),
            cache: None,
        }
    }

    /// Drops the oldest quarter of each row that fills all positions. Positions move, so the next step reads everything anew.
    fn make_room(&mut self) {
        let (columns, positions) = (self.tokens.size()[1], self.model.config.n_positions);
        if columns < positions {
            return;
        }
        let kept = positions * 3 / 4;
        let full = self.mask.sum_dim_intlist([1i64].as_slice(), true, Kind::Int64).ge(positions);
        let old = Tensor::arange(columns, (Kind::Int64, self.mask.device())).lt(columns - kept).unsqueeze(0);
        self.mask = self.mask.masked_fill(&full.logical_and(&old), 0);
        let longest = self.mask.sum_dim_intlist([1i64].as_slice(), false, Kind::Int64).max().int64_value(&[]);
        self.tokens = self.tokens.narrow(1, columns - longest, longest);
        self.mask = self.mask.narrow(1, columns - longest, longest);
        self.cache = None;
    }

    /// Feeds what the cache has not seen yet, and gives the last state of each row.
    fn forward(&mut self) -> Result<Tensor, ModelError> {
        let columns = self.tokens.size()[1];
        let seen = self.cache.as_ref().map_or(0, |_| columns - 1);
        let positions = (self.mask.cumsum(1, Kind::Int64) - 1).clamp_min(0);
        let fresh = |tensor: &Tensor| tensor.narrow(1, seen, columns - seen);
        let output = self.model.transformer.forward_t(
            Some(&fresh(&self.tokens)),
            self.cache.as_ref(),
            Some(&self.mask),
            None,
            Some(&fresh(&positions)),
            None,
            false,
        );
        let output = output.map_err(|error| ModelError::Forward(error.to_string()))?;
        self.cache = output.cache;
        Ok(output.output.select(1, -1))
    }
}

impl DecoderState for Decoding<'_> {
    fn step(&mut self, last: &Tensor) -> Result<Tensor, ModelError> {
        tch::no_grad(|| {
            // The first token to be fed is the separator, which ends the history already, and not the start token.
            if self.cache.is_some() {
                self.make_room();
                self.tokens = Tensor::cat(&[&self.tokens, &last.unsqueeze(1)], 1);
                self.mask = Tensor::cat(&[&self.mask, &last.ones_like().unsqueeze(1)], 1);
            }
            Ok(self.model.project(&self.forward()?))
        })
    }

    fn select(&mut self, rows: &Tensor) {
        tch::no_grad(|| {
            self.tokens = self.tokens.index_select(0, rows);
            self.mask = self.mask.index_select(0, rows);
            for layer in self.cache.iter_mut().flatten() {
                *layer = layer.index_select(1, rows);
            }
        });
    }
}
