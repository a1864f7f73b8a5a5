//! The page that compares runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::comparison::{Compared, Comparison};
use super::groups::{Group, groups, names};
use super::pictures::{Picture, pictures};
use super::run::{Run, SECOND_STAGE};
use super::scores::Table;
use super::settings::Settings;
use super::tracks::{Track, tracks};
use super::{ReportError, State, Task, page, run_folders};

/// What [`report`] is asked.
#[derive(Clone, Debug)]
pub struct ReportRequest {
    /// Run folders, and folders that hold some.
    pub runs: Vec<PathBuf>,
    /// Title of the page.
    pub title: String,
    /// Resamples of test examples, 0 for none; p-values below about 2 in so many cannot be told apart.
    pub resamples: usize,
}

/// A page that compares runs.
#[derive(Clone, Debug)]
pub struct Report {
    /// The page, whole: it needs no other file and no network.
    pub html: String,
    /// Runs on it.
    pub runs: usize,
    /// Groups of runs that differ in their seed only.
    pub groups: usize,
    /// Folders that were left out, and what is wrong with them.
    pub left_out: Vec<String>,
    /// What the page says without curves and pictures, as JSON: groups, settings, scores and tests of each task.
    pub summary: Value,
}

/// What the page's script reads.
#[derive(Serialize)]
struct PageData {
    tasks: Vec<TaskData>,
    notes: Vec<String>,
}

/// The runs of one task.
#[derive(Serialize)]
struct TaskData {
    task: Option<Task>,
    runs: Vec<RunData>,
    groups: Vec<Group>,
    settings: Settings,
    scores: Table,
    comparison: Comparison,
    tracks: Vec<RunTrack>,
    pictures: Vec<Picture>,
}

#[derive(Serialize)]
struct RunData {
    name: String,
    folder: PathBuf,
    loss: Option<String>,
    seed: Option<u64>,
    state: State,
    manifest: Value,
}

#[derive(Serialize)]
struct RunTrack {
    /// Index of the run.
    run: usize,
    #[serde(flatten)]
    track: Track,
}

/// Compares runs on one page.
///
/// # Errors
/// A folder that is no run and holds none; no run that can be compared.
pub fn report(request: &ReportRequest) -> Result<Report, ReportError> {
    let (mut runs, mut left_out) = (Vec::new(), Vec::new());
    for folder in chosen(&request.runs)? {
        let run = Run::read(&folder);
        match run.problems.is_empty() {
            true => runs.push(run),
            false => left_out.push((folder, run.problems.join("; "))),
        }
    }
    if let (true, Some((folder, reason))) = (runs.is_empty(), left_out.first()) {
        return Err(ReportError::Damaged { folder: folder.clone(), reason: reason.clone() });
    }
    let mut notes: Vec<String> =
        left_out.iter().map(|(folder, reason)| format!("{} is left out: {reason}", folder.display())).collect();
    let left_out = notes.clone();
    let names = names(&runs.iter().map(|run| run.folder.clone()).collect::<Vec<_>>());
    let tasks: BTreeSet<Option<Task>> = runs.iter().map(|run| run.task).collect();
    let of_task = |task: Option<Task>| {
        let own = runs.iter().zip(&names).filter(|(run, _)| run.task == task);
        let (runs, names): (Vec<&Run>, Vec<String>) = own.map(|(run, name)| (run, name.clone())).unzip();
        (task, runs, names)
    };
    let tasks: Vec<TaskData> = tasks
        .into_iter()
        .map(of_task)
        .map(|(task, runs, names)| TaskData::new(task, &runs, &names, request.resamples, &mut notes))
        .collect();
    if tasks.iter().all(|task| task.tracks.is_empty() && task.scores.rows.is_empty()) {
        return Err(ReportError::Nothing { names: names.join(", ") });
    }
    let groups = tasks.iter().map(|task| task.groups.len()).sum();
    let data = PageData { tasks, notes };
    let html = page::PAGE.fill(&request.title, &data)?;
    Ok(Report { html, runs: runs.len(), groups, left_out, summary: data.summary()? })
}

/// The run folders that are asked for, each once.
fn chosen(asked: &[PathBuf]) -> Result<Vec<PathBuf>, ReportError> {
    let mut all: Vec<PathBuf> = Vec::new();
    let mut known = BTreeSet::new();
    for folder in asked {
        let found = run_folders(folder)?;
        if found.is_empty() {
            return Err(ReportError::NoRun { folder: folder.clone() });
        }
        for run in found {
            if known.insert(std::fs::canonicalize(&run).unwrap_or_else(|_| run.clone())) {
                all.push(run);
            }
        }
    }
    Ok(all)
}

impl TaskData {
    fn new(task: Option<Task>, runs: &[&Run], names: &[String], resamples: usize, notes: &mut Vec<String>) -> Self {
        let groups = groups(runs, names);
        let settings = Settings::of(runs, &groups);
        let (scores, comparison) = match task {
            Some(task) => {
                let scores = Table::of(task, runs, &groups);
                let comparison = Comparison::of(task, Compared { runs, groups: &groups, scores: &scores, resamples });
                (scores, comparison)
            }
            None => Default::default(),
        };
        let mut all = Vec::new();
        let mut data = Vec::new();
        for (at, (run, name)) in runs.iter().zip(names).enumerate() {
            let mut steps = None;
            for (stage, folder) in [(1, run.folder.clone()), (2, run.folder.join(SECOND_STAGE))] {
                match tracks(&folder.join("metrics.jsonl"), stage) {
                    Ok(found) => {
                        let reached = found.iter().filter_map(|track| track.step.last().copied()).max();
                        steps = steps.or(reached.filter(|_| stage == 1));
                        all.extend(found.into_iter().map(|track| RunTrack { run: at, track }));
                    }
                    Err(error) => notes.push(format!("{name}: metrics.jsonl: {error}")),
                }
            }
            data.push(RunData {
                name: name.clone(),
                folder: run.folder.clone(),
                loss: run.loss(),
                seed: run.setting("seed"),
                state: run.state(steps),
                manifest: run.manifest.clone(),
            });
        }
        let folders: Vec<&Path> = runs.iter().map(|run| run.folder.as_path()).collect();
        let (pictures, without) = pictures(&folders);
        notes.extend(without);
        Self { task, runs: data, groups, settings, scores, comparison, tracks: all, pictures }
    }
}

impl PageData {
    fn summary(&self) -> Result<Value, serde_json::Error> {
        let task = |task: &TaskData| -> Result<Value, serde_json::Error> {
            Ok(serde_json::json!({
                "task": task.task,
                "runs": task.runs.iter().map(|run| &run.name).collect::<Vec<_>>(),
                "groups": serde_json::to_value(&task.groups)?,
                "settings": serde_json::to_value(&task.settings)?,
                "scores": serde_json::to_value(&task.scores)?,
                "comparison": serde_json::to_value(&task.comparison)?,
            }))
        };
        Ok(Value::Array(self.tasks.iter().map(task).collect::<Result<_, _>>()?))
    }
}
