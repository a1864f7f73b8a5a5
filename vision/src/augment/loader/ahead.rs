//! The batches of an epoch, made ahead of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rayon::ThreadPool;

use super::batch::{Finished, Source, Threads};
use super::buffers::Buffers;
use super::{LoadError, Work};

/// An epoch under way. Dropped, it stops after the images in the making.
pub(super) struct Ahead {
    /// `None` once dropping.
    batches: Option<Receiver<Finished>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    left: usize,
}

impl Ahead {
    /// Starts on batch `first`. At most `prefetch` batches are ready or in the making.
    pub fn start(
        source: Arc<Source>,
        pool: Arc<ThreadPool>,
        buffers: Arc<Buffers>,
        work: Work,
        first: usize,
        prefetch: usize,
    ) -> Result<Self, LoadError> {
        // The batch in the making is one of those ahead, the others wait in the channel.
        let (send, batches) = sync_channel(prefetch - 1);
        let stop = Arc::new(AtomicBool::new(false));
        let left = work.batches.len() - first;
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                for (batch, indices) in work.batches.iter().enumerate().skip(first) {
                    let finished =
                        source.load(indices, work.key(batch), buffers.take(), &Threads::Pool(&pool, &stopping));
                    if stopping.load(Ordering::Relaxed) || send.send(finished).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| LoadError::Threads(format!("cannot be started: {error}")))?;
        Ok(Self { batches: Some(batches), thread: Some(thread), stop, left })
    }

    /// The next batch; `None` after the last.
    pub fn next(&mut self) -> Option<Result<Finished, LoadError>> {
        self.left = self.left.checked_sub(1)?;
        let finished = self.batches.as_ref().and_then(|batches| batches.recv().ok());
        Some(finished.ok_or_else(|| LoadError::Threads("died".to_owned())))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, if it waits for room.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say: had it failed, `next` would have.
            let _ = thread.join();
        }
    }
}
