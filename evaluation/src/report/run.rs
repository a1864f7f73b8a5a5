//! A run folder, as far as it can be read.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;
use toml::Table;

use super::Task;

/// The second training of methods that have one, a folder within the run's.
pub(super) const SECOND_STAGE: &str = "stage-2";

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A process trains in it.
    Running,
    /// It has its results.
    Finished,
    /// It has a checkpoint from which `--resume` goes on.
    Stopped,
    /// It has neither.
    Empty,
    /// What every run has is missing or cannot be read.
    Damaged,
}

impl State {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Empty => "empty",
            Self::Damaged => "damaged",
        }
    }
}

/// A run folder's small files.
#[derive(Debug)]
pub(super) struct Run {
    pub folder: PathBuf,
    pub task: Option<Task>,
    /// The resolved settings; empty where they cannot be read.
    pub config: Table,
    /// Null where it cannot be read.
    pub manifest: Value,
    pub results: Option<Value>,
    /// What is wrong with the folder.
    pub problems: Vec<String>,
}

impl Run {
    /// Reads what is there; what is wrong is in `problems`.
    pub fn read(folder: &Path) -> Self {
        let mut problems = Vec::new();
        let mut text = |name: &str, needed: bool| match fs::read_to_string(folder.join(name)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if needed {
                    problems.push(format!("{name} is missing"));
                }
                None
            }
            Err(error) => {
                problems.push(format!("{name}: {error}"));
                None
            }
        };
        let (config, manifest) = (text("config.toml", true), text("manifest.json", true));
        let results = text("results.json", false);
        let config = config.and_then(|text| {
            let wrong = |error: toml::de::Error| problems.push(format!("config.toml: {}", first_line(&error)));
            text.parse::<Table>().map_err(wrong).ok()
        });
        let mut json = |name: &str, text: Option<String>| {
            let wrong = |error: serde_json::Error| problems.push(format!("{name}: {error}"));
            serde_json::from_str::<Value>(&text?).map_err(wrong).ok()
        };
        let manifest = json("manifest.json", manifest).unwrap_or_default();
        let results = json("results.json", results);
        let task = Task::of_command(&manifest["command"]);
        Self { folder: folder.into(), task, config: config.unwrap_or_default(), manifest, results, problems }
    }

    /// Where it is. `steps` are those that `metrics.jsonl` tells of.
    pub fn state(&self, steps: Option<u64>) -> State {
        let trained = |results: &Value| results["training"]["steps"].as_u64();
        // Resumed for more epochs, and stopped again: what its results tell of is past.
        let past = self.results.as_ref().and_then(trained).zip(steps).is_some_and(|(results, steps)| results < steps);
        let checkpoints = self.folder.join("checkpoints");
        let resumable =
            ["last", "previous"].iter().any(|name| checkpoints.join(format!("{name}.safetensors")).exists());
        if self.is_locked() {
            State::Running
        } else if !self.problems.is_empty() {
            State::Damaged
        } else if self.results.is_some() && !past {
            State::Finished
        } else if resumable {
            State::Stopped
        } else {
            State::Empty
        }
    }

    /// Whether a process trains in the folder. Locks are shared here, so that listing twice at a time is no hindrance.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.folder.join(".lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// When a file of the folder was last written.
    pub fn last_write(&self) -> Option<SystemTime> {
        let below = ["", "checkpoints", SECOND_STAGE];
        let folders = below.iter().filter_map(|name| fs::read_dir(self.folder.join(name)).ok());
        let files = folders.flatten().filter_map(|entry| entry.ok()?.metadata().ok());
        files.filter(fs::Metadata::is_file).filter_map(|file| file.modified().ok()).max()
    }

    /// The loss's id.
    pub fn loss(&self) -> Option<String> {
        let own = |key: &str| Some(self.config.get(key)?.as_str()?.to_owned());
        let of_results = || Some(self.results.as_ref()?["loss"].as_str()?.to_owned());
        own("loss").or_else(of_results)
    }

    /// A whole number among the settings.
    pub fn setting(&self, key: &str) -> Option<u64> {
        u64::try_from(self.config.get(key)?.as_integer()?).ok()
    }
}

/// TOML's errors draw the place below it.
fn first_line(error: &toml::de::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
        + ": "
        + error.message().lines().next().unwrap_or_default()
}
