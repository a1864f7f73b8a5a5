//! The classes of each training example.

/// The class ids of every example, all in one array: an image has one, a reply has one for each target token, a
/// photograph one for each of its boxes, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExampleClasses {
    ids: Vec<u32>,
    /// Where the ids of each example end.
    ends: Vec<usize>,
}

impl ExampleClasses {
    /// One class for each example.
    pub fn single(classes: Vec<u32>) -> Self {
        let ends = (1..=classes.len()).collect();
        Self { ids: classes, ends }
    }

    /// Adds an example with these classes; one that occurs several times counts several times.
    pub fn push(&mut self, classes: impl IntoIterator<Item = u32>) {
        self.ids.extend(classes);
        self.ends.push(self.ids.len());
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The class ids of each example, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let classes = &self.ids[start..end];
            start = end;
            classes
        })
    }
}

impl<C: IntoIterator<Item = u32>> FromIterator<C> for ExampleClasses {
    fn from_iter<I: IntoIterator<Item = C>>(examples: I) -> Self {
        let mut all = Self::default();
        examples.into_iter().for_each(|classes| all.push(classes));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_have_one_class_or_several_or_none() {
        let classes = ExampleClasses::from_iter([vec![4, 4, 1], vec![], vec![0]]);
        assert_eq!(classes.iter().collect::<Vec<_>>(), [&[4, 4, 1][..], &[], &[0]]);
        assert_eq!(ExampleClasses::single(vec![2, 0]).iter().collect::<Vec<_>>(), [[2], [0]]);
        assert_eq!((classes.len(), ExampleClasses::default().is_empty()), (3, true));
    }
}
