//! How often the word types of a training file occur (Figure 7).

use std::path::Path;

use anyhow::Context as _;
use imbalance_dialogue::data::Corpus;
use imbalance_dialogue::vocabulary::{Vocabulary, VocabularyOptions};

/// The last count of each bar but the highest.
const LIMITS: [u64; 2] = [10, 1000];

/// Counts of word types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    counts: Vec<u64>,
}

impl Words {
    /// Counts the words of the personas, messages and replies of the training file in `folder`, as the vocabulary has them.
    ///
    /// # Errors
    /// The conversations cannot be read.
    pub fn count(folder: &Path) -> anyhow::Result<Self> {
        let corpus = Corpus::load(folder)?;
        let vocabulary = Vocabulary::build(&corpus.train, &VocabularyOptions::default())
            .with_context(|| folder.display().to_string())?;
        let mut counts = vec![0; vocabulary.len()];
        for dialogue in &corpus.train {
            let turns = dialogue.turns.iter().map(|turn| &turn.text);
            for id in dialogue.persona.iter().chain(turns).flat_map(|text| vocabulary.encode(text)) {
                counts[id as usize] += 1;
            }
        }
        Ok(Self { counts: counts.into_iter().filter(|&count| count > 0).collect() })
    }

    /// Types of each bar: rare, between, frequent.
    pub fn bars(&self) -> [usize; 3] {
        let upto = |limit: u64| self.counts.iter().filter(|&&count| count <= limit).count();
        let [rare, between] = LIMITS.map(upto);
        [rare, between - rare, self.counts.len() - between]
    }

    /// Their number, and the imbalance ratio.
    pub fn note(&self) -> String {
        let ends = self.counts.iter().max().zip(self.counts.iter().min());
        let ratio = ends.map_or(0.0, |(most, fewest)| *most as f64 / *fewest as f64);
        format!("These data: {} word types, imbalance ratio {ratio:.0}; the paper: 18,848 and 277K.", self.counts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_by_hand() {
        let words = Words { counts: vec![1, 10, 11, 1000, 1001, 2002, 3] };
        assert_eq!(words.bars(), [3, 2, 2]);
        assert!(words.note().starts_with("These data: 7 word types, imbalance ratio 2002;"));
    }
}
