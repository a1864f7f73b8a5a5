//! The word types (or byte-level pieces) that a model reads and writes, and how often each is to be written.
//!
//! A thin layer over the `tokenizers` crate, in whose JSON format a vocabulary is kept. Text is lower-cased, with
//! spaces around `. , ; : ! ?`; it is split at white space, or, as an option, into byte-level BPE pieces. Only the
//! training split is looked at. Each type is a class of the loss; its count is its number of occurrences in the
//! training replies.

mod build;
mod error;
mod files;

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

pub use build::normalise;
pub use error::VocabularyError;
pub use files::REPLY_COUNTS;

use crate::data::Dialogue;
use crate::model::Special;

const PAD: &str = "<pad>";
const START: &str = "<start>";
const END: &str = "<end>";
const UNKNOWN: &str = "<unknown>";
/// In the order of their ids, from 0.
const SPECIAL: [&str; 4] = [PAD, START, END, UNKNOWN];
const END_OF_TEXT: &str = "<|endoftext|>";

/// How text is cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VocabularyKind {
    /// At white space: each word type is a token.
    #[default]
    Word,
    /// Byte-level BPE (Radford et al., 2019): frequent words are one token, rare ones several, none is unknown.
    Bpe {
        /// Entries, the four special tokens and the 256 bytes included.
        size: usize,
    },
}

/// What goes into a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VocabularyOptions {
    /// How text is cut.
    pub kind: VocabularyKind,
    /// Words (for BPE: pairs to merge) that occur less often in the training text are left out.
    pub min_count: u64,
    /// At most so many entries, the four special tokens included; the most frequent stay. Word-level only, for BPE
    /// has its `size`.
    pub max_size: Option<usize>,
}

impl Default for VocabularyOptions {
    fn default() -> Self {
        Self { kind: VocabularyKind::Word, min_count: 1, max_size: None }
    }
}

/// Tokens, their ids from 0 without gaps, and their counts in the training replies.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    special: Special,
    size: usize,
    reply_counts: Vec<u64>,
}

impl Vocabulary {
    /// Builds the vocabulary of a training split: its personas, messages and replies, each once.
    ///
    /// Ids 0 to 3 are `<pad> <start> <end> <unknown>`; words follow by falling count, then in the order of their
    /// bytes. Text that spells a special token is an ordinary (unknown) word.
    ///
    /// # Errors
    /// [`VocabularyError::NoText`], [`VocabularyError::TooSmall`], [`VocabularyError::MaxSizeOfBpe`],
    /// [`VocabularyError::Build`].
    pub fn build(train: &[Dialogue], options: &VocabularyOptions) -> Result<Self, VocabularyError> {
        let texts = train.iter().flat_map(|dialogue| {
            let turns = dialogue.turns.iter().map(|turn| turn.text.as_str());
            dialogue.persona.iter().map(String::as_str).chain(turns)
        });
        if texts.clone().all(|text| text.trim().is_empty()) {
            return Err(VocabularyError::NoText);
        }
        let tokenizer = match options.kind {
            VocabularyKind::Word => build::word_level(texts, options),
            VocabularyKind::Bpe { size } => build::byte_level_bpe(texts, size, options),
        }?;
        let special = Special { pad: 0, start: 1, end: 2, unknown: Some(3) };
        let mut vocabulary = Self::new(tokenizer, special);
        vocabulary.count_replies(train);
        Ok(vocabulary)
    }

    fn new(mut tokenizer: Tokenizer, special: Special) -> Self {
        // In a text, `<end>` is what somebody wrote and not the end.
        tokenizer.set_encode_special_tokens(true);
        let size = tokenizer.get_vocab_size(true);
        Self { tokenizer, special, size, reply_counts: vec![0; size] }
    }

    /// Counts each token over the replies of a training split, the end token once a reply, in place of the counts so
    /// far. [`build`](Self::build) has done so already.
    pub fn count_replies(&mut self, train: &[Dialogue]) {
        let mut counts = vec![0; self.size];
        for dialogue in train {
            for turn in dialogue.replies() {
                for id in self.encode(&dialogue.turns[turn].text) {
                    counts[id as usize] += 1;
                }
                counts[self.special.end as usize] += 1;
            }
        }
        self.reply_counts = counts;
    }

    /// Class counts `[len]`: occurrences of each token in the training replies, `<end>` once a reply, `<unknown>`
    /// for the words left out. Zero for `<pad>`, `<start>` and for words that only personas and messages have.
    pub fn reply_counts(&self) -> &[u64] {
        &self.reply_counts
    }

    /// How many entries there are; ids are below it.
    #[allow(clippy::len_without_is_empty, reason = "the special tokens are always there")]
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether each word type is a token of its own.
    pub fn is_word_level(&self) -> bool {
        matches!(self.tokenizer.get_model(), tokenizers::ModelWrapper::WordLevel(_))
    }

    /// The ids that stand for no text.
    pub fn special(&self) -> Special {
        self.special
    }

    /// The ids of a text, without start and end. Never a special id other than unknown.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // Fails only for models that have to give up on a word, which are refused when read.
        let Ok(encoding) = self.tokenizer.encode_fast(text, false) else { return Vec::new() };
        let Special { pad, start, end, unknown } = self.special;
        let mut ids = encoding.get_ids().to_vec();
        if let Some(unknown) = unknown {
            for id in ids.iter_mut().filter(|id| [pad, start, end].contains(id)) {
                *id = unknown;
            }
        }
        ids
    }

    /// The text of ids: words joined by spaces, pieces put together. Pad, start and end are left out, as are ids
    /// outside the vocabulary; unknown is written `<unknown>`.
    pub fn decode(&self, ids: &[u32]) -> String {
        let Special { pad, start, end, .. } = self.special;
        let ids: Vec<u32> = ids.iter().copied().filter(|id| ![pad, start, end].contains(id)).collect();
        self.tokenizer.decode(&ids, false).unwrap_or_default()
    }

    /// The token of an id; BPE pieces as spelt in the file, with `Ġ` for a leading space.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// The id of a token, spelt as [`token`](Self::token) gives it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }
}

#[cfg(test)]
mod tests;
