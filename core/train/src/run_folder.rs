//! The folder of a run: created whole, refused when taken, taken up again only with the same settings.

mod replaced;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::atomic_file::write_atomically;
use crate::error::FileError;
use crate::manifest::{Manifest, Resumption, sha256_text};
use crate::settings;
use replaced::{Replaced, abandoned, has_checkpoint};

const CONFIG: &str = "config.toml";
const MANIFEST: &str = "manifest.json";
const CHECKPOINTS: &str = "checkpoints";
const LAST: &str = "last.safetensors";
const PREVIOUS: &str = "previous.safetensors";
const RESULTS: &str = "results.json";
const LOCK: &str = ".lock";

/// Whether a run starts, goes on, or replaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// The folder must not exist.
    New,
    /// `--resume`: the folder must hold a run.
    Resume,
    /// `--overwrite`: a run in the folder is replaced.
    Overwrite,
}

/// Why a folder cannot be used for a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It exists, and neither flag was given.
    #[error("{} exists; give --resume to go on with that run, --overwrite to replace it, or another --run", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// `--resume` without a run there.
    #[error("{} holds no run to resume ({missing} is missing); leave out --resume to start one", folder.display())]
    NothingToResume {
        /// The folder.
        folder: PathBuf,
        /// What every run has.
        missing: &'static str,
    },
    /// `--resume` without a run there, or without a checkpoint, where a run is beside it that was to be replaced.
    #[error(
        "{} holds no run to resume: a process that was to replace it was killed, and it is in {} since; \
         move it back to resume it, or give --overwrite to replace it", folder.display(), aside.display()
    )]
    Aside {
        /// The folder.
        folder: PathBuf,
        /// Where the run is.
        aside: PathBuf,
    },
    /// `--resume` of a run that wrote no checkpoint.
    #[error("{} holds no checkpoint to resume from; give --overwrite to start it again", folder.display())]
    NoCheckpoint {
        /// The folder.
        folder: PathBuf,
    },
    /// `--overwrite` of something that is not a run.
    #[error("{} is not a run folder (it has no {MANIFEST} and {CONFIG}), so --overwrite will not delete it; give another --run", folder.display())]
    NotARun {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process trains there.
    #[error("another process is using {}; wait for it or give another --run", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The settings are not those of the run to resume.
    #[error("{} was started with other settings: {difference}. Resume with the same, or start a new run", folder.display())]
    OtherSettings {
        /// The folder.
        folder: PathBuf,
        /// First difference.
        difference: String,
    },
    /// `--resume` or `--overwrite` without `--run`.
    #[error("--resume and --overwrite need --run FOLDER, the run they are about")]
    NoFolder,
    /// A file of the folder is not what the toolkit writes.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RunError {
    /// 2 for wrong usage, 1 for a failure.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, RunError::File(_) | RunError::Malformed { .. }) { 1 } else { 2 }
    }
}

/// What [`RunFolder::open`] needs to know.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// `--run`; `None` for `<root>/<name>-NNN`.
    pub folder: Option<PathBuf>,
    /// Where numbered runs go: `runs`.
    pub root: PathBuf,
    /// Start of a numbered run's name: `<task>-<loss>`.
    pub name: String,
    /// New, resume or overwrite.
    pub mode: RunMode,
    /// The resolved configuration, TOML.
    pub config: String,
    /// Versions, data and so on.
    pub manifest: Manifest,
}

/// An open run folder. Until [`RunFolder::keep`], dropping it undoes the creation.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    resumed: bool,
    settings_hash: String,
    /// A replaced run, out of the way until the new one has taken its first step.
    replaced: Option<Replaced>,
    /// Whether it was taken up and no step was taken since, so that results that are there are still its own.
    untouched: bool,
    /// The settings that it was taken up with, until the results of the former ones are gone.
    pending_config: Option<String>,
    provisional: bool,
    _lock: File,
}

impl RunFolder {
    /// Says early, before data are read, whether [`RunFolder::open`] would refuse. Changes nothing.
    ///
    /// # Errors
    /// As [`RunFolder::open`], settings excepted.
    pub fn check(folder: Option<&Path>, mode: RunMode) -> Result<(), RunError> {
        let Some(folder) = folder else {
            return if mode == RunMode::New { Ok(()) } else { Err(RunError::NoFolder) };
        };
        let exists = folder.symlink_metadata().is_ok();
        match mode {
            RunMode::New if exists => Err(RunError::Exists { folder: folder.into() }),
            RunMode::Overwrite if exists && !may_overwrite(folder) => Err(RunError::NotARun { folder: folder.into() }),
            RunMode::Resume => {
                if let Some(aside) = abandoned(folder).filter(|_| !has_checkpoint(folder)) {
                    return Err(RunError::Aside { folder: folder.into(), aside });
                }
                for missing in [CONFIG, MANIFEST, CHECKPOINTS] {
                    if !folder.join(missing).exists() {
                        return Err(RunError::NothingToResume { folder: folder.into(), missing });
                    }
                }
                if !has_checkpoint(folder) {
                    return Err(RunError::NoCheckpoint { folder: folder.into() });
                }
                lock(folder).map(drop)
            }
            RunMode::Overwrite if is_run(folder) || folder.join(LOCK).is_file() => lock(folder).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether `folder` holds a checkpoint that `--resume` can go on from: the last one or, where a process was killed between two
    /// renames or a damaged file was set aside, the one before.
    pub fn resumable(folder: &Path) -> bool {
        has_checkpoint(folder)
    }

    /// The resolved configuration that a run folder was started with, TOML.
    ///
    /// # Errors
    /// [`RunError::File`] when there is none.
    pub fn stored_config(folder: &Path) -> Result<String, RunError> {
        let path = folder.join(CONFIG);
        Ok(std::fs::read_to_string(&path).map_err(FileError::on("read", &path))?)
    }

    /// The manifest of a run folder.
    ///
    /// # Errors
    /// [`RunError::File`] when there is none, [`RunError::Malformed`] when it is not what the toolkit writes.
    pub fn stored_manifest(folder: &Path) -> Result<Manifest, RunError> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(FileError::on("read", &path))?;
        serde_json::from_str(&text).map_err(|error| RunError::Malformed { path, reason: error.to_string() })
    }

    /// Creates or takes up the folder of a run, with `config.toml`, `manifest.json` and `checkpoints/`.
    ///
    /// # Errors
    /// See [`RunError`]. A folder that was created is removed again.
    pub fn open(request: &RunRequest) -> Result<RunFolder, RunError> {
        RunFolder::check(request.folder.as_deref(), request.mode)?;
        match (&request.folder, request.mode) {
            (Some(folder), RunMode::Resume) => RunFolder::take_up(folder, request),
            (Some(folder), mode) => {
                let replaced = match mode {
                    RunMode::Overwrite => Replaced::set_aside(folder)?,
                    _ => None,
                };
                if let Some(aside) = abandoned(folder) {
                    eprintln!(
                        "warning: {} is a run that was to be replaced by a process that was killed; delete it if it is not needed",
                        aside.display()
                    );
                }
                let created = match create_all_but_last(folder) {
                    Ok(()) => std::fs::create_dir(folder).map_err(FileError::on("create", folder)),
                    Err(error) => Err(error),
                };
                if let Err(error) = created {
                    restore(replaced, folder);
                    return Err(error.into());
                }
                RunFolder::fill(folder.clone(), replaced, request)
            }
            (None, _) => RunFolder::fill(create_numbered(&request.root, &request.name)?, None, request),
        }
    }

    fn fill(path: PathBuf, replaced: Option<Replaced>, request: &RunRequest) -> Result<RunFolder, RunError> {
        let opened = (|| {
            let lock = lock(&path)?;
            let checkpoints = path.join(CHECKPOINTS);
            std::fs::create_dir(&checkpoints).map_err(FileError::on("create", &checkpoints))?;
            let settings_hash = settings_hash(&path, &request.config)?;
            write_text(&path.join(CONFIG), &request.config)?;
            write_json(&path.join(MANIFEST), &request.manifest)?;
            Ok((lock, settings_hash))
        })();
        match opened {
            Ok((lock, settings_hash)) => {
                let (resumed, untouched, pending_config, provisional) = (false, false, None, true);
                Ok(RunFolder {
                    path,
                    resumed,
                    settings_hash,
                    replaced,
                    untouched,
                    pending_config,
                    provisional,
                    _lock: lock,
                })
            }
            Err(error) => {
                let _ = std::fs::remove_dir_all(&path);
                restore(replaced, &path);
                Err(error)
            }
        }
    }

    fn take_up(folder: &Path, request: &RunRequest) -> Result<RunFolder, RunError> {
        let lock = lock(folder)?;
        let mut manifest = RunFolder::stored_manifest(folder)?;
        let other = |difference: String| RunError::OtherSettings { folder: folder.to_path_buf(), difference };
        let stored = RunFolder::stored_config(folder)?;
        let (before, now) = (parse(folder, &stored)?, parse(folder, &request.config)?);
        let shorter = || settings::fewer_epochs(&before, &now).filter(|_| folder.join(RESULTS).exists());
        if let Some(difference) = settings::difference(&before, &now).or_else(shorter) {
            return Err(other(difference));
        }
        if by_file_name(&manifest) != by_file_name(&request.manifest) {
            return Err(other(data_difference(&manifest, &request.manifest)));
        }
        for plugin in &request.manifest.plugins {
            if manifest.plugins.iter().any(|old| old.id == plugin.id && old.sha256 != plugin.sha256) {
                eprintln!(
                    "warning: {} has changed since the run was started; the result will mix both builds",
                    plugin.path.display()
                );
            }
        }
        manifest
            .resumed
            .push(Resumption { time: request.manifest.started.clone(), command: request.manifest.command.clone() });
        write_json(&folder.join(MANIFEST), &manifest)?;
        Ok(RunFolder {
            path: folder.to_path_buf(),
            resumed: true,
            settings_hash: settings_hash(folder, &request.config)?,
            replaced: None,
            untouched: true,
            // The keys that may change (more epochs, say) are to be as given.
            pending_config: Some(request.config.clone()).filter(|config| *config != stored),
            provisional: false,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where checkpoints go.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The newest checkpoint: `last.safetensors`.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.checkpoints().join(LAST)
    }

    /// The checkpoint before it: `previous.safetensors`.
    pub fn previous_checkpoint(&self) -> PathBuf {
        self.checkpoints().join(PREVIOUS)
    }

    /// The weights with the best validation value: `best.safetensors`.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("best.safetensors")
    }

    /// Whether the run was taken up with `--resume`.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// SHA-256 of the settings that must stay the same for a run to be resumed.
    pub fn settings_hash(&self) -> &str {
        &self.settings_hash
    }

    /// From here on the folder stays, and a run that it replaces is gone; of a run that was taken up, the settings are now as
    /// given, and results from before are gone. The training loop calls this after every step.
    ///
    /// # Errors
    /// [`RunError::File`] when the replaced run or the results cannot be deleted.
    pub fn keep(&mut self) -> Result<(), RunError> {
        self.provisional = false;
        if std::mem::take(&mut self.untouched) {
            self.delete_results()?;
        }
        if let Some(config) = self.pending_config.take() {
            write_text(&self.path.join(CONFIG), &config)?;
        }
        self.replaced.take().map_or(Ok(()), Replaced::delete)
    }

    /// Writes `results.json`, atomically, and the settings that a run was taken up with, if that took no step.
    ///
    /// # Errors
    /// [`RunError::File`] when the disk refuses.
    pub fn write_results(&self, results: &impl Serialize) -> Result<PathBuf, RunError> {
        if let Some(config) = &self.pending_config {
            self.delete_results()?;
            write_text(&self.path.join(CONFIG), config)?;
        }
        let path = self.path.join(RESULTS);
        write_json(&path, results)?;
        Ok(path)
    }

    /// Before other settings are written, so that a kill between the two never leaves results beside settings that they are
    /// not of.
    fn delete_results(&self) -> Result<(), FileError> {
        let results = self.path.join(RESULTS);
        match std::fs::remove_file(&results) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::on("delete", &results)(error)),
            _ => Ok(()),
        }
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.provisional {
            let _ = std::fs::remove_dir_all(&self.path);
            restore(self.replaced.take(), &self.path);
        }
    }
}

fn is_run(folder: &Path) -> bool {
    folder.join(MANIFEST).is_file() && folder.join(CONFIG).is_file()
}

/// Only a run, the beginnings of one, or nothing at all may be deleted.
fn may_overwrite(folder: &Path) -> bool {
    let is_real = folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let is_empty = |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    is_real && (is_run(folder) || is_empty(folder) || is_half_made(folder, is_empty))
}

/// What a process leaves that was killed while it made a run's folder: the lock, which comes first, and nothing but what
/// comes before the manifest.
fn is_half_made(folder: &Path, is_empty: impl Fn(&Path) -> bool) -> bool {
    let temporary = |name: &str| name == format!(".{CONFIG}.tmp") || name == format!(".{MANIFEST}.tmp");
    let comes_first = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| match entry.file_name().to_str() {
            Some(CHECKPOINTS) => is_empty(&entry.path()),
            Some(name) => name == LOCK || name == CONFIG || temporary(name),
            None => false,
        })
    };
    folder.join(LOCK).is_file() && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.all(comes_first))
}

fn restore(replaced: Option<Replaced>, folder: &Path) {
    if let Some(replaced) = replaced {
        replaced.restore(folder);
    }
}

fn create_all_but_last(folder: &Path) -> Result<(), FileError> {
    match folder.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(FileError::on("create", parent)),
        None => Ok(()),
    }
}

/// Creates the next free `<root>/<name>-NNN`. `create_dir` fails on a folder that exists, so two processes never share one.
fn create_numbered(root: &Path, name: &str) -> Result<PathBuf, RunError> {
    std::fs::create_dir_all(root).map_err(FileError::on("create", root))?;
    let prefix = format!("{name}-");
    let highest = std::fs::read_dir(root)
        .map_err(FileError::on("read", root))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(&prefix)?.parse::<u32>().ok())
        .max()
        .unwrap_or(0);
    for number in highest + 1.. {
        let folder = root.join(format!("{name}-{number:03}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FileError::on("create", &folder)(error).into()),
        }
    }
    Err(RunError::Exists { folder: root.join(prefix) })
}

/// Held as long as the run is open; the system releases it when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, RunError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(FileError::on("create", &path))?;
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => Err(RunError::InUse { folder: folder.into() }),
        // Some network file systems have no locks; training there is better than refusing.
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => Ok(file),
    }
}

fn parse(folder: &Path, text: &str) -> Result<toml::Table, RunError> {
    text.parse()
        .map_err(|error: toml::de::Error| RunError::Malformed { path: folder.join(CONFIG), reason: error.to_string() })
}

fn settings_hash(folder: &Path, config: &str) -> Result<String, RunError> {
    Ok(sha256_text(&settings::canonical(&parse(folder, config)?)))
}

/// The hashes of a run's data with the last part of each name, sorted: files may have been moved, or named from another folder.
fn by_file_name(manifest: &Manifest) -> Vec<(&str, &str)> {
    let mut files: Vec<(&str, &str)> =
        manifest.data.iter().map(|(name, hash)| (file_name(name), hash.as_str())).collect();
    files.sort_unstable();
    files
}

fn file_name(name: &str) -> &str {
    Path::new(name).file_name().and_then(|file| file.to_str()).unwrap_or(name)
}

fn data_difference(old: &Manifest, new: &Manifest) -> String {
    let (old, new) = (by_file_name(old), by_file_name(new));
    let lacks = |files: &[(&str, &str)], file: &&(&str, &str)| !files.contains(*file);
    let changed = old.iter().find(|file| lacks(&new, file)).or_else(|| new.iter().find(|file| lacks(&old, file)));
    format!("the contents of the data file `{}` are not the same", changed.map_or("", |(name, _)| *name))
}

fn write_text(path: &Path, text: &str) -> Result<(), FileError> {
    write_atomically(path, |file| file.write_all(text.as_bytes())).map_err(FileError::on("write", path))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let write = |file: &mut File| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    };
    write_atomically(path, write).map_err(FileError::on("write", path))
}

#[cfg(test)]
mod tests;
