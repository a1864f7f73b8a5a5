//! The process that the user started: it starts the examiner, listens, and ends it when a check takes too long.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use imbalance_core::host::conformance::{Event, Verdict};
use serde_json::Value;

use super::examiner::MARK;
use super::report::{Ending, Report};
use super::{TIMEOUT, seconds};
use crate::failure::UsageError;
use crate::loss_flags::peek;

/// Has the plugin at `path` examined and prints what was found; `args` are the command's, from `check` on.
///
/// # Errors
/// Wrong usage, or a check that failed.
pub fn run(path: &Path, args: &[OsString]) -> anyhow::Result<()> {
    // A value that makes no sense is refused by the examiner, which reads all flags.
    let typed = peek(args, "timeout").last().and_then(|typed| seconds(typed).ok());
    let timeout = Duration::from_secs_f64(typed.unwrap_or(TIMEOUT));
    let (ours, theirs) = UnixStream::pair().context("cannot make a socket")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.arg("losses").args(args).env(MARK, "1");
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    // What the plugin itself prints is no result.
    command.stdout(Stdio::from(std::io::stderr()));
    let mut child = command.spawn().context("cannot start the checks")?;
    // It holds the other end of the socket, which must close when the examiner ends.
    drop(command);
    let heard = listen(&ours, timeout);
    // If it has ended already this does nothing; otherwise nothing of it is wanted any more.
    let _ = child.kill();
    let status = child.wait().context("cannot wait for the checks")?;
    let (mut report, ending) = heard?;
    if let Some(usage) = &report.usage {
        if usage.help {
            return std::io::stdout().write_all(usage.text.as_bytes()).context("cannot write to standard output");
        }
        return Err(UsageError(usage.text.trim_start_matches("error: ").trim_end().to_owned()).into());
    }
    report.close(ending, status, timeout);
    report.print(path, args.iter().any(|arg| arg == "--json"))?;
    let failed: Vec<&str> = report.of(Verdict::Failed).map(|finding| finding.check.name()).collect();
    match failed.len() {
        0 => Ok(()),
        n => {
            Err(anyhow!("{}: {n} check{} failed: {}", path.display(), if n == 1 { "" } else { "s" }, failed.join(", ")))
        }
    }
}

/// Takes what the examiner says until it is done, gone or too slow.
fn listen(socket: &UnixStream, timeout: Duration) -> anyhow::Result<(Report, Ending)> {
    let (mut report, mut reader) = (Report::default(), BufReader::new(socket));
    let mut deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok((report, Ending::TimedOut));
        }
        socket.set_read_timeout(Some(left)).context("cannot wait for the checks")?;
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(_) if line.last() != Some(&b'\n') => return Ok((report, Ending::Gone)),
            Ok(_) => {}
            Err(_) if Instant::now() >= deadline => return Ok((report, Ending::TimedOut)),
            Err(_) => return Ok((report, Ending::Gone)),
        }
        let message: Value = serde_json::from_slice(&line).context("the checks said something unreadable")?;
        if message == "done" {
            return Ok((report, Ending::Done));
        }
        if let Some(event) = report.take(message)?
            && !matches!(event, Event::Doing(_))
        {
            deadline = Instant::now() + timeout;
        }
    }
}
