//! What a loss may say no with.

/// Why a loss cannot be made or evaluated, in words for the user: name the parameter, class or count
/// at fault and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LossError(String);

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
