//! Checkpoints written while training goes on.

use std::fs::File;
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::{CheckpointError, Snapshot, io_error};

/// A checkpoint on its way to a file.
#[derive(Debug)]
pub struct Pending {
    /// What is written.
    pub snapshot: Snapshot,
    /// Where.
    pub path: PathBuf,
    /// The name under which the file that was there is kept.
    pub previous: Option<PathBuf>,
}

/// Writes checkpoints in a thread of its own, those of one call after those of the one before.
#[derive(Debug, Default)]
pub struct Writer {
    thread: Option<JoinHandle<Result<(), CheckpointError>>>,
}

impl Writer {
    /// Begins to write `pending`, in this order, once `records`, which they count on, is safely on disk. Waits for what was
    /// begun before.
    ///
    /// # Errors
    /// Those of what was begun before.
    pub fn begin(&mut self, records: (PathBuf, File), pending: Vec<Pending>) -> Result<(), CheckpointError> {
        self.finish()?;
        let write = move || {
            let (path, file) = records;
            file.sync_data().map_err(|source| io_error(&path, source))?;
            pending.iter().try_for_each(|one| one.snapshot.write(&one.path, one.previous.as_deref()))
        };
        let named = std::thread::Builder::new().name("checkpoint".into());
        let thread = named.spawn(write).map_err(|source| io_error(&PathBuf::from("checkpoint"), source))?;
        self.thread = Some(thread);
        Ok(())
    }

    /// Takes note of what has been written or has failed, without waiting for what has not.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn look(&mut self) -> Result<(), CheckpointError> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) { self.finish() } else { Ok(()) }
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn finish(&mut self) -> Result<(), CheckpointError> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            // A panic in there is a fault of the program, to be seen as one.
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Reached with an error on its way already.
            let _ = thread.join();
        }
    }
}
