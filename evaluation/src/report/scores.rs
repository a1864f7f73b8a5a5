//! The scores that runs ended with, a row for each group and stage of its runs.

use serde::Serialize;
use serde_json::Value;

use super::Task;
use super::groups::Group;
use super::run::Run;
use crate::Spread;

/// A score, as a column of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Score {
    /// Its path in the results, as in `calibration_error.all`.
    pub key: String,
    /// What the table calls it.
    pub name: String,
    /// Whether more of it is better; `None` where neither is.
    pub more: Option<bool>,
    /// Whether it is in the short table.
    pub headline: bool,
}

/// The scores of a group.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Row {
    /// Index of the group.
    pub group: usize,
    /// "last epoch" or "best epoch".
    pub stage: &'static str,
    /// The epochs of its runs.
    pub epochs: Vec<u64>,
    /// Runs that have results.
    pub runs: usize,
    /// In the order of the scores; `None` where no run has one.
    pub values: Vec<Option<Spread>>,
    /// Of each run its index and its values, for tests over seeds.
    #[serde(skip)]
    pub by_run: Vec<(usize, Vec<Option<f64>>)>,
}

/// The table of a task.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Table {
    pub scores: Vec<Score>,
    pub rows: Vec<Row>,
    /// Whether a best epoch was chosen by the examples that it is scored on: its scores are too good.
    pub chosen_by_test: bool,
}

/// The scores of a run at one stage.
struct Stage {
    name: &'static str,
    epoch: Option<u64>,
    scores: Vec<(String, f64)>,
}

/// Headline scores with their names, in the order of the table.
fn headlines(task: Task) -> &'static [(&'static str, &'static str)] {
    match task {
        Task::Vision => &[
            ("all", "All"),
            ("many", "Many"),
            ("medium", "Medium"),
            ("few", "Few"),
            ("natural", "Natural"),
            ("calibration_error.all", "ECE"),
            ("top_5", "top-5"),
            ("macro_f1", "macro F1"),
        ],
        Task::Dialogue => &[
            ("perplexity", "perplexity"),
            ("f1", "F1"),
            ("micro_f", "micro F"),
            ("macro_f", "macro F"),
            ("macro_f_reference_types", "macro F (ref. types)"),
            ("distinct_1", "dist-1"),
            ("distinct_2", "dist-2"),
            ("distinct_4", "dist-4"),
            ("rare_share", "rare"),
            ("length_mean", "length (tokens)"),
        ],
        Task::Detection => &[
            ("AP", "AP"),
            ("AP50", "AP50"),
            ("AP75", "AP75"),
            ("APs", "APs"),
            ("APm", "APm"),
            ("APl", "APl"),
            ("AR100", "AR100"),
        ],
    }
}

/// Numbers that say how much was scored, not how well.
const COUNTS: [&str; 14] = [
    "images",
    "classes",
    "classes_without_test_images",
    "groups",
    "sizes",
    "confusion",
    "replies",
    "tokens",
    "macro_f_types",
    "reference_types",
    "rare_at_most",
    "detections",
    "per_class",
    "warnings",
];

/// Whether more of a score is better. Lengths and shares of rare words are good where they are those of the references; a
/// training's time depends on the machine.
fn more(key: &str) -> Option<bool> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    if starts(&["calibration_error", "perplexity", "split_loss"]) {
        Some(false)
    } else if starts(&["length_", "rare_", "unseen_", "gap.", "(", "tau"]) {
        None
    } else {
        Some(true)
    }
}

impl Table {
    /// Of the runs in `groups` that have results.
    pub fn of(task: Task, runs: &[&Run], groups: &[Group]) -> Self {
        let stages: Vec<Vec<Stage>> = runs.iter().map(|run| stages(task, run)).collect();
        let mut keys: Vec<String> = headlines(task).iter().map(|(key, _)| (*key).to_owned()).collect();
        for (key, _) in stages.iter().flatten().flat_map(|stage| &stage.scores) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys.retain(|key| stages.iter().flatten().any(|stage| stage.scores.iter().any(|(own, _)| own == key)));
        let rows = groups.iter().enumerate().flat_map(|(place, group)| {
            ["last epoch", "best epoch"].into_iter().filter_map({
                let (stages, keys) = (&stages, &keys);
                move |name| row(place, group, name, stages, keys)
            })
        });
        let rows = rows.collect();
        let score = |key: String| {
            let headline = headlines(task).iter().find(|(own, _)| *own == key);
            let name = headline.map_or_else(|| key.replace(['_', '.'], " "), |(_, name)| (*name).to_owned());
            Score { name, more: more(&key), headline: headline.is_some(), key }
        };
        let chosen_by_test = runs.iter().any(|run| chosen_by_test(task, run));
        Self { rows, scores: keys.into_iter().map(score).collect(), chosen_by_test }
    }
}

fn row(place: usize, group: &Group, name: &'static str, stages: &[Vec<Stage>], keys: &[String]) -> Option<Row> {
    let of_run = |&run: &usize| Some((run, stages[run].iter().find(|stage| stage.name == name)?));
    let own: Vec<(usize, &Stage)> = group.runs.iter().filter_map(of_run).collect();
    let values = |stage: &Stage| -> Vec<Option<f64>> {
        let value = |key: &String| stage.scores.iter().find(|(own, _)| own == key).map(|(_, value)| *value);
        keys.iter().map(value).collect()
    };
    let by_run: Vec<(usize, Vec<Option<f64>>)> = own.iter().map(|(run, stage)| (*run, values(stage))).collect();
    let spread = |at: usize| Spread::of(&by_run.iter().filter_map(|(_, values)| values[at]).collect::<Vec<_>>());
    let values = (0..keys.len()).map(spread).collect();
    (!own.is_empty()).then(|| Row {
        group: place,
        stage: name,
        epochs: own.iter().filter_map(|(_, stage)| stage.epoch).collect(),
        runs: own.len(),
        values,
        by_run,
    })
}

fn chosen_by_test(task: Task, run: &Run) -> bool {
    run.results.as_ref().is_some_and(|results| match task {
        Task::Vision => results["best"]["chosen_by"] == "test-images",
        Task::Dialogue => results["split"] == "valid",
        // There is one set to evaluate on, as is COCO's custom.
        Task::Detection => true,
    })
}

fn stages(task: Task, run: &Run) -> Vec<Stage> {
    let Some(results) = &run.results else { return Vec::new() };
    let mut stages = Vec::new();
    let training = &results["training"];
    let scores = |scores: &Value| {
        let mut found = Vec::new();
        let scores = if task == Task::Detection { &scores["stats"] } else { scores };
        flatten("", scores, &mut found);
        if task == Task::Detection {
            // −1 where no ground truth counts; in per cent, as the validations are.
            found.retain(|(_, value)| *value >= 0.0);
            found.iter_mut().for_each(|(_, value)| *value *= 100.0);
        }
        found
    };
    // What the training saved last is scored by vision, which scores the best epoch beside it; others score the best alone.
    let second = &results["second_stage"];
    let (name, epoch) = match task {
        Task::Vision => {
            ("last epoch", training["epochs"].as_u64().map(|own| own + second["epochs"].as_u64().unwrap_or(0)))
        }
        Task::Dialogue | Task::Detection => ("best epoch", training["best"]["epoch"].as_u64()),
    };
    let mut first = scores(&results["scores"]);
    let mut more = |key: &str, value: &Value| first.extend(value.as_f64().map(|value| (key.to_owned(), value)));
    more("split_loss", &results["split_loss"]);
    more("tau", &results["tau"]);
    let seconds = training["seconds"].as_f64().map(|own| own + second["seconds"].as_f64().unwrap_or(0.0));
    more("(training, s)", &seconds.into());
    more("(memory, MiB)", &training["peak_memory_bytes"].as_f64().map(|bytes| bytes / f64::from(1 << 20)).into());
    more("(parameters)", &results["parameters"]);
    flatten("gap.", &results["gap"], &mut first);
    if !results["scores"].is_null() {
        stages.push(Stage { name, epoch, scores: first });
    }
    let best = &results["best"];
    if !best["scores"].is_null() {
        stages.push(Stage { name: "best epoch", epoch: best["epoch"].as_u64(), scores: scores(&best["scores"]) });
    }
    stages
}

/// The numbers of an object by their paths, lists left out.
fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, f64)>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if COUNTS.contains(&key.as_str()) {
            continue;
        }
        match value {
            Value::Number(number) => into.extend(number.as_f64().map(|number| (format!("{prefix}{key}"), number))),
            Value::Object(_) => flatten(&format!("{prefix}{key}."), value, into),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(results: Value) -> Run {
        let (config, manifest) = (toml::Table::new(), Value::Null);
        Run { folder: "x".into(), task: None, config, manifest, results: Some(results), problems: Vec::new() }
    }

    fn of(task: Task, results: &[Value], groups: &[&[usize]]) -> Table {
        let runs: Vec<Run> = results.iter().cloned().map(run).collect();
        let groups: Vec<Group> = groups.iter().map(|own| Group { name: String::new(), runs: own.to_vec() }).collect();
        Table::of(task, &runs.iter().collect::<Vec<_>>(), &groups)
    }

    fn value(table: &Table, row: usize, key: &str) -> Option<Spread> {
        table.rows[row].values[table.scores.iter().position(|score| score.key == key).unwrap()]
    }

    #[test]
    fn last_and_best_epochs_are_rows() {
        let vision = |all: f64| {
            json!({
                "training": {"epochs": 20, "seconds": 5.0},
                "scores": {"images": 9, "all": all, "few": null, "calibration_error": {"all": 3.0}, "sizes": {"all": {"classes": 3}}},
                "best": {"epoch": 18, "chosen_by": "test-images", "scores": {"all": all + 1.0}},
                "gap": {"all": {"train": 70.0}},
            })
        };
        let table = of(Task::Vision, &[vision(60.0), vision(62.0), vision(50.0)], &[&[0, 1], &[2]]);
        let rows: Vec<_> =
            table.rows.iter().map(|row| (row.group, row.stage, row.epochs.as_slice(), row.runs)).collect();
        assert_eq!(rows[..2], [(0, "last epoch", &[20, 20][..], 2), (0, "best epoch", &[18, 18][..], 2)]);
        assert_eq!(rows[2..], [(1, "last epoch", &[20][..], 1), (1, "best epoch", &[18][..], 1)]);
        assert_eq!(value(&table, 0, "all"), Some(Spread { mean: 61.0, sd: Some(2.0_f64.sqrt()) }));
        assert_eq!(value(&table, 3, "all"), Some(Spread { mean: 51.0, sd: None }));
        assert_eq!(value(&table, 1, "calibration_error.all"), None);
        assert!(table.chosen_by_test);
        let keys: Vec<_> = table.scores.iter().map(|score| (score.key.as_str(), score.more, score.headline)).collect();
        let want = [
            ("all", Some(true), true),
            ("calibration_error.all", Some(false), true),
            ("(training, s)", None, false),
            ("gap.all.train", None, false),
        ];
        assert_eq!(keys, want);
    }

    #[test]
    fn detections_are_in_per_cent_and_those_without_truth_left_out() {
        let results = json!({
            "training": {"best": {"epoch": 7}},
            "scores": {"stats": {"AP": 0.25, "APl": -1.0}, "detections": 5},
        });
        let table = of(Task::Detection, &[results], &[&[0]]);
        assert_eq!(value(&table, 0, "AP"), Some(Spread { mean: 25.0, sd: None }));
        assert_eq!(
            (table.scores.len(), table.rows[0].stage, table.rows[0].epochs.as_slice()),
            (1, "best epoch", &[7][..])
        );
    }

    #[test]
    fn replies_know_what_is_better() {
        let results = json!({"split": "test", "scores": {"f1": 13.0, "perplexity": 60.0, "length_mean": 9.0, "macro_f_over": "vocabulary"}, "split_loss": 4.0});
        let table = of(Task::Dialogue, &[results], &[&[0]]);
        let better: Vec<_> = table.scores.iter().map(|score| (score.name.as_str(), score.more)).collect();
        let want =
            [("perplexity", Some(false)), ("F1", Some(true)), ("length (tokens)", None), ("split loss", Some(false))];
        assert_eq!(better, want);
        assert!(!table.chosen_by_test);
    }
}
