//! The scores of one system's replies, flat, as they go into a table or a JSON object.

use serde::{Deserialize, Serialize};

/// The types over which macro F is the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacroTypes {
    /// All types of the vocabulary given, whether they occur or not (the paper's 18,848).
    Vocabulary,
    /// Without a vocabulary: the types that occur in a reply or a reference.
    Occurring,
}

/// Scores of a set of replies. Shares and F scores are percentages, 0 to 100, as in the paper's Table 4; entropies are
/// in nats, lengths in tokens ([`tokenise`](super::tokenise)). A score that has no meaning for the input, such as the
/// share of 4-grams in replies of three words, is 0; one that lacks an option it needs is `None` (JSON null).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DialogueScores {
    /// Replies scored.
    pub replies: usize,
    /// Tokens in all replies.
    pub tokens: usize,
    /// Perplexity of the references under the model; never computed from replies, so `None` unless the caller sets it
    /// (see [`perplexity`](super::perplexity)).
    pub perplexity: Option<f64>,
    /// Unigram F1 of the ConvAI2 challenge, averaged over replies, %.
    pub f1: f64,
    /// Micro F over word types, pooled over the corpus, %.
    pub micro_f: f64,
    /// Macro F: mean over the types that `macro_f_over` names, %.
    pub macro_f: f64,
    /// Which types `macro_f` is the mean over.
    pub macro_f_over: MacroTypes,
    /// How many types `macro_f` is the mean over.
    pub macro_f_types: usize,
    /// Macro F over the types that occur in the references, %.
    pub macro_f_reference_types: f64,
    /// How many types occur in the references.
    pub reference_types: usize,
    /// Distinct ÷ all words, %.
    pub distinct_1: f64,
    /// Distinct ÷ all 2-grams, %.
    pub distinct_2: f64,
    /// Distinct ÷ all 3-grams, %.
    pub distinct_3: f64,
    /// Distinct ÷ all 4-grams, %: Table 4's "Diversity (4-gram)".
    pub distinct_4: f64,
    /// Distinct words ÷ tokens, %.
    pub distinct_per_token_1: f64,
    /// Distinct 2-grams ÷ tokens, %.
    pub distinct_per_token_2: f64,
    /// Distinct 3-grams ÷ tokens, %.
    pub distinct_per_token_3: f64,
    /// Distinct 4-grams ÷ tokens, %.
    pub distinct_per_token_4: f64,
    /// Distinct ÷ all words within a reply, averaged, %.
    pub distinct_within_reply_1: f64,
    /// Distinct ÷ all 2-grams within a reply, averaged, %.
    pub distinct_within_reply_2: f64,
    /// Distinct ÷ all 3-grams within a reply, averaged, %.
    pub distinct_within_reply_3: f64,
    /// Distinct ÷ all 4-grams within a reply, averaged, %.
    pub distinct_within_reply_4: f64,
    /// Expectation-adjusted distinct of words, %; needs a vocabulary.
    pub ead_1: Option<f64>,
    /// Expectation-adjusted distinct of 2-grams, %; needs a vocabulary.
    pub ead_2: Option<f64>,
    /// Expectation-adjusted distinct of 3-grams, %; needs a vocabulary.
    pub ead_3: Option<f64>,
    /// Expectation-adjusted distinct of 4-grams, %; needs a vocabulary.
    pub ead_4: Option<f64>,
    /// Entropy of the words, nats.
    pub entropy_1: f64,
    /// Entropy of the 2-grams, nats.
    pub entropy_2: f64,
    /// Entropy of the 3-grams, nats.
    pub entropy_3: f64,
    /// Entropy of the 4-grams, nats.
    pub entropy_4: f64,
    /// Mean reply length, tokens.
    pub length_mean: f64,
    /// Standard deviation of the reply length (population), tokens.
    pub length_sd: f64,
    /// Shortest reply, tokens.
    pub length_min: f64,
    /// 5 % quantile of the reply length, tokens.
    pub length_q05: f64,
    /// 25 % quantile of the reply length, tokens.
    pub length_q25: f64,
    /// Median reply length, tokens.
    pub length_median: f64,
    /// 75 % quantile of the reply length, tokens.
    pub length_q75: f64,
    /// 95 % quantile of the reply length, tokens.
    pub length_q95: f64,
    /// Longest reply, tokens.
    pub length_max: f64,
    /// Mean length of the references that the replies were scored against, tokens.
    pub length_mean_references: f64,
    /// Reply tokens that are rare words, unseen ones included, %; needs training counts.
    pub rare_share: Option<f64>,
    /// The same share in the references that the replies were scored against, %; needs training counts.
    pub rare_share_references: Option<f64>,
    /// Reply tokens that the training replies never had, %; needs training counts.
    pub unseen_share: Option<f64>,
    /// The largest training count of a rare word; needs training counts.
    pub rare_at_most: Option<u64>,
}
