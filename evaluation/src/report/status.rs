//! Where runs are, in a line each.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::progress::Progress;
use super::run::{Run, SECOND_STAGE};
use super::{Best, ReportError, State, Task, run_folders};
use crate::align::align;

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The folder's path below the one that was listed.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Its task, if the manifest tells.
    pub task: Option<Task>,
    /// The loss's id.
    pub loss: Option<String>,
    /// Running, finished and so on.
    pub state: State,
    /// Epochs or steps so far.
    pub done: Option<Done>,
    /// The same of the second stage, of a method that has one.
    pub second_stage: Option<Done>,
    /// The best validation so far; in the second stage if there is one.
    pub best: Option<Best>,
    /// Seconds of training.
    pub seconds: Option<f64>,
    /// When a file of the folder was last written, in seconds since 1970.
    pub last_write: Option<f64>,
    /// What is wrong with the folder.
    pub problems: Vec<String>,
}

/// How much of a training is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The epoch that was reached, or the step where `steps` says so.
    pub reached: u64,
    /// How many there will be, unless that depends on the data.
    pub of: Option<u64>,
    /// Whether steps are counted, not epochs.
    pub steps: bool,
}

impl Status {
    /// Of the run in `folder`, by the name `name`.
    pub fn of(folder: &Path, name: String) -> Self {
        let mut run = Run::read(folder);
        let deferred = run.setting("defer-epochs").unwrap_or(0);
        let mut by_metrics = |folder: &Path, deferred: u64| {
            Progress::of_metrics(&folder.join("metrics.jsonl"), run.task, deferred).unwrap_or_else(|error| {
                run.problems.push(format!("metrics.jsonl: {error}"));
                Progress::default()
            })
        };
        let measured = by_metrics(folder, deferred);
        let second = folder.join(SECOND_STAGE);
        let second = second.is_dir().then(|| by_metrics(&second, 0));
        if measured.bad_lines > 0 {
            run.problems.push(format!("metrics.jsonl: {} lines are no JSON", measured.bad_lines));
        }
        let state = run.state(measured.step);
        let (mut first, mut second) = (measured, second);
        if let (State::Finished, Some(results)) = (state, &run.results) {
            first = Progress::of_summary(&results["training"]);
            second = results.get("second_stage").map(Progress::of_summary);
        }
        let seconds = first.seconds.map(|own| own + second.as_ref().and_then(|second| second.seconds).unwrap_or(0.0));
        let second_stage = second
            .as_ref()
            .and_then(|second| Some(Done { reached: second.epoch?, of: run.setting("stage-epochs"), steps: false }));
        Self {
            name,
            folder: folder.into(),
            task: run.task,
            loss: run.loss(),
            state,
            done: done(&run, &first),
            second_stage,
            best: second.and_then(|second| second.best).or(first.best),
            seconds,
            last_write: run.last_write().and_then(since_1970),
            problems: run.problems,
        }
    }
}

fn done(run: &Run, progress: &Progress) -> Option<Done> {
    let above_zero = |key: &str| run.setting(key).filter(|&value| value > 0);
    match above_zero("iterations") {
        Some(steps) => Some(Done { reached: progress.step?, of: Some(steps), steps: true }),
        // Detectors that are evaluated every so many steps count rounds, which no setting gives the number of.
        None if above_zero("eval-every").is_some() => Some(Done { reached: progress.step?, of: None, steps: true }),
        None => Some(Done { reached: progress.epoch?, of: run.setting("epochs"), steps: false }),
    }
}

fn since_1970(time: SystemTime) -> Option<f64> {
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

/// All runs below `root`, the one that was written to last at the end.
///
/// # Errors
/// `root` is no folder that can be read.
pub fn statuses(root: &Path) -> Result<Vec<Status>, ReportError> {
    let name = |folder: &Path| {
        let below = folder.strip_prefix(root).unwrap_or(folder);
        let below = if below.as_os_str().is_empty() { folder } else { below };
        below.display().to_string()
    };
    let mut all: Vec<Status> = run_folders(root)?.iter().map(|folder| Status::of(folder, name(folder))).collect();
    all.sort_by(|a, b| a.last_write.unwrap_or(0.0).total_cmp(&b.last_write.unwrap_or(0.0)));
    Ok(all)
}

/// A line for each run under a line of headings, and below what is wrong with damaged ones. `now` is in seconds since 1970.
pub fn status_table(runs: &[Status], now: f64) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let mut lines =
        vec![["run", "task", "loss", "state", "epoch", "best", "trained", "written"].map(str::to_owned).to_vec()];
    let dash = || "-".to_owned();
    lines.extend(runs.iter().map(|run| {
        let stages: Vec<String> = [run.done, run.second_stage].into_iter().flatten().map(counted).collect();
        let best = run.best.as_ref();
        vec![
            run.name.clone(),
            run.task.map_or_else(dash, |task| task.name().to_owned()),
            run.loss.clone().unwrap_or_else(dash),
            run.state.name().to_owned(),
            if stages.is_empty() { dash() } else { stages.join(" + ") },
            best.map_or_else(dash, |best| {
                format!("{} {} in epoch {}", best.metric, significant(best.value), best.epoch)
            }),
            run.seconds.map_or_else(dash, duration),
            run.last_write.map_or_else(dash, |at| format!("{} ago", duration((now - at).max(0.0)))),
        ]
    }));
    let mut text = align(&lines);
    for run in runs {
        text.extend(run.problems.iter().map(|problem| format!("{}: {problem}\n", run.name)));
    }
    text
}

fn counted(done: Done) -> String {
    let of = done.of.map_or_else(String::new, |of| format!("/{of}"));
    format!("{}{of}{}", done.reached, if done.steps { " steps" } else { "" })
}

/// Four significant digits, none of them behind a large number's point.
fn significant(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (3.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize };
    format!("{value:.digits$}")
}

/// The two largest units: `3 d 4 h`, `5 min 20 s`.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_values_are_short() {
        let times = [0.4, 59.4, 320.0, 7260.0, 277_000.0].map(duration);
        assert_eq!(times, ["0 s", "59 s", "5 min 20 s", "2 h 1 min", "3 d 4 h"]);
        let values = [61.22, 4.231_03, 0.001_234_56, 12_345.6, 0.0, -61.0].map(significant);
        assert_eq!(values, ["61.22", "4.231", "0.001235", "12346", "0", "-61.00"]);
    }

    #[test]
    fn a_line_tells_all_of_a_run() {
        let run = Status {
            name: "crt/seed-0".into(),
            folder: "runs/crt/seed-0".into(),
            task: Some(Task::Vision),
            loss: Some("eureka".into()),
            state: State::Running,
            done: Some(Done { reached: 20, of: Some(20), steps: false }),
            second_stage: Some(Done { reached: 3, of: Some(10), steps: false }),
            best: Some(Best { metric: "accuracy".into(), value: 61.22, epoch: 3 }),
            seconds: Some(61.0),
            last_write: Some(1000.0),
            problems: vec!["results.json: EOF".into()],
        };
        let text = status_table(&[run], 1005.0);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(lines[0], ["run", "task", "loss", "state", "epoch", "best", "trained", "written"]);
        let cells = [
            "crt/seed-0",
            "vision",
            "eureka",
            "running",
            "20/20 + 3/10",
            "accuracy 61.22 in epoch 3",
            "1 min 1 s",
            "5 s ago",
        ];
        assert_eq!(lines[1], cells);
        assert_eq!(lines[2], ["crt/seed-0: results.json: EOF"]);
        assert_eq!(status_table(&[], 0.0), "");
    }
}
