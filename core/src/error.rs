//! What a loss may say no with.

use std::error::Error;
use std::fmt;

/// Why a loss cannot be made or evaluated, in words for the user: name the parameter, class or count
/// at fault and what would be right.
///
/// Written out where other errors derive, since a plugin then needs no crate but this one, and builds in half the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossError(String);

impl fmt::Display for LossError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl Error for LossError {}

impl LossError {
    /// An error that says `message`.
    pub fn new(message: String) -> Self {
        Self(message)
    }
}

impl From<String> for LossError {
    fn from(message: String) -> Self {
        Self(message)
    }
}
