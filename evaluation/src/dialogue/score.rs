//! All scores of a set of replies in one pass over the texts.

use std::collections::{HashMap, HashSet};

use super::f1::{f1_of_bags, sorted};
use super::interner::Interner;
use super::length::length_statistics;
use super::ngrams::diversity_of_ids;
use super::rare::RareWords;
use super::scores::{DialogueScores, MacroTypes};
use super::text::{NgramText, Punctuation, normalise, tokenise, words};
use super::type_f::TypeCounts;

/// What is known beside replies and references, and the choices among definitions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoreOptions {
    /// Word types of the vocabulary, without the special ones (padding, start, end, unknown). Macro F becomes the mean
    /// over them, and the expectation-adjusted distinct is computed. Types are normalised like the text they are
    /// compared with; those that are the same then count once, and those of which nothing is left (",", "the") not at
    /// all.
    pub vocabulary: Option<Vec<String>>,
    /// Tokens of each type in the training replies, types as [`tokenise`] gives them; a type not listed has 0.
    /// Needed for the share of rare words.
    pub train_counts: Option<HashMap<String, u64>>,
    /// Which words are rare.
    pub rare: RareWords,
    /// Text for n-gram diversity.
    pub ngram_text: NgramText,
    /// Punctuation in the normalised text: F1, micro and macro F, and n-grams of [`NgramText::Normalised`].
    pub punctuation: Punctuation,
}

/// Why replies cannot be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// There is nothing to score.
    #[error("there are no replies to score; at least one is needed")]
    NoReplies,
    /// Replies and references do not pair up.
    #[error("{replies} replies but references for {references}; each reply needs its references")]
    LengthMismatch {
        /// Number of replies.
        replies: usize,
        /// Number of lists of references.
        references: usize,
    },
    /// A reply has an empty list of references.
    #[error("reply {number} has no reference; at least one is needed")]
    NoReference {
        /// The reply, counted from 1.
        number: usize,
    },
    /// Not one type of the vocabulary has a letter or digit left after normalisation.
    #[error(
        "the vocabulary holds no word: of its {types} types nothing is left after normalisation; give one word type an entry"
    )]
    EmptyVocabulary {
        /// Types given.
        types: usize,
    },
    /// Training counts sum to 0.
    #[error("the training counts hold no token; at least one type needs a count above 0")]
    EmptyTrainCounts,
    /// A tail share outside its range.
    #[error("the tail of rare words must be a share strictly between 0 and 1 of the training tokens, got {0}")]
    BadTailShare(f64),
}

/// Scores replies against their references: `references[i]` are those of `replies[i]`.
///
/// Of several references, F1 takes the best. Micro and macro F, the share of rare words and the length of references
/// use that same reference, the first among equals, so that a reply is compared with one text throughout. Texts need no
/// preparation: they are normalised or tokenised here.
///
/// # Errors
/// No replies; numbers that differ; a reply without references; a vocabulary or training counts without content; a
/// tail share outside (0, 1).
pub fn score(
    replies: &[String],
    references: &[Vec<String>],
    options: &ScoreOptions,
) -> Result<DialogueScores, ScoreError> {
    check(replies, references, options)?;
    let mut interner = Interner::default();
    let vocabulary_words = match &options.vocabulary {
        Some(types) => Some(intern_vocabulary(types, options.punctuation, &mut interner)?),
        None => None,
    };

    let mut bag = |text: &str| {
        let ids = interner.intern_all(words(&normalise(text, options.punctuation)));
        (sorted(ids.clone()), ids)
    };
    let mut f1_sum = 0.0;
    let mut pairs = Vec::with_capacity(replies.len());
    let mut normalised_replies = Vec::with_capacity(replies.len());
    let mut chosen_references = Vec::with_capacity(replies.len());
    for (reply, references) in replies.iter().zip(references) {
        let (reply_bag, reply_ids) = bag(reply);
        let mut best: Option<(f64, Vec<u32>, &str)> = None;
        for reference in references {
            let (reference_bag, _) = bag(reference);
            let f1 = f1_of_bags(&reply_bag, &reference_bag);
            if best.as_ref().is_none_or(|(best_f1, ..)| f1 > *best_f1) {
                best = Some((f1, reference_bag, reference));
            }
        }
        if let Some((f1, reference_bag, reference)) = best {
            f1_sum += f1;
            pairs.push((reply_bag, reference_bag));
            chosen_references.push(reference);
        }
        normalised_replies.push(reply_ids);
    }

    let mut type_counts = TypeCounts::new(interner.len());
    for (reply, reference) in &pairs {
        type_counts.add(reply, reference);
    }
    let macro_f_over = if vocabulary_words.is_some() { MacroTypes::Vocabulary } else { MacroTypes::Occurring };
    let (macro_f, macro_f_types) = match vocabulary_words {
        // Vocabulary words were interned first, so theirs are the ids below their number.
        Some(vocabulary) => type_counts.macro_over(|_, id| id < vocabulary),
        None => type_counts.macro_over(TypeCounts::occurs),
    };
    let (macro_f_reference_types, reference_types) = type_counts.macro_over(TypeCounts::in_reference);

    let reply_tokens: Vec<_> = replies.iter().map(|reply| tokenise(reply)).collect();
    let reference_tokens: Vec<_> = chosen_references.iter().map(|text| tokenise(text)).collect();
    let [one, two, three, four] = match options.ngram_text {
        NgramText::Normalised => diversity_of_ids(&normalised_replies, vocabulary_words),
        NgramText::Tokens => {
            let mut interner = Interner::default();
            let ids: Vec<_> =
                reply_tokens.iter().map(|tokens| interner.intern_all(tokens.iter().map(String::as_str))).collect();
            let types = options.vocabulary.as_ref();
            diversity_of_ids(&ids, types.map(|types| types.iter().collect::<HashSet<_>>().len()))
        }
    };

    let lengths: Vec<_> = reply_tokens.iter().map(Vec::len).collect();
    let length = length_statistics(&lengths).ok_or(ScoreError::NoReplies)?;
    let count = replies.len() as f64;
    let rare = options.train_counts.as_ref().map(|train| {
        let threshold = options.rare.threshold(train);
        (
            share_at_most(&reply_tokens, train, threshold),
            share_at_most(&reference_tokens, train, threshold),
            share_at_most(&reply_tokens, train, 0),
            threshold,
        )
    });

    Ok(DialogueScores {
        replies: replies.len(),
        tokens: lengths.iter().sum(),
        perplexity: None,
        f1: 100.0 * f1_sum / count,
        micro_f: 100.0 * type_counts.micro(),
        macro_f: 100.0 * macro_f,
        macro_f_over,
        macro_f_types,
        macro_f_reference_types: 100.0 * macro_f_reference_types,
        reference_types,
        distinct_1: one.distinct,
        distinct_2: two.distinct,
        distinct_3: three.distinct,
        distinct_4: four.distinct,
        distinct_per_token_1: one.distinct_per_token,
        distinct_per_token_2: two.distinct_per_token,
        distinct_per_token_3: three.distinct_per_token,
        distinct_per_token_4: four.distinct_per_token,
        distinct_within_reply_1: one.distinct_within_reply,
        distinct_within_reply_2: two.distinct_within_reply,
        distinct_within_reply_3: three.distinct_within_reply,
        distinct_within_reply_4: four.distinct_within_reply,
        ead_1: one.ead,
        ead_2: two.ead,
        ead_3: three.ead,
        ead_4: four.ead,
        entropy_1: one.entropy,
        entropy_2: two.entropy,
        entropy_3: three.entropy,
        entropy_4: four.entropy,
        length_mean: length.mean,
        length_sd: length.sd,
        length_min: length.min,
        length_q05: length.q05,
        length_q25: length.q25,
        length_median: length.median,
        length_q75: length.q75,
        length_q95: length.q95,
        length_max: length.max,
        length_mean_references: reference_tokens.iter().map(Vec::len).sum::<usize>() as f64 / count,
        rare_share: rare.map(|(replies, ..)| replies),
        rare_share_references: rare.map(|(_, references, ..)| references),
        unseen_share: rare.map(|(_, _, unseen, _)| unseen),
        rare_at_most: rare.map(|(.., threshold)| threshold),
    })
}

fn check(replies: &[String], references: &[Vec<String>], options: &ScoreOptions) -> Result<(), ScoreError> {
    if replies.is_empty() {
        return Err(ScoreError::NoReplies);
    }
    if replies.len() != references.len() {
        return Err(ScoreError::LengthMismatch { replies: replies.len(), references: references.len() });
    }
    if let Some(index) = references.iter().position(Vec::is_empty) {
        return Err(ScoreError::NoReference { number: index + 1 });
    }
    if let Some(train) = &options.train_counts
        && train.values().all(|&count| count == 0)
    {
        return Err(ScoreError::EmptyTrainCounts);
    }
    match options.rare {
        RareWords::Tail(share) if !(share > 0.0 && share < 1.0) => Err(ScoreError::BadTailShare(share)),
        _ => Ok(()),
    }
}

/// Interns the words of the vocabulary into an empty interner; returns how many they are.
fn intern_vocabulary(types: &[String], punctuation: Punctuation, interner: &mut Interner) -> Result<usize, ScoreError> {
    for word_type in types {
        for word in words(&normalise(word_type, punctuation)) {
            interner.intern(word);
        }
    }
    match interner.len() {
        0 => Err(ScoreError::EmptyVocabulary { types: types.len() }),
        words => Ok(words),
    }
}

/// Share of tokens whose training count is at most `threshold`, in percent.
fn share_at_most(texts: &[Vec<String>], train: &HashMap<String, u64>, threshold: u64) -> f64 {
    let (mut rare, mut total) = (0_u64, 0_u64);
    for token in texts.iter().flatten() {
        rare += u64::from(train.get(token).copied().unwrap_or(0) <= threshold);
        total += 1;
    }
    if total == 0 { 0.0 } else { 100.0 * rare as f64 / total as f64 }
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
