//! A training in a process and a run folder of its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use imbalance_train::{Interrupt, RunFolder};

/// How such a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its results are in its folder.
    Finished,
    /// By a signal; it can go on.
    Interrupted,
    /// With this exit code.
    Failed(i32),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::Finished,
            Some(130) | None => Self::Interrupted,
            Some(code) => Self::Failed(code),
        }
    }
}

/// What becomes of a run that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// It is gone on with from its checkpoint, and replaced where it has none.
    GoesOn,
    /// It is replaced.
    IsReplaced,
}

/// Whether the training in `folder` has ended and was scored.
pub fn is_finished(folder: &Path) -> bool {
    folder.join("results.json").exists()
}

/// The process that runs `toolkit VERB` with `args` in `folder`.
///
/// # Errors
/// The program cannot find itself.
pub fn training(verb: &str, args: &[OsString], folder: &Path, there: There) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("the program cannot find itself")?;
    let mut process = Command::new(program);
    process.arg(verb).args(args).arg("--run").arg(folder).stdout(Stdio::null());
    if there == There::GoesOn && RunFolder::resumable(folder) {
        process.arg("--resume");
    } else if folder.exists() {
        process.arg("--overwrite");
    }
    Ok(process)
}

/// Starts a training, in a group of its own: so a terminal's Ctrl-C comes to it from us alone, once.
///
/// # Errors
/// The program cannot be started.
pub fn start(mut process: Command) -> anyhow::Result<Child> {
    process.process_group(0).stdin(Stdio::null()).spawn().context("the program cannot be started")
}

/// Waits for the end, and asks for it when the user does.
///
/// # Errors
/// The process cannot be watched.
pub fn wait(child: &mut Child, interrupt: &Interrupt) -> anyhow::Result<Ended> {
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait().context("the training cannot be watched")? {
            return Ok(status.into());
        }
        if interrupt.requested() && !asked {
            asked = true;
            ask_to_stop(child);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks a training to stop after its step, with a checkpoint. Not by SIGINT, which one that a script has put into the background
/// ignores.
fn ask_to_stop(child: &Child) {
    let Ok(id) = libc::pid_t::try_from(child.id()) else { return };
    // SAFETY: `kill` takes any process and signal, and touches no memory. The process is our child and was not waited for, so
    // its number is still its own.
    unsafe { libc::kill(id, libc::SIGTERM) };
}
