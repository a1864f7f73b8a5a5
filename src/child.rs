//! A training in a process and a run folder of its own.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context as _;

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

/// Whether the training in `folder` has ended and was scored.
pub fn is_finished(folder: &Path) -> bool {
    folder.join("results.json").exists()
}

/// The process that runs `toolkit VERB` with `args` in `folder`: that goes on with what is there if there is a checkpoint,
/// and starts afresh else.
///
/// # Errors
/// The program cannot find itself.
pub fn training(verb: &str, args: &[OsString], folder: &Path) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("the program cannot find itself")?;
    let mut process = Command::new(program);
    process.arg(verb).args(args).arg("--run").arg(folder).stdout(Stdio::null());
    if folder.join("checkpoints/last.safetensors").exists() {
        process.arg("--resume");
    } else if folder.exists() {
        process.arg("--overwrite");
    }
    Ok(process)
}

/// Asks a training to stop after its step, with a checkpoint.
pub fn interrupt(child: &std::process::Child) {
    let Ok(id) = libc::pid_t::try_from(child.id()) else { return };
    // SAFETY: `kill` takes any process and signal, and touches no memory. The process is our child and was not waited for, so
    // its number is still its own.
    unsafe { libc::kill(id, libc::SIGINT) };
}
