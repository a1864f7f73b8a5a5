//! Unigram F1 of a reply (ConvAI2 challenge; Dinan et al., 2019), and the word overlap it rests on.

use super::interner::Interner;
use super::text::{Punctuation, normalise, words};

/// F1 of one reply against its references, 0 to 100; of several references, the best.
///
/// ```text
/// overlap = Σ over words of min(count in reply, count in reference)
/// precision = overlap / words of the reply        recall = overlap / words of the reference
/// F1 = 2 · precision · recall / (precision + recall)
/// ```
///
/// Both texts are normalised by [`normalise`]. No overlap gives 0, and so do a reply or a reference without
/// words (even when both have none: the challenge's scorer, unlike SQuAD 2.0's, has no credit for silence). Without
/// references it is 0.
pub fn unigram_f1(reply: &str, references: &[impl AsRef<str>], punctuation: Punctuation) -> f64 {
    let mut interner = Interner::default();
    let mut bag = |text: &str| sorted(interner.intern_all(words(&normalise(text, punctuation))));
    let reply = bag(reply);
    references.iter().map(|reference| 100.0 * f1_of_bags(&reply, &bag(reference.as_ref()))).fold(0.0, f64::max)
}

/// Sorted word ids with repetitions: the form in which two multisets are merged in one pass.
pub(super) fn sorted(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids
}

/// F1 of two sorted bags, 0 to 1. `2·overlap/(a+b)` equals the harmonic mean of precision and recall.
pub(super) fn f1_of_bags(reply: &[u32], reference: &[u32]) -> f64 {
    let mut overlap = 0_usize;
    for_each_shared(reply, reference, |_| overlap += 1);
    if overlap == 0 { 0.0 } else { 2.0 * overlap as f64 / (reply.len() + reference.len()) as f64 }
}

/// Calls `shared` once for each word that two sorted bags share, as often as the rarer side has it.
pub(super) fn for_each_shared(a: &[u32], b: &[u32], mut shared: impl FnMut(u32)) {
    let (mut i, mut j) = (0, 0);
    while let (Some(&x), Some(&y)) = (a.get(i), b.get(j)) {
        if x == y {
            shared(x);
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn f1(reply: &str, references: &[&str]) -> f64 {
        unigram_f1(reply, references, Punctuation::Removed)
    }

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "{got} is not {want}");
    }

    #[test]
    fn words_in_any_order() {
        // "i like cats" / "cats like me much": overlap 2, precision 2/3, recall 2/4.
        close(f1("I like cats.", &["cats like me much"]), 100.0 * 4.0 / 7.0);
        close(f1("the cat", &["A cat!"]), 100.0);
    }

    #[test]
    fn repeated_words_count_as_often_as_both_have_them() {
        // "no no no yes" / "no no": overlap 2.
        close(f1("no no no yes", &["no no"]), 100.0 * 4.0 / 6.0);
        // "so so good" / "so good good": overlap 2 of 3 and 3.
        close(f1("so so good", &["so good good"]), 100.0 * 2.0 / 3.0);
    }

    #[test]
    fn apostrophes_join_or_split() {
        // Removed: "dont" / "do not": nothing shared. Spaced: "don t" / "do not": nothing shared either.
        close(f1("don't", &["do not"]), 0.0);
        // Removed: "im 5" / "i m 5": overlap 1 of 2 and 3. Spaced: identical.
        close(f1("i'm 5", &["i m 5"]), 40.0);
        close(unigram_f1("i'm 5", &["i m 5"], Punctuation::Spaced), 100.0);
    }

    #[test]
    fn empty_texts_score_nothing() {
        close(f1("", &["hello"]), 0.0);
        close(f1("the a !", &["hello"]), 0.0);
        close(f1("hello", &["..."]), 0.0);
        close(f1("", &[""]), 0.0);
        close(f1("hello", &[]), 0.0);
    }

    #[test]
    fn the_best_reference_counts() {
        // 0, 2·1/(2+1), 2·1/(2+3)
        close(f1("red car", &["blue", "red", "my red shoes"]), 100.0 * 2.0 / 3.0);
    }

    proptest! {
        #[test]
        fn bounded_symmetric_and_blind_to_order(a in proptest::collection::vec("[b-d]", 0..8),
                                                 b in proptest::collection::vec("[b-d]", 0..8)) {
            let forward = f1(&a.join(" "), &[&b.join(" ")]);
            prop_assert!((0.0..=100.0).contains(&forward));
            prop_assert_eq!(forward, f1(&b.join(" "), &[&a.join(" ")]));
            let reversed: Vec<_> = a.iter().rev().cloned().collect();
            prop_assert_eq!(forward, f1(&reversed.join(" "), &[&b.join(" ")]));
            if !a.is_empty() {
                prop_assert_eq!(f1(&a.join(" "), &[&reversed.join(" ")]), 100.0);
            }
        }
    }
}
