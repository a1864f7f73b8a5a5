//! Memory of batches, used again: fresh pages for each batch would cost as much as augmenting a small one.

use std::sync::{Mutex, PoisonError};

/// Buffers that no batch uses just now.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<f32>>>);

impl Buffers {
    /// A buffer of any length and content.
    pub fn take(&self) -> Vec<f32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a buffer for later.
    pub fn give_back(&self, buffer: Vec<f32>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
