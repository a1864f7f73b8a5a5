//! `toolkit runs`: the list of run folders. Needs no libtorch.

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use assert_cmd::cargo::cargo_bin;
use serde_json::{Value, json};
use support::{Command, contains, fails, process, succeeds};
use tempfile::TempDir;

/// The toolkit, in `folder`. No plugin is needed.
fn toolkit(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::from_std(process(cargo_bin!("toolkit")));
    command.args(words).current_dir(folder);
    command
}

/// A run folder that began `hours` ago and wrote nothing since.
struct Run<'a> {
    lab: &'a TempDir,
    name: &'a str,
    task: &'a str,
    config: &'a str,
    hours: u64,
}

impl Run<'_> {
    fn make(&self, files: &[(&str, &str)]) {
        let folder = self.lab.path().join(self.name);
        fs::create_dir_all(folder.join("checkpoints")).unwrap();
        let manifest = json!({"command": ["toolkit", self.task, "--epochs", "9"], "seed": 0});
        let own = [("config.toml", self.config), ("manifest.json", &manifest.to_string()), (".lock", "")];
        for (name, text) in own.iter().chain(files) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let then = SystemTime::now() - Duration::from_secs(3600 * self.hours + 60);
            File::options().append(true).open(&path).unwrap().set_modified(then).unwrap();
        }
    }
}

const VALID: &str = r#"{"kind":"valid","epoch":1,"step":10,"accuracy":40.0,"seconds":{"elapsed":60.0}}
{"kind":"valid","epoch":2,"step":20,"accuracy":30.0,"seconds":{"elapsed":125.0}}
"#;

/// One run in each state, in a sweep and out of it.
fn lab() -> TempDir {
    let lab = tempfile::tempdir().unwrap();
    let run = |name, task, config, hours| Run { lab: &lab, name, task, config, hours };
    let results = json!({
        "loss": "eureka",
        "training": {"epochs": 9, "steps": 90, "seconds": 50.0, "best": {"metric": "accuracy", "epoch": 7, "value": 61.0}},
        "second_stage": {"epochs": 4, "steps": 40, "seconds": 20.0, "best": null},
    });
    let finished = "loss = \"eureka\"\nepochs = 9\nstage-epochs = 4\nseed = 0\n";
    run("runs/sweep/seed-0", "vision", finished, 5).make(&[
        ("results.json", &results.to_string()),
        ("checkpoints/last.safetensors", "x"),
        // It belongs to the run.
        ("stage-2/config.toml", ""),
    ]);
    let stopped = "loss = \"focal\"\nepochs = 9\ndefer-epochs = 1\n";
    run("runs/sweep/seed-1", "vision", stopped, 4)
        .make(&[("metrics.jsonl", VALID), ("checkpoints/previous.safetensors", "x")]);
    run("runs/empty", "dialogue", "loss = \"ldam\"\nepochs = 3\n", 3).make(&[]);
    run("runs/damaged", "detection", "loss = \n", 2).make(&[("metrics.jsonl", "{\n{}\n{}\n")]);
    run("runs/running", "detection", "loss = \"focal\"\niterations = 500\n", 1).make(&[("metrics.jsonl", VALID)]);
    lab
}

#[test]
fn every_state_is_told() {
    let lab = lab();
    let lock = File::open(lab.path().join("runs/running/.lock")).unwrap();
    lock.lock().unwrap();
    let text = succeeds(&mut toolkit(lab.path(), &["runs"]));
    let lines: Vec<&str> = text.lines().collect();
    let starts = ["run", "sweep/seed-0", "sweep/seed-1", "empty", "damaged", "running"];
    let firsts: Vec<&str> = lines.iter().take(6).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(firsts, starts, "the last written is the last:\n{text}");
    contains(
        lines[1],
        &["vision", "eureka", "finished", "9/9 + 4/4", "accuracy 61.00 in epoch 7", "1 min 10 s", "5 h 1 min ago"],
    );
    contains(lines[2], &["focal", "stopped", "2/9", "accuracy 30.00 in epoch 2", "2 min 5 s"]);
    contains(lines[3], &["dialogue", "ldam", "empty", " - "]);
    contains(lines[4], &["detection", "damaged"]);
    contains(lines[5], &["detection", "running", "20/500 steps"]);
    contains(&text, &["damaged: config.toml: ", "damaged: metrics.jsonl: 1 lines are no JSON"]);

    let list: Value =
        serde_json::from_str(&succeeds(&mut toolkit(lab.path(), &["runs", "runs/sweep", "--json"]))).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["name"], "seed-0");
    assert_eq!(list[0]["second_stage"], json!({"reached": 4, "of": 4, "steps": false}));
    assert_eq!(list[1]["best"], json!({"metric": "accuracy", "value": 30.0, "epoch": 2}));
    assert_eq!((&list[1]["state"], &list[1]["problems"]), (&json!("stopped"), &json!([])));

    // The lock is gone with the process that held it, and listing has taken none.
    drop(lock);
    let lock = File::open(lab.path().join("runs/running/.lock")).unwrap();
    // A process that another test is starting has our files for a moment.
    let free = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        lock.try_lock().is_ok()
    });
    assert!(free);
    drop(lock);
    let list: Value = serde_json::from_str(&succeeds(&mut toolkit(lab.path(), &["runs", "--json"]))).unwrap();
    assert_eq!(list[4]["state"], "empty", "it has no checkpoint");
}

#[test]
fn results_of_fewer_steps_than_were_taken_are_past() {
    let lab = tempfile::tempdir().unwrap();
    let run = Run { lab: &lab, name: "a", task: "vision", config: "epochs = 4\n", hours: 0 };
    let results = json!({"training": {"epochs": 1, "steps": 10}}).to_string();
    let files = [("results.json", results.as_str()), ("metrics.jsonl", VALID), ("checkpoints/last.safetensors", "x")];
    run.make(&files);
    contains(&succeeds(&mut toolkit(lab.path(), &["runs", "a"])), &["stopped", "2/4"]);
}

#[test]
fn folders_without_runs() {
    let lab = tempfile::tempdir().unwrap();
    contains(&fails(&mut toolkit(lab.path(), &["runs"]), 1), &["runs is neither a run folder", "No such file"]);
    let output = toolkit(lab.path(), &["runs", "."]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    contains(&String::from_utf8(output.stderr).unwrap(), &[". holds no runs"]);
    assert_eq!(succeeds(&mut toolkit(lab.path(), &["runs", ".", "--json"])), "[]\n");
}
