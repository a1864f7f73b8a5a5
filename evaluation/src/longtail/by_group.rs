//! A value for all classes and for each group of classes.

use serde::{Deserialize, Serialize};

use super::Group;

/// A value of all classes with test images, and of those in each group; `None` where a group has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByGroup<T> {
    /// All classes.
    pub all: T,
    /// Classes with many training images.
    pub many: Option<T>,
    /// Classes between.
    pub medium: Option<T>,
    /// Classes with few training images.
    pub few: Option<T>,
}

impl<T> ByGroup<T> {
    /// The value of a group.
    pub fn of(&self, group: Group) -> Option<&T> {
        match group {
            Group::Many => self.many.as_ref(),
            Group::Medium => self.medium.as_ref(),
            Group::Few => self.few.as_ref(),
        }
    }

    /// Another value for each.
    pub fn map<U>(&self, f: impl Fn(&T) -> U) -> ByGroup<U> {
        let [many, medium, few] = Group::ALL.map(|group| self.of(group).map(&f));
        ByGroup { all: f(&self.all), many, medium, few }
    }

    /// Of the value of all classes and a function for that of each group.
    pub(super) fn from_fn(all: T, f: impl FnMut(Group) -> Option<T>) -> Self {
        let [many, medium, few] = Group::ALL.map(f);
        Self { all, many, medium, few }
    }
}
