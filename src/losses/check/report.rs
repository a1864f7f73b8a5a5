//! What the examiner said, what its end means, and how both are printed.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use imbalance_core::host::conformance::{Check, Event, Finding, Verdict};
use serde_json::{Value, json};

use crate::losses::text::hanging;

/// How listening ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The examiner went through all checks.
    Done,
    /// It ended before.
    Gone,
    /// A check took too long.
    TimedOut,
}

/// Wrong usage, or a wish for help, that only the examiner could tell.
#[derive(Debug)]
pub struct Usage {
    pub text: String,
    pub help: bool,
}

/// Everything that was heard.
#[derive(Debug, Default)]
pub struct Report {
    about: Value,
    findings: Vec<Finding>,
    running: Option<Check>,
    doing: Option<String>,
    pub usage: Option<Usage>,
}

impl Report {
    /// Takes one message; gives the event that it was, if it was one.
    ///
    /// # Errors
    /// It is no message of the examiner's.
    pub fn take(&mut self, mut message: Value) -> anyhow::Result<Option<Event>> {
        if let Some(about) = message.get_mut("about") {
            self.about = about.take();
        } else if let Some(usage) = message.get("usage") {
            let text = usage["text"].as_str().unwrap_or_default().to_owned();
            self.usage = Some(Usage { text, help: usage["help"] == true });
        } else {
            let event: Event =
                serde_json::from_value(message["event"].take()).context("the checks said what is no event")?;
            match &event {
                Event::Started(check) => (self.running, self.doing) = (Some(*check), None),
                Event::Doing(what) => self.doing = Some(what.clone()),
                Event::Finished(finding) => {
                    self.findings.push(finding.clone());
                    self.running = None;
                }
            }
            return Ok(Some(event));
        }
        Ok(None)
    }

    /// The findings of this kind.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.verdict == verdict)
    }

    /// Adds what the examiner could not say itself: which check ended it, and which did not run.
    pub fn close(&mut self, ending: Ending, status: ExitStatus, timeout: Duration) {
        let unfinished = |check: &Check| self.findings.iter().all(|finding| finding.check != *check);
        let missing: Vec<Check> = Check::ALL.into_iter().filter(unfinished).collect();
        let finding = |check, verdict, said| Finding { check, verdict, said, notes: Vec::new() };
        let mut guilty = None;
        if ending != Ending::Done {
            guilty = self.running.or(missing.first().copied());
            let doing = self.doing.as_ref().map(|doing| format!(", at: {doing}")).unwrap_or_default();
            if let Some(check) = guilty {
                let said = match ending {
                    Ending::TimedOut => format!("did not return within {} s{doing}", timeout.as_secs_f64()),
                    _ => format!("{}{doing}; {}", end_of(status), meaning(status, &doing)),
                };
                self.findings.push(finding(check, Verdict::Failed, said));
            }
        }
        for check in missing.into_iter().filter(|check| Some(*check) != guilty) {
            let said = "an earlier failure leaves nothing to check".into();
            self.findings.push(finding(check, Verdict::NotRun, said));
        }
    }

    /// Prints the findings on standard output.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print(&self, path: &Path, as_json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let passed = self.of(Verdict::Failed).next().is_none();
        if as_json {
            let about = |name: &str| self.about.get(name).cloned().unwrap_or_default();
            let whole = json!({
                "id": about("id"), "version": about("version"), "abi": about("abi"), "path": path,
                "sha256": about("sha256"), "passed": passed, "checks": self.findings,
            });
            writeln!(out, "{}", serde_json::to_string_pretty(&whole)?)?;
            return Ok(());
        }
        if let (Some(id), Some(version)) = (self.about["id"].as_str(), self.about["version"].as_str()) {
            writeln!(out, "{id} {version}, {}\n", path.display())?;
        } else {
            writeln!(out, "{}\n", path.display())?;
        }
        for finding in &self.findings {
            let verdict = match finding.verdict {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
                Verdict::NotApplicable => "-",
                Verdict::NotRun => continue,
            };
            let head = format!("{verdict:<8}{:<14}", finding.check.name());
            writeln!(out, "{}", hanging(&head, &finding.said))?;
            for note in &finding.notes {
                writeln!(out, "{}", hanging(&format!("{:22}note: ", ""), note))?;
            }
        }
        let not_run: Vec<&str> = self.of(Verdict::NotRun).map(|finding| finding.check.name()).collect();
        if !not_run.is_empty() {
            writeln!(out, "{}", hanging("not run ", &not_run.join(", ")))?;
        }
        let count = |verdict| self.of(verdict).count();
        let mut parts = vec![format!("{} passed", count(Verdict::Passed))];
        for (verdict, what) in
            [(Verdict::Failed, "failed"), (Verdict::NotApplicable, "not applicable"), (Verdict::NotRun, "not run")]
        {
            if count(verdict) > 0 {
                parts.push(format!("{} {what}", count(verdict)));
            }
        }
        writeln!(out, "\n{}", parts.join(", "))?;
        Ok(())
    }
}

/// The signals that faulty code dies of.
const SIGNALS: [(i32, &str); 7] =
    [(4, "SIGILL"), (6, "SIGABRT"), (7, "SIGBUS"), (8, "SIGFPE"), (9, "SIGKILL"), (11, "SIGSEGV"), (13, "SIGPIPE")];

fn end_of(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match SIGNALS.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("died by {name}"),
            None => format!("died by signal {signal}"),
        },
        (None, Some(code)) => format!("ended the process with exit code {code}"),
        (None, None) => "ended the process".into(),
    }
}

/// What the end most likely means, of a plugin that was `doing` this.
fn meaning(status: ExitStatus, doing: &str) -> &'static str {
    match status.signal() {
        // The examiner's words where it has put a wall beside a buffer.
        Some(7 | 11) if doing.contains("must not be touched") => {
            "it read or wrote outside of its buffers, or wrote to an input"
        }
        Some(7 | 11) => "it touched memory that is not its own",
        Some(6) => {
            "a panic, C++ exception or assertion left the plugin (catch it and return a message), or the heap is damaged"
        }
        Some(8) => "an integer division by zero, most likely",
        Some(9) => "the system ended it, out of memory perhaps",
        Some(_) => "see its output above",
        None => "a plugin must return, not exit",
    }
}
