//! Memory of batches, used again: a batch has some hundred megabytes, whose fresh pages would cost as much as filling them.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The numbers of a batch. Dropped, its memory serves a later one.
#[derive(Debug, Default)]
pub struct PixelBuffer {
    numbers: Vec<f32>,
    home: Option<Arc<Buffers>>,
}

impl PixelBuffer {
    pub(super) fn new(numbers: Vec<f32>, home: Option<&Arc<Buffers>>) -> Self {
        Self { numbers, home: home.cloned() }
    }
}

impl Deref for PixelBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers
    }
}

impl Drop for PixelBuffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.give_back(std::mem::take(&mut self.numbers));
        }
    }
}
