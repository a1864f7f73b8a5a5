//! Logit adjustment at prediction time (`--adjust-logits`).

use imbalance_core::ClassCounts;
use imbalance_train::post_hoc_bias;
use tch::{Device, Tensor};

use super::{DecodeError, DecodeOptions};
use crate::model::{DecoderState, ModelError};

/// `−τ · log π` of every token, `[vocabulary]`; `None` for τ = 0.
pub(super) fn bias(
    options: &DecodeOptions,
    reply_counts: &[u64],
    vocabulary: usize,
    device: Device,
) -> Result<Option<Tensor>, DecodeError> {
    if options.adjust_logits == 0.0 {
        return Ok(None);
    }
    if reply_counts.len() != vocabulary {
        return Err(DecodeError::Counts { found: reply_counts.len(), vocabulary });
    }
    let bias = post_hoc_bias(&ClassCounts::new(reply_counts.to_vec())?, options.adjust_logits);
    Ok(Some(Tensor::from_slice(&bias).to_device(device)))
}

/// A model's replies with adjusted logits.
pub(super) struct Adjusted<'a> {
    pub(super) state: Box<dyn DecoderState + 'a>,
    /// Added to every row of logits, `[vocabulary]`.
    pub(super) bias: &'a Tensor,
}

impl DecoderState for Adjusted<'_> {
    fn step(&mut self, last: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.state.step(last)? + self.bias)
    }

    fn select(&mut self, rows: &Tensor) {
        self.state.select(rows);
    }
}
