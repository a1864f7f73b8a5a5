//! Groups of classes by how many training images they have: many, medium, few.

use serde::{Deserialize, Serialize};

/// A group of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The classes with the most training images.
    Many,
    /// Those between.
    Medium,
    /// The classes with the fewest.
    Few,
}

impl Group {
    /// All of them, from the most training images to the fewest.
    pub const ALL: [Self; 3] = [Self::Many, Self::Medium, Self::Few];

    /// Its name, as the paper's tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Many => "Many",
            Self::Medium => "Medium",
            Self::Few => "Few",
        }
    }
}

/// Which classes are in which group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Groups {
    /// By the number of training images (paper, section 5.1: more than 100, 20 to 100, fewer than 20).
    Count {
        /// Many: classes with more training images than this.
        many_above: u64,
        /// Few: classes with fewer training images than this.
        few_below: u64,
    },
    /// By the place among all classes, from the most training images to the fewest; of equal counts, the lower class
    /// index first. For sets such as CIFAR-LT, where the limits of [`Groups::Count`] leave a group empty.
    Rank {
        /// Many: this many classes.
        many: usize,
        /// Medium: the next ones.
        medium: usize,
        /// Few: the last ones.
        few: usize,
    },
}

/// Why classes cannot be grouped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// A class would be in two groups.
    #[error(
        "groups of more than {many_above} and fewer than {few_below} training images overlap; \
         the second limit must be at most {}", many_above.saturating_add(1)
    )]
    Overlap {
        /// Lower limit of Many.
        many_above: u64,
        /// Upper limit of Few.
        few_below: u64,
    },
    /// Groups by rank that are not all classes.
    #[error("groups of {many}, {medium} and {few} classes are {} in all; they must be the {classes} classes there are", many + medium + few)]
    Classes {
        /// Classes of Many.
        many: usize,
        /// Classes of Medium.
        medium: usize,
        /// Classes of Few.
        few: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Text that sets no groups.
    #[error("found {found:?}; it must be {expected}")]
    Text {
        /// The text.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl Default for Groups {
    /// Those of ImageNet-LT and iNaturalist: more than 100, 20 to 100, fewer than 20 training images.
    fn default() -> Self {
        Self::Count { many_above: 100, few_below: 20 }
    }
}

impl Groups {
    /// Groups by number of training images.
    ///
    /// # Errors
    /// The groups overlap.
    pub fn by_count(many_above: u64, few_below: u64) -> Result<Self, GroupError> {
        if few_below > many_above.saturating_add(1) {
            return Err(GroupError::Overlap { many_above, few_below });
        }
        Ok(Self::Count { many_above, few_below })
    }

    /// Groups of so many classes each, from the most training images to the fewest.
    pub fn by_rank(many: usize, medium: usize, few: usize) -> Self {
        Self::Rank { many, medium, few }
    }

    /// Groups by number of training images from text such as `100,20` (the argument of `--groups`).
    ///
    /// # Errors
    /// The text is not two whole numbers with a comma between; the groups overlap.
    pub fn parse_counts(text: &str) -> Result<Self, GroupError> {
        let expected =
            "two numbers of training images, such as 100,20: Many has more than the first, Few fewer than the second";
        match numbers(text)[..] {
            [Some(many_above), Some(few_below)] => Self::by_count(many_above, few_below),
            _ => Err(GroupError::Text { found: text.to_owned(), expected }),
        }
    }

    /// Groups by rank from text such as `3,4,3` (the argument of `--group-classes`).
    ///
    /// # Errors
    /// The text is not three whole numbers with commas between.
    pub fn parse_classes(text: &str) -> Result<Self, GroupError> {
        let expected = "three numbers of classes, such as 3,4,3: Many, Medium, Few";
        let sizes = numbers(text).into_iter().map(|number| number.and_then(|number| u32::try_from(number).ok()));
        match sizes.collect::<Vec<_>>()[..] {
            [Some(many), Some(medium), Some(few)] => Ok(Self::by_rank(many as usize, medium as usize, few as usize)),
            _ => Err(GroupError::Text { found: text.to_owned(), expected }),
        }
    }

    /// The group of each class.
    ///
    /// # Shapes
    /// - `train_counts` and the result: `[classes]`
    ///
    /// # Errors
    /// The limits overlap, or the groups by rank are not as many classes as there are.
    pub fn assign(&self, train_counts: &[u64]) -> Result<Vec<Group>, GroupError> {
        match *self {
            Self::Count { many_above, few_below } => {
                Self::by_count(many_above, few_below)?;
                Ok(train_counts
                    .iter()
                    .map(|&count| match count {
                        count if count > many_above => Group::Many,
                        count if count < few_below => Group::Few,
                        _ => Group::Medium,
                    })
                    .collect())
            }
            Self::Rank { many, medium, few } => {
                if many.checked_add(medium).and_then(|sum| sum.checked_add(few)) != Some(train_counts.len()) {
                    return Err(GroupError::Classes { many, medium, few, classes: train_counts.len() });
                }
                let mut groups = vec![Group::Few; train_counts.len()];
                for (rank, class) in by_frequency(train_counts).into_iter().enumerate().take(many + medium) {
                    groups[class] = if rank < many { Group::Many } else { Group::Medium };
                }
                Ok(groups)
            }
        }
    }

    /// What is in a group, in words.
    pub fn describe(&self, group: Group) -> String {
        match (*self, group) {
            (Self::Count { many_above, .. }, Group::Many) => format!("more than {many_above} training images"),
            (Self::Count { many_above, few_below }, Group::Medium) => {
                format!("{few_below} to {many_above} training images")
            }
            (Self::Count { few_below, .. }, Group::Few) => format!("fewer than {few_below} training images"),
            (Self::Rank { .. }, Group::Many) => "those with the most training images".to_owned(),
            (Self::Rank { .. }, Group::Medium) => "those between".to_owned(),
            (Self::Rank { .. }, Group::Few) => "those with the fewest training images".to_owned(),
        }
    }
}

/// Classes from the most training images to the fewest; of equal counts, the lower index first.
pub(super) fn by_frequency(train_counts: &[u64]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..train_counts.len()).collect();
    classes.sort_by_key(|&class| std::cmp::Reverse(train_counts[class]));
    classes
}

fn numbers(text: &str) -> Vec<Option<u64>> {
    text.split(',').map(|number| number.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::Group::{Few, Many, Medium};
    use super::*;

    #[test]
    fn limits_belong_to_the_medium_group() {
        let groups = Groups::default().assign(&[101, 100, 20, 19, 0]).unwrap();
        assert_eq!(groups, [Many, Medium, Medium, Few, Few]);
        // No count is between: 6 and more, 5 and fewer.
        let groups = Groups::by_count(5, 6).unwrap().assign(&[6, 5]).unwrap();
        assert_eq!(groups, [Many, Few]);
        assert_eq!(Groups::by_count(5, 7), Err(GroupError::Overlap { many_above: 5, few_below: 7 }));
        assert!(Groups::by_count(u64::MAX, u64::MAX).is_ok());
    }

    #[test]
    fn ranks_go_by_count_and_then_by_index() {
        let groups = Groups::by_rank(1, 2, 1).assign(&[7, 3, 7, 9]).unwrap();
        assert_eq!(groups, [Medium, Few, Medium, Many]);
        let error = Groups::by_rank(1, 2, 2).assign(&[7, 3, 7, 9]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "groups of 1, 2 and 2 classes are 5 in all; they must be the 4 classes there are"
        );
        assert!(Groups::by_rank(0, 0, 2).assign(&[1, 2]).unwrap().iter().all(|&group| group == Few));
    }

    #[test]
    fn text_sets_groups_or_says_what_would() {
        assert_eq!(Groups::parse_counts("100,20"), Ok(Groups::default()));
        assert_eq!(Groups::parse_classes("3, 4,3"), Ok(Groups::by_rank(3, 4, 3)));
        for bad in ["", "100", "100,20,3", "100,-20", "a,b", "20;100"] {
            assert!(matches!(Groups::parse_counts(bad), Err(GroupError::Text { found, .. }) if found == bad));
        }
        for bad in ["3,4", "3,4,3,1", "3,4,x", "3,4,99999999999"] {
            assert!(matches!(Groups::parse_classes(bad), Err(GroupError::Text { found, .. }) if found == bad));
        }
        assert!(matches!(Groups::parse_counts("20,100"), Err(GroupError::Overlap { .. })));
    }

    #[test]
    fn groups_are_described() {
        let of = |groups: Groups| Group::ALL.map(|group| groups.describe(group)).join("; ");
        assert_eq!(
            of(Groups::default()),
            "more than 100 training images; 20 to 100 training images; fewer than 20 training images"
        );
        assert_eq!(
            of(Groups::by_rank(1, 1, 1)),
            "those with the most training images; those between; those with the fewest training images"
        );
    }
}
