//! How far a run is.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::Task;

/// The best value of the metric that a run is judged by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Best {
    /// The metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Epoch, from 1.
    pub epoch: u64,
}

/// How far a training is, by its `metrics.jsonl` or by its results.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    /// Epoch of the last record, from 1.
    pub epoch: Option<u64>,
    pub step: Option<u64>,
    pub best: Option<Best>,
    /// Seconds of training, those before it was resumed included.
    pub seconds: Option<f64>,
    /// Lines that are no JSON, the last one excepted, which a run that is stopped may leave cut off.
    pub bad_lines: usize,
}

impl Progress {
    /// By `metrics.jsonl`. The best value is looked for after the first `deferred` epochs, whose loss is another, unless there
    /// are none.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn of_metrics(path: &Path, task: Option<Task>, deferred: u64) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut progress = Self::default();
        let (mut of_base, mut of_main) = (None, None);
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            // Of many lines few are looked into.
            let last = at + 2 >= lines.len();
            if !last && !line.contains(r#""kind":"valid""#) && line.ends_with('}') {
                continue;
            }
            let Ok(record) = serde_json::from_str::<Value>(line) else {
                progress.bad_lines += usize::from(at + 1 < lines.len());
                continue;
            };
            let Some(epoch) = record["epoch"].as_u64() else { continue };
            progress.epoch = Some(epoch);
            progress.step = record["step"].as_u64();
            progress.seconds = record["seconds"]["elapsed"].as_f64();
            if record["kind"] == "valid"
                && let Some((metric, more)) = task.map(Task::monitor)
                && let Some(value) = record[metric].as_f64()
            {
                let best = if epoch > deferred { &mut of_main } else { &mut of_base };
                let better = |best: &Best| if more { value > best.value } else { value < best.value };
                if best.as_ref().is_none_or(better) {
                    *best = Some(Best { metric: metric.to_owned(), value, epoch });
                }
            }
        }
        progress.best = of_main.or(of_base);
        Ok(progress)
    }

    /// By the summary of a training in `results.json`.
    pub fn of_summary(summary: &Value) -> Self {
        let best = &summary["best"];
        let best = || {
            Some(Best {
                metric: best["metric"].as_str()?.to_owned(),
                value: best["value"].as_f64()?,
                epoch: best["epoch"].as_u64()?,
            })
        };
        Self {
            epoch: summary["epochs"].as_u64(),
            step: summary["steps"].as_u64(),
            best: best(),
            seconds: summary["seconds"].as_f64(),
            bad_lines: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], task: Task, deferred: u64) -> Progress {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        Progress::of_metrics(file.path(), Some(task), deferred).unwrap()
    }

    const LINES: [&str; 5] = [
        r#"{"kind":"valid","epoch":1,"step":10,"accuracy":70.0,"seconds":{"elapsed":5.0}}"#,
        r#"{"kind":"valid","epoch":2,"step":20,"accuracy":40.0,"seconds":{"elapsed":10.0}}"#,
        r#"{"kind":"valid","epoch":3,"step":30,"accuracy":50.5,"seconds":{"elapsed":15.0}}"#,
        r#"{"kind":"valid","epoch":4,"step":40,"accuracy":45.0,"seconds":{"elapsed":20.0}}"#,
        r#"{"kind":"train","epoch":5,"step":45,"loss":1.0,"seconds":{"elapsed":22.5}}"#,
    ];

    #[test]
    fn the_best_epoch_is_one_of_the_chosen_loss() {
        let progress = read(&LINES, Task::Vision, 1);
        assert_eq!((progress.epoch, progress.step, progress.seconds), (Some(5), Some(45), Some(22.5)));
        let best = |value, epoch| Some(Best { metric: "accuracy".into(), value, epoch });
        assert_eq!(progress.best, best(50.5, 3));
        assert_eq!(read(&LINES, Task::Vision, 0).best, best(70.0, 1));
        assert_eq!(read(&LINES, Task::Vision, 4).best, best(70.0, 1), "none of the chosen loss yet");
        assert_eq!(read(&LINES, Task::Detection, 0).best, None);
    }

    #[test]
    fn a_smaller_loss_is_better() {
        let lines = [r#"{"kind":"valid","epoch":1,"loss":3.0}"#, r#"{"kind":"valid","epoch":2,"loss":4.0}"#];
        assert_eq!(read(&lines, Task::Dialogue, 0).best.unwrap().value, 3.0);
    }

    #[test]
    fn a_cut_off_last_line_is_no_fault_but_others_are() {
        let cut = [LINES[0], r#"{"kind":"va"#];
        let progress = read(&cut, Task::Vision, 0);
        assert_eq!((progress.epoch, progress.bad_lines), (Some(1), 0));
        let broken = [LINES[0], r#"{"kind":"va"#, LINES[1], LINES[4]];
        assert_eq!(read(&broken, Task::Vision, 0).bad_lines, 1);
        let missing = Progress::of_metrics(Path::new("/nowhere/metrics.jsonl"), None, 0).unwrap();
        assert_eq!(missing, Progress::default());
    }
}
