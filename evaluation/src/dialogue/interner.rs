//! Words as dense integers: every metric after the first pass compares and hashes ids, not strings.

use std::collections::HashMap;

/// Gives each distinct word the next id, from 0.
#[derive(Debug, Default)]
pub(super) struct Interner {
    ids: HashMap<String, u32>,
}

impl Interner {
    /// The id of `word`, a new one when it was not seen before.
    pub(super) fn intern(&mut self, word: &str) -> u32 {
        if let Some(&id) = self.ids.get(word) {
            return id;
        }
        // More than 2^32 distinct words do not fit in memory, so the conversion never truncates.
        let id = self.ids.len() as u32;
        self.ids.insert(word.to_owned(), id);
        id
    }

    /// Distinct words so far; ids are below it.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Ids of several words, in order.
    pub(super) fn intern_all<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) -> Vec<u32> {
        words.into_iter().map(|word| self.intern(word)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_id() {
        let mut interner = Interner::default();
        assert_eq!(interner.intern_all(["b", "a", "b", ""]), [0, 1, 0, 2]);
        assert_eq!(interner.len(), 3);
    }
}
