//! Ctrl-C and termination while a child process works, so that what it left half-done can be removed.

use std::fmt;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};

/// The user, or the system, asked the program to stop.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Runs `command` to its end.
///
/// # Errors
/// It cannot be started. [`Interrupted`], once the child is gone, if this process got SIGINT, SIGTERM
/// or SIGHUP meanwhile; those no longer end this process by themselves from then on.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    signals::watch();
    let program = command.get_program().display().to_string();
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    loop {
        if signals::arrived() {
            // It may have ended by the same signal; either way it is gone afterwards.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Interrupted.into());
        }
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {program}"))? {
            // A terminal sends Ctrl-C to both, and the child may be the first to end.
            return if signals::arrived() { Err(Interrupted.into()) } else { Ok(status) };
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[cfg(unix)]
mod signals {
    use std::sync::atomic::{AtomicBool, Ordering};

    static ARRIVED: AtomicBool = AtomicBool::new(false);

    /// SIGHUP, SIGINT and SIGTERM, which have these numbers on every Unix.
    const WATCHED: [i32; 3] = [1, 2, 15];

    unsafe extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    }

    extern "C" fn note(_: i32) {
        ARRIVED.store(true, Ordering::SeqCst);
    }

    /// Notes the signals instead of dying of them. A handler, unlike SIG_IGN, is not inherited by the
    /// child, which therefore still dies.
    pub fn watch() {
        for number in WATCHED {
            // SAFETY: `signal` of the C library, with its C signature; the handler only stores to an
            // atomic, which is allowed in a signal handler, and lives as long as the program.
            unsafe {
                signal(number, note);
            }
        }
    }

    pub fn arrived() -> bool {
        ARRIVED.load(Ordering::SeqCst)
    }
}

#[cfg(not(unix))]
mod signals {
    pub fn watch() {}

    pub fn arrived() -> bool {
        false
    }
}
