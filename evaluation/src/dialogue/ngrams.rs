//! Diversity of the n-grams in a set of replies (paper, section 5.1 and Table 4: "4-gram diversity").

use std::collections::HashMap;

use ndarray::Array1;
use ndarray_stats::EntropyExt;

use super::interner::Interner;
use super::text::{NgramText, Punctuation, normalise, tokenise, words};

/// The longest n-gram counted.
pub const MAX_NGRAM: usize = 4;

/// Diversity of the n-grams of one length. n-grams do not cross from one reply into the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NgramDiversity {
    /// Distinct n-grams ÷ all n-grams over the corpus, ×100 (Table 4's "Diversity"); 0 without n-grams.
    pub distinct: f64,
    /// Distinct n-grams ÷ all tokens, ×100 (Li et al., 2016); 0 without tokens.
    pub distinct_per_token: f64,
    /// Distinct ÷ all n-grams within one reply, averaged over the replies that have an n-gram, ×100.
    pub distinct_within_reply: f64,
    /// Expectation-adjusted distinct (Liu et al., 2022), ×100: distinct n-grams ÷ `V·(1 − ((V−1)/V)^C)`, the distinct
    /// items expected of `C` draws from `V` equally likely ones, with `C` the number of n-grams and `V` the
    /// vocabulary size for every n. It may exceed 100 for n > 1, where more than `V` different n-grams exist. `None`
    /// without a vocabulary.
    pub ead: Option<f64>,
    /// Entropy of the n-gram distribution, in nats; 0 without n-grams.
    pub entropy: f64,
}

/// Diversity of 1- to [`MAX_NGRAM`]-grams; element `n − 1` is that of the n-grams.
///
/// `text` chooses the words (`punctuation` matters only for [`NgramText::Normalised`]), `vocabulary_size` is `V` of the
/// expectation-adjusted distinct, in types of the same text.
pub fn ngram_diversity(
    replies: &[impl AsRef<str>],
    text: NgramText,
    punctuation: Punctuation,
    vocabulary_size: Option<usize>,
) -> [NgramDiversity; MAX_NGRAM] {
    let mut interner = Interner::default();
    let replies: Vec<_> = replies
        .iter()
        .map(|reply| match text {
            NgramText::Tokens => interner.intern_all(tokenise(reply.as_ref()).iter().map(String::as_str)),
            NgramText::Normalised => interner.intern_all(words(&normalise(reply.as_ref(), punctuation))),
        })
        .collect();
    diversity_of_ids(&replies, vocabulary_size)
}

/// [`ngram_diversity`] of replies that are word ids already.
pub(super) fn diversity_of_ids(replies: &[Vec<u32>], vocabulary_size: Option<usize>) -> [NgramDiversity; MAX_NGRAM] {
    std::array::from_fn(|i| diversity(replies, i + 1, vocabulary_size))
}

fn diversity(replies: &[Vec<u32>], n: usize, vocabulary_size: Option<usize>) -> NgramDiversity {
    let mut counts: HashMap<u128, u64> = HashMap::new();
    let (mut total, mut tokens) = (0_u64, 0_u64);
    let (mut within_sum, mut replies_with_ngrams) = (0.0, 0_u64);
    let mut own = Vec::new();
    for reply in replies {
        tokens += reply.len() as u64;
        own.clear();
        own.extend(reply.windows(n).map(key));
        for &ngram in &own {
            *counts.entry(ngram).or_default() += 1;
        }
        total += own.len() as u64;
        if !own.is_empty() {
            let all = own.len();
            own.sort_unstable();
            own.dedup();
            within_sum += own.len() as f64 / all as f64;
            replies_with_ngrams += 1;
        }
    }
    let distinct = counts.len() as u64;
    NgramDiversity {
        distinct: percent(distinct as f64, total as f64),
        distinct_per_token: percent(distinct as f64, tokens as f64),
        distinct_within_reply: percent(within_sum, replies_with_ngrams as f64),
        ead: vocabulary_size.map(|types| percent(distinct as f64, expected_distinct(types, total))),
        entropy: entropy(counts.into_values().collect(), total),
    }
}

/// Up to four 32-bit ids side by side: equal keys are equal n-grams, since n is fixed within one count.
fn key(ngram: &[u32]) -> u128 {
    ngram.iter().fold(0, |key, &id| key << 32 | u128::from(id))
}

/// `V·(1 − ((V−1)/V)^C)`, by `expm1` and `ln1p`: the power is near 1 when C is far below V.
fn expected_distinct(types: usize, draws: u64) -> f64 {
    if types == 0 || draws == 0 {
        return 0.0;
    }
    let types = types as f64;
    -types * (draws as f64 * (-1.0 / types).ln_1p()).exp_m1()
}

fn entropy(mut counts: Vec<u64>, total: u64) -> f64 {
    // The order of a hash map differs from run to run, and with it the last bits of a sum.
    counts.sort_unstable();
    let probabilities = Array1::from_iter(counts.iter().map(|&count| count as f64 / total as f64));
    // Negative zero for a single n-gram becomes zero.
    probabilities.entropy().map_or(0.0, |nats| nats.max(0.0))
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { 100.0 * part / whole }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-10, "{got} is not {want}");
    }

    fn tokens(replies: &[&str], vocabulary_size: Option<usize>) -> [NgramDiversity; MAX_NGRAM] {
        ngram_diversity(replies, NgramText::Tokens, Punctuation::Removed, vocabulary_size)
    }

    #[test]
    fn counted_by_hand() {
        // Tokens: x y x y (4), x y . (3), "" (0), z (1): 8 tokens.
        // 1-grams: 8, distinct x y . z.     2-grams: xy yx xy | xy y. : 5, distinct xy yx y.
        // 3-grams: xyx yxy | xy. : 3.       4-grams: xyxy : 1.
        let [one, two, three, four] = tokens(&["X y x y", "x y.", "", "z"], None);
        close(one.distinct, 50.0);
        close(one.distinct_per_token, 50.0);
        // 2/4, 3/3, 1/1 over three replies.
        close(one.distinct_within_reply, 100.0 * 2.5 / 3.0);
        close(two.distinct, 60.0);
        close(two.distinct_per_token, 100.0 * 3.0 / 8.0);
        // 2/3 and 2/2.
        close(two.distinct_within_reply, 100.0 * (2.0 / 3.0 + 1.0) / 2.0);
        close(three.distinct, 100.0);
        close(four.distinct, 100.0);
        close(four.distinct_per_token, 12.5);
        // Unigrams: x 3, y 3, . 1, z 1 of 8.
        close(one.entropy, -(0.75 * 0.375_f64.ln() + 0.25 * 0.125_f64.ln()));
        // Bigrams: 3, 1, 1 of 5.
        close(two.entropy, -(0.6 * 0.6_f64.ln() + 0.4 * 0.2_f64.ln()));
        assert_eq!(four.entropy, 0.0);
        assert_eq!(one.ead, None);
    }

    #[test]
    fn expectation_adjusted_by_hand() {
        // V = 2, C = 3 unigrams, distinct 2: 2 / (2·(1 − 1/8)) = 8/7. Bigrams: C = 2, distinct 2: 2 / (2·3/4).
        let [one, two, _, four] = tokens(&["p q p"], Some(2));
        close(one.ead.unwrap(), 100.0 * 8.0 / 7.0);
        close(two.ead.unwrap(), 100.0 * 4.0 / 3.0);
        close(four.ead.unwrap(), 0.0);
        // A vocabulary of one type: one distinct word is expected however long the text.
        close(tokens(&["p p p"], Some(1))[0].ead.unwrap(), 100.0);
    }

    #[test]
    fn replies_without_ngrams_give_zero_not_nan() {
        for diversity in tokens(&["", "  "], Some(5)) {
            assert_eq!(
                diversity,
                NgramDiversity {
                    distinct: 0.0,
                    distinct_per_token: 0.0,
                    distinct_within_reply: 0.0,
                    ead: Some(0.0),
                    entropy: 0.0
                }
            );
        }
    }

    #[test]
    fn the_text_is_a_choice() {
        // Tokens: the cat . the cat ! (6, distinct 4). Normalised: cat cat (2, distinct 1).
        let replies = ["The cat. The cat!"];
        let tokens = ngram_diversity(&replies, NgramText::Tokens, Punctuation::Removed, None);
        close(tokens[0].distinct, 100.0 * 4.0 / 6.0);
        let normalised = ngram_diversity(&replies, NgramText::Normalised, Punctuation::Removed, None);
        close(normalised[0].distinct, 50.0);
    }

    #[test]
    fn ngrams_of_ids_with_zero_do_not_collide() {
        let [_, two, ..] = diversity_of_ids(&[vec![0, 0, 1, 0]], None);
        close(two.distinct, 100.0);
    }

    proptest! {
        #[test]
        fn bounded_and_blind_to_the_order_of_replies(
            replies in proptest::collection::vec("[x-z .]{0,12}", 1..8)
        ) {
            let reversed: Vec<_> = replies.iter().rev().cloned().collect();
            let forward = ngram_diversity(&replies, NgramText::Tokens, Punctuation::Removed, None);
            let backward = ngram_diversity(&reversed, NgramText::Tokens, Punctuation::Removed, None);
            for (a, b) in forward.iter().zip(&backward) {
                prop_assert!((0.0..=100.0).contains(&a.distinct));
                prop_assert!(a.distinct_per_token <= a.distinct);
                prop_assert!((0.0..=100.0 + 1e-9).contains(&a.distinct_within_reply));
                prop_assert_eq!(a.distinct, b.distinct);
                prop_assert_eq!(a.entropy, b.entropy);
                prop_assert!((a.distinct_within_reply - b.distinct_within_reply).abs() < 1e-9);
            }
        }
    }
}
