//! Batches made ahead of time, several at once where they are small, handed out in their order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rayon::ThreadPool;

use super::LoadError;
use super::batch::{Finished, Source};
use super::buffers::Buffers;
use crate::data::Batch;

/// Where batches come from.
pub(super) type Batches = Box<dyn Iterator<Item = Batch> + Send>;

/// A batch; none where the thread that made it panicked.
type Outcome = Option<Result<Finished, LoadError>>;

/// A pass under way. Dropped, it stops after the images in the making.
pub(super) struct Ahead {
    source: Arc<Source>,
    pool: Arc<ThreadPool>,
    buffers: Arc<Buffers>,
    batches: Batches,
    seed: u64,
    /// How many batches may be ready or in the making: what bounds the memory.
    prefetch: u64,
    send: Sender<(u64, Outcome)>,
    receive: Receiver<(u64, Outcome)>,
    /// Those that were finished before one that comes earlier.
    early: BTreeMap<u64, Outcome>,
    started: u64,
    handed_out: u64,
    stop: Arc<AtomicBool>,
}

impl Ahead {
    /// Starts on the first batches.
    pub fn start(
        source: Arc<Source>,
        pool: Arc<ThreadPool>,
        buffers: Arc<Buffers>,
        batches: Batches,
        seed: u64,
        prefetch: usize,
    ) -> Self {
        let (send, receive) = channel();
        let mut ahead = Self {
            source,
            pool,
            buffers,
            batches,
            seed,
            prefetch: prefetch.max(1) as u64,
            send,
            receive,
            early: BTreeMap::new(),
            started: 0,
            handed_out: 0,
            stop: Arc::default(),
        };
        ahead.fill();
        ahead
    }

    /// The next batch; `None` after the last.
    pub fn next(&mut self) -> Option<Result<Finished, LoadError>> {
        if self.started == self.handed_out {
            return None;
        }
        let finished = loop {
            if let Some(finished) = self.early.remove(&self.handed_out) {
                break finished;
            }
            // Every batch that was started is sent, whatever became of it.
            let (number, finished) = self.receive.recv().ok()?;
            self.early.insert(number, finished);
        };
        self.handed_out += 1;
        self.fill();
        Some(finished.unwrap_or_else(|| Err(LoadError::Threads("died".to_owned()))))
    }

    /// Starts batches up to the bound.
    fn fill(&mut self) {
        while self.started - self.handed_out < self.prefetch {
            let Some(batch) = self.batches.next() else { return };
            let (source, buffer, seed) = (Arc::clone(&self.source), self.buffers.take(), self.seed);
            let (send, stop, number) = (self.send.clone(), Arc::clone(&self.stop), self.started);
            self.pool.spawn(move || {
                let work = || source.load(&batch, seed, buffer, &stop);
                // Nobody receives once the pass was dropped.
                let _ = send.send((number, catch_unwind(AssertUnwindSafe(work)).ok()));
            });
            self.started += 1;
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
