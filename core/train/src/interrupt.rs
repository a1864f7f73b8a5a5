//! Ctrl-C and SIGTERM: finish the step, write a checkpoint, stop; the second one quits at once.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::TrainError;
use crate::group::LAUNCHED;

/// Exit code of an interrupted run, as shells report a process that SIGINT ended.
pub const EXIT_INTERRUPTED: u8 = 130;

/// A request to stop, shared between a signal handler and the training loop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

static INSTALLED: Mutex<Option<Interrupt>> = Mutex::new(None);

impl Interrupt {
    /// A request that no signal sets, for callers with their own reason to stop (and for tests).
    pub fn manual() -> Interrupt {
        Interrupt::default()
    }

    /// Installs the handler for SIGINT, SIGTERM and SIGHUP; later calls return the same request. Where the process was started
    /// with SIGINT or SIGHUP ignored, as by nohup or by a script that goes on without waiting, they stay so.
    ///
    /// # Errors
    /// [`TrainError::Settings`] when the process already has another handler.
    pub fn install() -> Result<Interrupt, TrainError> {
        let mut installed = INSTALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(interrupt) = installed.as_ref() {
            return Ok(interrupt.clone());
        }
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        let launched = std::env::var_os(LAUNCHED).is_some();
        let ignored: Vec<c_int> =
            [libc::SIGINT, libc::SIGHUP].into_iter().filter(|&signal| is_ignored(signal)).collect();
        ctrlc::set_handler(move || {
            if flag.0.swap(true, Ordering::SeqCst) {
                exit_now();
            }
            // Where one process has started others, it tells the user for all.
            if !launched {
                eprintln!("\nstopping after this step, with a checkpoint; once more to quit at once");
            }
        })
        .map_err(|error| TrainError::Settings(format!("cannot watch for Ctrl-C: {error}")))?;
        for signal in ignored {
            // SAFETY: a signal that may be ignored, as it was before.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        *installed = Some(interrupt.clone());
        Ok(interrupt)
    }

    /// Asks the loop to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Whether a signal is ignored; one that the system does not tell of is taken as not.
fn is_ignored(signal: c_int) -> bool {
    // SAFETY: a plain C structure, for which zeros are valid, and which the call fills; nothing is changed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Ends the process without running destructors: libtorch's threads are still at work, and tearing
/// libraries down under them may crash and hide the exit code.
fn exit_now() -> ! {
    // SAFETY: `_exit` takes any status, touches no memory of ours and does not return.
    unsafe { libc::_exit(i32::from(EXIT_INTERRUPTED)) }
}
