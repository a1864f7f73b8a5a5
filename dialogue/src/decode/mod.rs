//! Replies from a model: greedy, beam search, and sampling from all, the top `k` or the nucleus of tokens.
//!
//! Every reply ends with the end token: one that reaches `--max-length` is made to end there, and its log-probability counts that.
//! Padding, start and unknown tokens are never generated.

mod adjusted;
mod beam;
mod constraints;
#[cfg(test)]
mod markov;
mod options;
mod tokenwise;

pub use options::{DecodeMethod, DecodeOptions};

use imbalance_train::Group;
use imbalance_train::group::GroupError;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use self::adjusted::Adjusted;
use self::constraints::Constraints;
use crate::model::{Batch, ModelError, ReplyModel, Special};

/// A decoded reply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// The reply's tokens, without the end token.
    pub tokens: Vec<u32>,
    /// `log p(reply, end | history)` in nats under the model itself, with `--adjust-logits` that of its adjusted logits, before
    /// temperature, truncation and constraints.
    pub log_probability: f64,
}

/// Why replies could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// An option outside its range.
    #[error("{flag} {found}: should be {expected}")]
    Option {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The value given.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A token that the model does not have.
    #[error("history {example} has the token {token}, but the model knows tokens 0 to {}", vocabulary.saturating_sub(1))]
    Token {
        /// Which history, from 0.
        example: usize,
        /// The token.
        token: u32,
        /// Number of tokens of the model.
        vocabulary: usize,
    },
    /// Special tokens that the model does not have.
    #[error("{special:?} is outside the model's vocabulary of {vocabulary} tokens")]
    Special {
        /// The special tokens.
        special: Special,
        /// Number of tokens of the model.
        vocabulary: usize,
    },
    /// Counts to adjust logits by that are not the model's.
    #[error("--adjust-logits: there are counts of {found} tokens, but the model has {vocabulary}")]
    Counts {
        /// Number of counts.
        found: usize,
        /// Number of tokens of the model.
        vocabulary: usize,
    },
    /// Counts that logits cannot be adjusted by.
    #[error("--adjust-logits: {0}")]
    NoCounts(#[from] imbalance_core::LossError),
    /// Logits that are not numbers, or infinite.
    #[error(
        "the model gives no finite probability to any token of reply {example} at position {step}; are its weights finite?"
    )]
    NonFinite {
        /// Which history, from 0.
        example: usize,
        /// The token's position in the reply, from 0.
        step: usize,
    },
    /// A model that cannot be evaluated.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The other processes cannot be reached.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// Decodes one reply for each history, in their order.
///
/// Histories of similar length share a batch, and replies that have ended leave it. With the sampling methods, the reply to
/// `histories[i]` depends on `--decode-seed` and `i`, and not on the batch size or on the other histories.
///
/// `reply_counts` `[vocabulary]` are the tokens' counts in the training replies, which `--adjust-logits` needs.
///
/// # Errors
/// [`DecodeError::Option`], [`DecodeError::Token`], [`DecodeError::Special`], [`DecodeError::Counts`] and [`DecodeError::NoCounts`]
/// before any work; [`DecodeError::NonFinite`] and [`DecodeError::Model`] for a model that fails.
pub fn decode(
    model: &dyn ReplyModel,
    histories: &[Vec<u32>],
    options: &DecodeOptions,
    special: Special,
    reply_counts: &[u64],
    device: Device,
) -> Result<Vec<Hypothesis>, DecodeError> {
    let all = decode_shared(model, histories, options, special, reply_counts, device, &Group::alone())?;
    Ok(all.unwrap_or_default())
}

/// The same by all processes of `group`, each some of the batches; the first has all replies, the others nothing.
pub(crate) fn decode_shared(
    model: &dyn ReplyModel,
    histories: &[Vec<u32>],
    options: &DecodeOptions,
    special: Special,
    reply_counts: &[u64],
    device: Device,
    group: &Group,
) -> Result<Option<Vec<Hypothesis>>, DecodeError> {
    options.validate()?;
    let vocabulary = model.vocabulary_len();
    check_tokens(histories, special, vocabulary)?;
    let constraints = Constraints::new(options, special, device);
    let bias = adjusted::bias(options, reply_counts, vocabulary, device)?;
    // The longest first: a batch that does not fit into memory shows at once.
    let mut order: Vec<usize> = (0..histories.len()).collect();
    order.sort_by_key(|&example| std::cmp::Reverse(histories[example].len()));
    let batches: Vec<&[usize]> = order.chunks(options.decode_batch_size).collect();
    let of_batch = |batch: usize| -> Result<Vec<Hypothesis>, DecodeError> {
        let examples = batches[batch];
        let rows: Vec<&[u32]> = examples.iter().map(|&example| histories[example].as_slice()).collect();
        let state = model.start(&Batch::histories(&rows, special, device))?;
        let state = match &bias {
            Some(bias) => Box::new(Adjusted { state, bias }),
            None => state,
        };
        match options.decode {
            DecodeMethod::Beam => beam::search(state, examples, options, &constraints),
            _ => tokenwise::generate(state, examples, options, &constraints),
        }
    };
    let own = tch::no_grad(|| group.turns(batches.len()).map(of_batch).collect::<Result<Vec<_>, _>>())?;
    let decoded = group.gather(batches.len(), own)?;
    if !group.is_first() {
        return Ok(None);
    }
    let mut replies = vec![Hypothesis::default(); histories.len()];
    for (&example, reply) in batches.into_iter().flatten().zip(decoded.into_iter().flatten()) {
        replies[example] = reply;
    }
    Ok(Some(replies))
}

/// The one copy from the device in a step.
fn to_host(values: &Tensor) -> Result<Vec<f64>, ModelError> {
    Ok(Vec::try_from(values)?)
}

fn check_tokens(histories: &[Vec<u32>], special: Special, vocabulary: usize) -> Result<(), DecodeError> {
    let known = |token: u32| (token as usize) < vocabulary;
    let roles = [Some(special.pad), Some(special.start), Some(special.end), special.unknown];
    if !roles.into_iter().flatten().all(known) {
        return Err(DecodeError::Special { special, vocabulary });
    }
    for (example, history) in histories.iter().enumerate() {
        if let Some(&token) = history.iter().find(|&&token| !known(token)) {
            return Err(DecodeError::Token { example, token, vocabulary });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
