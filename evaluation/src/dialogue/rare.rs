//! Rare words: types that the training replies hold few tokens of.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Which words are rare, by their count in the training replies.
///
/// A word that training never had (count 0) is rare under both definitions; its share is also reported on its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RareWords {
    /// Types with at most this many training tokens.
    AtMost(u64),
    /// The tail: the rarest types that together make up at least this share of all training tokens, strictly between 0
    /// and 1. Types of equal count are taken together, so the tail is the types with count ≤ c for the smallest c
    /// that reaches the share.
    Tail(f64),
}

impl Default for RareWords {
    /// The tail that makes up a tenth of the training tokens.
    fn default() -> Self {
        Self::Tail(0.1)
    }
}

impl RareWords {
    /// The largest training count that is still rare.
    pub(super) fn threshold(self, train_counts: &HashMap<String, u64>) -> u64 {
        let share = match self {
            Self::AtMost(count) => return count,
            Self::Tail(share) => share,
        };
        let mut counts: Vec<u64> = train_counts.values().copied().collect();
        counts.sort_unstable();
        // Wider than the counts: a file may claim any of them.
        let total: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        let mut tail = 0_u128;
        for count in counts {
            tail += u128::from(count);
            if tail as f64 >= share * total as f64 {
                return count;
            }
        }
        // Not reached for a share below 1: the whole makes up the whole.
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[u64]) -> HashMap<String, u64> {
        counts.iter().enumerate().map(|(i, &count)| (i.to_string(), count)).collect()
    }

    #[test]
    fn the_tail_is_found_by_tokens_not_types() {
        // 100 tokens. Sorted 1 2 2 5 10 80: cumulative 1 3 5 10 20 100.
        let train = counts(&[80, 10, 5, 2, 2, 1]);
        assert_eq!(RareWords::Tail(0.1).threshold(&train), 5);
        assert_eq!(RareWords::Tail(0.11).threshold(&train), 10);
        assert_eq!(RareWords::Tail(0.02).threshold(&train), 2);
        assert_eq!(RareWords::Tail(0.999).threshold(&train), 80);
        assert_eq!(RareWords::default().threshold(&train), 5);
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        assert_eq!(RareWords::Tail(0.4).threshold(&counts(&[u64::MAX, u64::MAX])), u64::MAX);
    }

    #[test]
    fn a_count_is_itself_the_threshold() {
        assert_eq!(RareWords::AtMost(3).threshold(&counts(&[9])), 3);
    }
}
