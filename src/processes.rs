//! `--processes N`: starts this command N times, as the processes of one training.

use std::ffi::OsString;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use imbalance_train::Interrupt;
use imbalance_train::group::{GroupError, LAUNCHED, LOST, Launch};

use crate::failure::{AlreadyTold, UsageError};

/// How long the others may take to end by themselves once one has failed.
const GRACE: Duration = Duration::from_secs(5);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Trains with `processes` processes where more than one is asked for and no launcher has started this one; returns
/// whether it has.
///
/// # Errors
/// A process that failed, after all have ended.
pub fn run(verb: &str, args: &[OsString], processes: usize) -> anyhow::Result<bool> {
    let launched =
        Launch::from_env().map_err(|error| imbalance_train::TrainError::from(GroupError::Environment(error)))?;
    // One that was started here reads again what asked for all of them: `processes` in --config, say.
    if processes == 1 || std::env::var_os(LAUNCHED).is_some() {
        return Ok(false);
    }
    if let Some(launch) = launched {
        return Err(UsageError(format!(
            "--processes {processes}: a launcher has started {} processes already; leave --processes out, in --config too",
            launch.size
        ))
        .into());
    }
    let interrupt = Interrupt::install().context("signals cannot be handled")?;
    let mut workers = start(verb, &own(args), processes)?;
    let mut told = false;
    let failed = loop {
        if workers.iter_mut().try_fold(true, |all, worker| Ok::<_, std::io::Error>(all & worker.ended()?))? {
            break workers.iter().any(Worker::failed);
        }
        if workers.iter().any(Worker::failed) {
            end(&mut workers)?;
            break true;
        }
        if interrupt.requested() && !told {
            // They have process groups of their own, so that a terminal's Ctrl-C reaches them once, from here. Not as SIGINT,
            // which they leave alone where this process was started with it ignored.
            workers.iter().for_each(|worker| worker.signal(libc::SIGTERM));
            told = true;
        }
        std::thread::sleep(LOOK);
    };
    if failed { Err(blame(workers)) } else { Ok(true) }
}

/// One of the processes.
struct Worker {
    rank: usize,
    child: Child,
    status: Option<ExitStatus>,
    /// Whether it was killed from here, since it did not notice that another had gone.
    killed: bool,
    /// What it says on stderr, but for the first, which says it to the user.
    said: Option<JoinHandle<String>>,
}

impl Worker {
    fn ended(&mut self) -> std::io::Result<bool> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status.is_some())
    }

    fn failed(&self) -> bool {
        self.status.is_some_and(|status| !status.success())
    }

    fn signal(&self, signal: i32) {
        if self.status.is_none() {
            // SAFETY: a system call on the number of a child that has not been waited for, so the number is still its own.
            unsafe { libc::kill(self.child.id() as i32, signal) };
        }
    }
}

fn start(verb: &str, args: &[OsString], processes: usize) -> anyhow::Result<Vec<Worker>> {
    let program = std::env::current_exe().context("the program cannot find itself")?;
    // Free now; the first process takes it at once.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.context("no port is free on 127.0.0.1")?.port();
    let mut workers = Vec::new();
    for rank in 0..processes {
        let mut command = Command::new(&program);
        command.arg(verb).args(args).process_group(0);
        let place = [("RANK", rank), ("WORLD_SIZE", processes), ("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", processes)];
        command.envs(place.map(|(name, value)| (name, value.to_string())));
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        command.env(LAUNCHED, "1").env_remove("TORCHELASTIC_USE_AGENT_STORE");
        if rank > 0 {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        }
        #[cfg(target_os = "linux")]
        // SAFETY: the closure makes one system call between fork and exec and touches no memory.
        unsafe {
            command.pre_exec(|| {
                // Should this process be killed, its workers go with it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let started = command.spawn().with_context(|| format!("{}: cannot be started", program.display()));
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                end(&mut workers)?;
                return Err(error);
            }
        };
        let said = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stderr.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        workers.push(Worker { rank, child, status: None, killed: false, said });
    }
    Ok(workers)
}

/// Waits for the others, which notice by themselves that one has gone, and ends those that do not.
fn end(workers: &mut [Worker]) -> std::io::Result<()> {
    let start = Instant::now();
    loop {
        let mut all = true;
        for worker in workers.iter_mut() {
            all &= worker.ended()?;
        }
        if all {
            return Ok(());
        }
        if start.elapsed() > GRACE {
            for worker in workers.iter_mut().filter(|worker| worker.status.is_none()) {
                worker.signal(libc::SIGKILL);
                worker.killed = true;
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Says what the process at fault said, and how it ended; the exit code is its own.
fn blame(workers: Vec<Worker>) -> anyhow::Error {
    let count = workers.len();
    let mut ends = Vec::new();
    for worker in workers {
        let said = worker.said.and_then(|said| said.join().ok()).unwrap_or_default();
        let Some(status) = worker.status.filter(|status| !status.success()) else { continue };
        // One that lost the others is not the one at fault, nor is one that did not notice.
        let lost = worker.killed || status.code() == Some(i32::from(LOST));
        ends.push((lost, worker.rank, status, said));
    }
    ends.sort_by_key(|(lost, rank, ..)| (*lost, *rank));
    let Some((_, rank, status, said)) = ends.into_iter().next() else { return AlreadyTold(1).into() };
    if let (0, Some(code)) = (rank, status.code()) {
        return AlreadyTold(if code == i32::from(LOST) { 1 } else { code as u8 }).into();
    }
    eprint!("{said}");
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            anyhow::anyhow!(
                "process {rank} of {count} was ended by signal {signal}; the run goes on from its last checkpoint, if it has \
                 one, with --run and --resume"
            )
        }
        (None, code) => {
            eprintln!("process {rank} of {count} said so");
            AlreadyTold(code.unwrap_or(1) as u8).into()
        }
    }
}

/// The arguments of one process.
fn own(args: &[OsString]) -> Vec<OsString> {
    let (mut kept, mut args) = (Vec::new(), args.iter());
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--processes") => drop(args.next()),
            Some(text) if text.starts_with("--processes=") => {}
            _ => kept.push(arg.clone()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_asked_for_processes() {
        let args: Vec<OsString> = ["--processes", "2", "--lr", "1", "--processes=3"].map(Into::into).into();
        assert_eq!(own(&args), ["--lr", "1"]);
    }
}
