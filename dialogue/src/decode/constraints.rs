//! Which tokens may follow.

use tch::{Device, Tensor};

use super::DecodeOptions;
use crate::model::Special;

/// What every decoding method obeys.
pub(super) struct Constraints {
    /// Tokens that are never generated, i64 `[forbidden]`.
    forbidden: Tensor,
    pub(super) start: i64,
    pub(super) end: u32,
    min_length: usize,
    max_length: usize,
    block_ngram: usize,
}

impl Constraints {
    pub(super) fn new(options: &DecodeOptions, special: Special, device: Device) -> Self {
        let roles = [Some(special.pad), Some(special.start), special.unknown];
        // A token that also ends replies must stay possible.
        let forbidden: Vec<i64> =
            roles.into_iter().flatten().filter(|&token| token != special.end).map(i64::from).collect();
        Self {
            forbidden: Tensor::from_slice(&forbidden).to_device(device),
            start: i64::from(special.start),
            end: special.end,
            min_length: options.min_length,
            max_length: options.max_length,
            block_ngram: options.block_ngram,
        }
    }

    pub(super) fn device(&self) -> Device {
        self.forbidden.device()
    }

    /// Sets the scores of what must not follow to −∞, in place.
    ///
    /// `replies` are the rows' tokens so far, all of one length. A row in which nothing else may follow may end.
    ///
    /// # Shapes
    /// - `scores`: `[replies, vocabulary]`, contiguous
    pub(super) fn apply<'a>(&self, scores: &mut Tensor, length: usize, replies: impl Iterator<Item = &'a [u32]>) {
        let end_column = scores.narrow(1, i64::from(self.end), 1);
        let end_scores = end_column.copy();
        if length >= self.max_length {
            let _ = scores.fill_(f64::NEG_INFINITY);
            end_column.shallow_clone().copy_(&end_scores);
            return;
        }
        let _ = scores.index_fill_(1, &self.forbidden, f64::NEG_INFINITY);
        if self.block_ngram > 0 {
            let vocabulary = scores.size()[1];
            let repeated: Vec<i64> = (0i64..)
                .zip(replies)
                .flat_map(|(row, reply)| {
                    repeated_ngram_ends(reply, self.block_ngram).map(move |token| row * vocabulary + i64::from(token))
                })
                .collect();
            if !repeated.is_empty() {
                let index = Tensor::from_slice(&repeated).to_device(scores.device());
                let _ = scores.view(-1).index_fill_(0, &index, f64::NEG_INFINITY);
            }
        }
        if length < self.min_length {
            let _ = end_column.shallow_clone().fill_(f64::NEG_INFINITY);
            let stuck = scores.amax([1i64].as_slice(), true).eq(f64::NEG_INFINITY);
            let unless_stuck = end_scores.masked_fill(&stuck.logical_not(), f64::NEG_INFINITY);
            end_column.shallow_clone().copy_(&unless_stuck);
        }
    }
}

/// The tokens that would complete an n-gram which the reply has already.
fn repeated_ngram_ends(reply: &[u32], n: usize) -> impl Iterator<Item = u32> {
    let suffix = &reply[(reply.len() + 1).saturating_sub(n)..];
    reply.windows(n).filter(move |ngram| ngram[..n - 1] == *suffix).map(move |ngram| ngram[n - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    const SPECIAL: Special = Special { pad: 0, start: 1, end: 2, unknown: Some(3) };

    /// The tokens that may follow `reply`, of 7.
    fn allowed(options: &DecodeOptions, special: Special, reply: &[u32]) -> Vec<usize> {
        let mut scores = Tensor::zeros([1, 7], (Kind::Float, Device::Cpu));
        Constraints::new(options, special, Device::Cpu).apply(&mut scores, reply.len(), std::iter::once(reply));
        (0..7).filter(|&token| scores.double_value(&[0, token as i64]).is_finite()).collect()
    }

    #[test]
    fn forbids_special_tokens_and_wrong_lengths() {
        let options = DecodeOptions { min_length: 1, max_length: 3, ..Default::default() };
        assert_eq!(allowed(&options, SPECIAL, &[]), [4, 5, 6]);
        assert_eq!(allowed(&options, SPECIAL, &[4]), [2, 4, 5, 6]);
        assert_eq!(allowed(&options, SPECIAL, &[4, 4, 4]), [2]);
        // GPT-2 has one token for all roles.
        let one = Special { pad: 6, start: 6, end: 6, unknown: None };
        assert_eq!(allowed(&options, one, &[4]), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn forbids_repeated_ngrams() {
        let blocked = |n, reply: &[u32]| {
            let options = DecodeOptions { block_ngram: n, min_length: 0, ..Default::default() };
            let allowed = allowed(&options, SPECIAL, reply);
            (2..7).filter(|token| *token != 3 && !allowed.contains(token)).collect::<Vec<_>>()
        };
        assert_eq!(blocked(1, &[4, 6]), [4, 6]);
        assert_eq!(blocked(2, &[4, 5, 4, 6, 4]), [5, 6]);
        assert_eq!(blocked(2, &[4, 5, 6]), [0; 0]);
        assert_eq!(blocked(3, &[4, 5, 6, 4, 5]), [6]);
        assert_eq!(blocked(3, &[4, 5, 6, 5]), [0; 0]);
        assert_eq!(blocked(3, &[4]), [0; 0]);
    }

    #[test]
    fn a_reply_with_no_way_on_may_end() {
        let options = DecodeOptions { block_ngram: 1, min_length: 9, ..Default::default() };
        assert_eq!(allowed(&options, SPECIAL, &[4, 5]), [6]);
        assert_eq!(allowed(&options, SPECIAL, &[4, 5, 6]), [2]);
    }
}
