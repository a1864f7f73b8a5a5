//! Running the trainings of a plan, each whatever became of the others.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use imbalance_train::Interrupt;

use super::plan::{Plan, Training};
use super::spec::Task;
use crate::child::{self, Ended, There};
use crate::settings;

/// What became of the trainings.
#[derive(Debug, Default)]
pub struct Execution {
    /// Folder and reason of each that failed, in order.
    pub failures: Vec<(PathBuf, String)>,
    /// Folders of runs with other settings than the table's, and what differs.
    pub others: BTreeMap<PathBuf, String>,
    /// Whether the user stopped it; what comes after was not begun.
    pub interrupted: bool,
}

impl Execution {
    /// Runs what is not finished yet of what is chosen and has its data.
    ///
    /// # Errors
    /// A process cannot be started or watched; that a training fails is no error here.
    pub fn of(plan: &Plan, quiet: bool) -> anyhow::Result<Self> {
        let trainings = plan.trainings();
        let mut execution = Self::default();
        let unfinished = trainings.iter().any(|(_, training)| !child::is_finished(&training.folder));
        execution.check_settings(plan)?;
        if plan.prepare.as_ref().is_some_and(|prepare| execution.failure(&prepare.folder).is_some()) {
            return Ok(execution);
        }
        let prepare = plan.prepare.as_ref().filter(|prepare| unfinished && !child::is_finished(&prepare.folder));
        // From here on Ctrl-C is passed on to the training, which saves its state.
        let interrupt = if unfinished { Interrupt::install()? } else { Interrupt::manual() };
        if let Some(prepare) = prepare {
            say(quiet, &format!("first, what all rows start from: {}", prepare.folder.display()));
            execution.run(plan.task(), prepare, &interrupt)?;
            if execution.failure(&prepare.folder).is_some() || execution.interrupted {
                return Ok(execution);
            }
        }
        for (at, (group, training)) in trainings.iter().enumerate() {
            if child::is_finished(&training.folder) || execution.others.contains_key(&training.folder) {
                continue;
            }
            let row = &plan.spec.rows[group.row];
            let of = [&row.name, &group.variant].map(String::as_str).join(" ");
            let (number, total, seed) = (at + 1, trainings.len(), training.seed);
            let folder = training.folder.display();
            say(quiet, &format!("training {number} of {total}: {}, seed {seed}: {folder}", of.trim_end()));
            execution.run(plan.task(), training, &interrupt)?;
            if execution.interrupted {
                break;
            }
        }
        Ok(execution)
    }

    /// Runs with other settings do not count; where they are in the way of what is asked for, that failed. Those that are not
    /// finished would go on with some settings changed, such as the epochs, and be neither.
    fn check_settings(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let wanted = !plan.trainings().is_empty();
        let prepare = plan.prepare.iter().map(|training| (training, wanted));
        let of_rows =
            plan.groups.iter().flat_map(|group| group.trainings.iter().map(|training| (training, group.chosen)));
        for (training, chosen) in prepare.chain(of_rows) {
            let folder = &training.folder;
            if !settings::are_stored(folder) || self.others.contains_key(folder) {
                continue;
            }
            let Some(difference) = settings::difference(plan.task().verb(), &training.args, folder)? else { continue };
            if chosen {
                let what = if child::is_finished(folder) { "finished" } else { "begun" };
                let why = format!("{what} with other settings: {difference}; remove it, or give another --run");
                self.fail(training, why);
            }
            self.others.insert(folder.clone(), difference);
        }
        Ok(())
    }

    fn run(&mut self, task: Task, training: &Training, interrupt: &Interrupt) -> anyhow::Result<()> {
        let parent = training.folder.parent().unwrap_or(Path::new("."));
        if let Err(error) = std::fs::create_dir_all(parent) {
            self.fail(training, format!("{} cannot be created: {error}", parent.display()));
            return Ok(());
        }
        match train(task, training, interrupt)? {
            (Ended::Finished, _) => {}
            (Ended::Interrupted, _) if interrupt.requested() => self.interrupted = true,
            (Ended::Interrupted, _) => self.fail(training, "a signal ended it".to_owned()),
            (Ended::Failed(code), said) if said.is_empty() => self.fail(training, format!("exit code {code}")),
            (Ended::Failed(_), said) => self.fail(training, said),
        }
        self.interrupted |= interrupt.requested();
        Ok(())
    }

    fn fail(&mut self, training: &Training, why: String) {
        self.failures.push((training.folder.clone(), why));
    }

    /// Why the training in `folder` failed, if it did.
    pub fn failure(&self, folder: &Path) -> Option<&str> {
        self.failures.iter().find(|(failed, _)| failed == folder).map(|(_, why)| why.as_str())
    }
}

/// Runs one; also what its last error said.
fn train(task: Task, training: &Training, interrupt: &Interrupt) -> anyhow::Result<(Ended, String)> {
    let mut process = child::training(task.verb(), &training.args, &training.folder, There::GoesOn)?;
    process.stderr(Stdio::piped());
    let mut child = child::start(process)?;
    let errors = child.stderr.take();
    let listener = std::thread::spawn(move || errors.map(pass_on).unwrap_or_default());
    let ended = child::wait(&mut child, interrupt)?;
    // Whoever listened did not fail; a lost message is no reason to.
    Ok((ended, listener.join().unwrap_or_default()))
}

/// Prints what a training says, and gives its last error.
fn pass_on(errors: impl std::io::Read) -> String {
    let mut last = String::new();
    for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        eprintln!("{line}");
        if let Some(error) = line.strip_prefix("error: ") {
            last = error.trim_end().to_owned();
        }
    }
    last
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        eprintln!("{text}");
    }
}

/// The results of finished runs, each read once.
#[derive(Debug, Default)]
pub struct Results(HashMap<PathBuf, serde_json::Value>);

impl Results {
    /// The results in `folder`.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn of(&mut self, folder: &Path) -> anyhow::Result<&serde_json::Value> {
        if !self.0.contains_key(folder) {
            let path = folder.join("results.json");
            let text = std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
            let results = serde_json::from_str(&text).with_context(|| format!("{}: is no JSON", path.display()))?;
            self.0.insert(folder.to_owned(), results);
        }
        Ok(&self.0[folder])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_kept() {
        assert_eq!(pass_on(&b"epoch 1\nerror: a\nwarning\nerror: no plugin `x`\n"[..]), "no plugin `x`");
        assert_eq!(pass_on(&b"epoch 1\n"[..]), "");
    }
}
