//! How many training examples each class has.

use crate::LossError;

/// Training examples of each class, `[classes]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCounts(Vec<u64>);

impl ClassCounts {
    /// Wraps `counts` `[classes]`.
    ///
    /// # Errors
    /// No class at all, or no example at all.
    pub fn new(counts: Vec<u64>) -> Result<Self, LossError> {
        if counts.is_empty() {
            return Err(LossError::new("class counts: none given, at least one class is needed".into()));
        }
        if counts.iter().all(|&count| count == 0) {
            return Err(LossError::new(format!(
                "class counts: all {} are 0, at least one example is needed",
                counts.len()
            )));
        }
        Ok(Self(counts))
    }

    /// The number of classes C.
    #[allow(clippy::len_without_is_empty, reason = "never empty: the constructor refuses it")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The counts as given, zeros included.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// The counts that weights are computed from: a class without training examples, such as a word
    /// seen only in validation, counts as one.
    pub fn seen(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.0.iter().map(|&count| count.max(1) as f64)
    }

    /// The classes without training examples, for a warning.
    pub fn unseen(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter(|&(_, &count)| count == 0).map(|(class, _)| class)
    }

    /// The imbalance ratio: the largest count over the smallest non-zero one (paper, Table 11).
    pub fn imbalance_ratio(&self) -> f64 {
        let largest = self.0.iter().copied().max().unwrap_or(1);
        let smallest = self.0.iter().copied().filter(|&count| count > 0).min().unwrap_or(1);
        largest as f64 / smallest as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_nothing_to_count() {
        assert!(ClassCounts::new(vec![]).is_err());
        assert!(ClassCounts::new(vec![0, 0]).unwrap_err().to_string().contains("all 2 are 0"));
    }

    #[test]
    fn unseen_classes_count_as_one_in_weights_but_not_in_the_ratio() {
        let counts = ClassCounts::new(vec![50, 0, 5]).unwrap();
        assert_eq!(counts.seen().collect::<Vec<_>>(), [50.0, 1.0, 5.0]);
        assert_eq!(counts.unseen().collect::<Vec<_>>(), [1]);
        assert_eq!(counts.imbalance_ratio(), 10.0);
    }
}
