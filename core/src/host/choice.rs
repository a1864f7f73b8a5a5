//! A loss chosen by the user, before the class counts are known.

use std::sync::Arc;

use super::{Loss, Plugin};
use crate::{ClassCounts, Head, LossError};

/// A plugin with the parameters that the user set; counts and head make it a [`Loss`].
#[derive(Clone, Debug)]
pub struct LossChoice {
    /// The opened plugin.
    pub plugin: Arc<Plugin>,
    /// Parameters by name; the others take their defaults.
    pub params: Vec<(String, f64)>,
}

impl LossChoice {
    /// Makes the loss.
    ///
    /// # Errors
    /// See [`Loss::new`].
    pub fn make(&self, head: Head, classes: &ClassCounts) -> Result<Loss, LossError> {
        Loss::new(Arc::clone(&self.plugin), head, &self.params, classes)
    }
}
