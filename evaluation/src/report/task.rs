//! What a run trained.

use serde::Serialize;
use serde_json::Value;

/// The task of a run, by the name of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Long-tailed image classification.
    Vision,
    /// Replies in conversations.
    Dialogue,
    /// Objects in images.
    Detection,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Vision, Self::Dialogue, Self::Detection];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vision => "vision",
            Self::Dialogue => "dialogue",
            Self::Detection => "detection",
        }
    }

    /// The validation metric that a run of this task chooses its best epoch by, and whether more of it is better.
    pub(super) fn monitor(self) -> (&'static str, bool) {
        match self {
            Self::Vision => ("accuracy", true),
            Self::Dialogue => ("loss", false),
            Self::Detection => ("AP", true),
        }
    }

    /// Of the command line in a manifest: `toolkit TASK …`.
    pub(super) fn of_command(command: &Value) -> Option<Self> {
        let verb = command.get(1)?.as_str()?;
        Self::ALL.into_iter().find(|task| task.name() == verb)
    }
}
