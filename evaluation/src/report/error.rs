//! Why runs cannot be listed or compared.

use std::io;
use std::path::PathBuf;

/// Why runs cannot be listed or compared.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A folder that cannot be looked into.
    #[error("{} is neither a run folder nor a folder that holds some: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder without runs.
    #[error(
        "{} is no run folder and holds none; a run folder has a config.toml and a manifest.json, which every training writes",
        folder.display()
    )]
    NoRun {
        /// The folder.
        folder: PathBuf,
    },
    /// A run that cannot be compared.
    #[error("{}: {reason}", folder.display())]
    Damaged {
        /// The run folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No run has anything to show.
    #[error("no run has metrics or results yet: {names}; a training writes metrics.jsonl from its first epoch on")]
    Nothing {
        /// The runs.
        names: String,
    },
    /// Data that cannot be written as JSON.
    #[error("the report cannot be put together: {0}")]
    Json(#[from] serde_json::Error),
}
