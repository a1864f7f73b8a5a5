//! Scoring a model's replies to a split.

use std::collections::HashMap;
use std::time::Instant;

use imbalance_evaluation::dialogue::{DialogueScores, ScoreOptions, score, tokenise};
use imbalance_train::Group;
use serde::Serialize;
use tch::Device;

use crate::data::Dialogue;
use crate::dataset::Examples;
use crate::decode::{DecodeOptions, Hypothesis, decode_shared};
use crate::vocabulary::Vocabulary;
use crate::{AnyModel, DialogueError};

/// What a model said to a split, and what that is worth.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Every score; perplexity is the caller's to add.
    pub scores: DialogueScores,
    /// Replies decoded a second.
    pub replies_per_second: f64,
    /// The replies, in the order of the split.
    #[serde(skip)]
    pub replies: Vec<String>,
    /// What the people said.
    #[serde(skip)]
    pub references: Vec<String>,
}

/// How often each word type occurs in the training replies; types that only personas and messages have
/// count 0. Macro F is a mean over these types, rare words are the rarest of them.
pub fn word_counts(train: &[Dialogue], vocabulary: &Vocabulary) -> Vec<(String, u64)> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for dialogue in train {
        for text in dialogue.persona.iter().chain(dialogue.turns.iter().map(|turn| &turn.text)) {
            for word in tokenise(text) {
                counts.entry(word).or_default();
            }
        }
        for turn in dialogue.replies() {
            for word in tokenise(&dialogue.turns[turn].text) {
                *counts.entry(word).or_default() += 1;
            }
        }
    }
    // A word-level vocabulary that left words out has fewer types; a sub-word one has none of its own.
    let special = vocabulary.special();
    if special.unknown.is_some() && vocabulary.is_word_level() {
        counts.retain(|word, _| vocabulary.id(word).is_some());
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

/// What a model said.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// In the order of the histories.
    texts: Vec<String>,
    /// How long that took.
    seconds: f64,
}

impl Replies {
    /// Decodes a reply to every history of `examples` on `device`, where the model is; in the first of the processes that share
    /// them.
    ///
    /// # Errors
    /// See [`crate::decode::DecodeError`].
    pub(crate) fn decode(
        model: &AnyModel,
        vocabulary: &Vocabulary,
        examples: &Examples,
        options: &DecodeOptions,
        device: Device,
        group: &Group,
    ) -> Result<Option<Self>, DialogueError> {
        let start = Instant::now();
        let (special, counts) = (vocabulary.special(), vocabulary.reply_counts());
        let decoded = decode_shared(model, examples.histories(), options, special, counts, device, group)?;
        let seconds = start.elapsed().as_secs_f64();
        let text = |hypothesis: Hypothesis| vocabulary.decode(&hypothesis.tokens);
        Ok(decoded.map(|decoded| Self { texts: decoded.into_iter().map(text).collect(), seconds }))
    }
}

/// Scores the replies to every history of `dialogues`; `words` are those of the training, as [`word_counts`] gives them.
///
/// # Errors
/// Scoring fails; see [`DialogueError`].
pub(crate) fn evaluate(
    replies: Replies,
    dialogues: &[Dialogue],
    words: &[(String, u64)],
) -> Result<Evaluation, DialogueError> {
    let Replies { texts: replies, seconds } = replies;
    let references: Vec<String> = dialogues
        .iter()
        .flat_map(|dialogue| dialogue.replies().map(|turn| dialogue.turns[turn].text.clone()))
        .collect();
    let single: Vec<Vec<String>> = references.iter().map(|reference| vec![reference.clone()]).collect();
    let options = ScoreOptions {
        vocabulary: Some(words.iter().map(|(word, _)| word.clone()).collect()),
        train_counts: Some(words.iter().cloned().collect()),
        ..ScoreOptions::default()
    };
    let scores = score(&replies, &single, &options)?;
    Ok(Evaluation { scores, replies_per_second: replies.len() as f64 / seconds, replies, references })
}
