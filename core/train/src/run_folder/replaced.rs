//! A run that is being replaced: out of the way, under another name beside its folder, until the new one has taken its first step.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{CHECKPOINTS, LAST, LOCK, MANIFEST, PREVIOUS, RunError, is_run, lock};
use crate::error::FileError;

/// What was in the folder of a new run.
#[derive(Debug)]
pub(super) struct Replaced {
    path: PathBuf,
    /// Says to others, while it is held, that the one who replaces the run is still there.
    _lock: Option<File>,
}

impl Replaced {
    /// Moves what is in `folder` out of the way, if anything is. Where a process that was to replace a run was killed before its
    /// first step, that run is what is replaced now, and what the process had made is deleted.
    ///
    /// # Errors
    /// [`RunError::InUse`] and [`RunError::File`]; the run is then where it was.
    pub(super) fn set_aside(folder: &Path) -> Result<Option<Self>, RunError> {
        let abandoned = abandoned(folder).filter(|_| !has_checkpoint(folder));
        let from = match &abandoned {
            Some(abandoned) => abandoned.clone(),
            None if folder.exists() => std::fs::canonicalize(folder).map_err(FileError::on("find", folder))?,
            None => return Ok(None),
        };
        let held = if is_run(&from) { Some(lock(&from)?) } else { None };
        let aside = free_name(folder)?;
        if abandoned.is_some() && folder.exists() {
            std::fs::remove_dir_all(folder).map_err(FileError::on("delete", folder))?;
        }
        std::fs::rename(&from, &aside).map_err(FileError::on("move", &from))?;
        Ok(Some(Self { path: aside, _lock: held }))
    }

    /// Puts it back, the new run having come to nothing.
    pub(super) fn restore(self, folder: &Path) {
        if std::fs::rename(&self.path, folder).is_err() {
            eprintln!("warning: the run that was to be replaced is now in {}", self.path.display());
        }
    }

    /// Deletes it, the new run having begun.
    pub(super) fn delete(self) -> Result<(), RunError> {
        // First what makes it a run: one that is deleted in part must not be taken for one that can be brought back.
        match std::fs::remove_file(self.path.join(MANIFEST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FileError::on("delete", &self.path)(error).into())
            }
            _ => Ok(std::fs::remove_dir_all(&self.path).map_err(FileError::on("delete", &self.path))?),
        }
    }
}

/// A run that was to be replaced in `folder` by a process that was killed before its first step, and is beside it since.
pub(super) fn abandoned(folder: &Path) -> Option<PathBuf> {
    let start = beside(folder, "").ok()?;
    let name = start.file_name()?.to_str()?;
    let mut found: Vec<PathBuf> = std::fs::read_dir(start.parent()?)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|other| other.to_str()).is_some_and(|other| other.starts_with(name)))
        .filter(|path| is_run(path) && is_free(path))
        .collect();
    // Where there are several, the one that was replaced last.
    found.sort_by_key(|path| path.join(MANIFEST).metadata().and_then(|file| file.modified()).ok());
    found.pop()
}

pub(super) fn has_checkpoint(folder: &Path) -> bool {
    [LAST, PREVIOUS].iter().any(|file| folder.join(CHECKPOINTS).join(file).exists())
}

/// `.NAME.replaced-WHOSE` in the folder's parent.
fn beside(folder: &Path, whose: &str) -> Result<PathBuf, FileError> {
    // `runs/x/` and `runs/x/.` have the file name `x` or none; the canonical path always has one.
    let real = match std::fs::canonicalize(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => std::path::absolute(folder),
        found => found,
    };
    let real = real.map_err(FileError::on("find", folder))?;
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(real.with_file_name(format!(".{name}.replaced-{whose}")))
}

/// One that is not taken: in containers, processes have the same few numbers again and again.
fn free_name(folder: &Path) -> Result<PathBuf, FileError> {
    let own = std::process::id().to_string();
    let mut name = beside(folder, &own)?;
    let mut again = 1;
    while name.exists() {
        again += 1;
        name = beside(folder, &format!("{own}-{again}"))?;
    }
    Ok(name)
}

/// Whether the process that holds the lock of a run has ended; not where there are no locks to tell by.
fn is_free(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|file| file.try_lock().is_ok())
}
