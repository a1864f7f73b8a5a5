//! Event files, read by TensorBoard itself: needs a Python that has the package `tensorboard`, named by `TOOLKIT_PYTHON`.
#![cfg(feature = "training")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;
use support::{Lab, succeeds};

/// Prints all scalars as `{tag: [[step, value], …]}`.
const READ: &str = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0})
events.Reload()
scalars = {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in events.Tags()['scalars']}
json.dump(scalars, sys.stdout)
";

/// Steps and values by tag.
type Scalars = BTreeMap<String, Vec<(u64, f64)>>;

/// None, with a word on why, where no Python was named.
fn python() -> Option<OsString> {
    let python = std::env::var_os("TOOLKIT_PYTHON");
    if python.is_none() {
        eprintln!("skipped: TOOLKIT_PYTHON names no Python that has the package tensorboard");
    }
    python
}

fn read_by_tensorboard(python: &OsString, run: &Path) -> Scalars {
    let output = std::process::Command::new(python).args(["-c", READ]).arg(run).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `metrics.jsonl` says, as event files have it: in float32, speeds beside the other values.
fn in_metrics(lab: &Lab, run: &str) -> Scalars {
    let mut all = Scalars::new();
    for line in lab.text(&format!("{run}/metrics.jsonl")).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let values = record.as_object().unwrap().iter();
        let values = values.filter(|(name, _)| !["kind", "epoch", "step", "phase", "seconds"].contains(&name.as_str()));
        let speeds = record["seconds"].as_object().unwrap().iter().filter(|(name, _)| *name != "elapsed");
        for (name, value) in values.chain(speeds) {
            let tag = format!("{}/{name}", record["kind"].as_str().unwrap());
            let value = f64::from(value.as_f64().unwrap() as f32);
            all.entry(tag).or_default().push((record["step"].as_u64().unwrap(), value));
        }
    }
    all
}

#[test]
fn tensorboard_reads_what_metrics_say() {
    let Some(python) = python() else { return };
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &["--log-every", "2"]));
    let found = read_by_tensorboard(&python, &lab.path("run"));
    for tag in ["train/loss", "train/lr", "train/tokens_per_second", "epoch/loss", "valid/perplexity"] {
        assert!(found.contains_key(tag), "{tag} is not among {:?}", found.keys());
    }
    assert_eq!(found["valid/loss"].len(), 2);
    assert_eq!(found, in_metrics(&lab, "run"));
}

/// A machine that went down in the second epoch: its events are in the first file, and not in the checkpoint.
#[test]
fn steps_that_are_taken_again_are_there_once() {
    let Some(python) = python() else { return };
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &["--log-every", "2", "--epochs", "1"]));
    let (checkpoints, kept) = (lab.path("run/checkpoints"), lab.path("kept"));
    std::fs::create_dir(&kept).unwrap();
    for name in support::entries(&checkpoints) {
        std::fs::copy(checkpoints.join(&name), kept.join(&name)).unwrap();
    }
    let resume = ["--log-every", "2", "--epochs", "2", "--resume"];
    succeeds(&mut lab.train("run", &resume));
    let once = read_by_tensorboard(&python, &lab.path("run"));
    std::fs::remove_dir_all(&checkpoints).unwrap();
    std::fs::rename(&kept, &checkpoints).unwrap();
    succeeds(&mut lab.train("run", &resume));

    let files = support::entries(&lab.path("run"));
    let files = files.iter().filter(|name| name.to_string_lossy().starts_with("events.out.tfevents")).count();
    assert_eq!(files, 3);
    let found = read_by_tensorboard(&python, &lab.path("run"));
    assert_eq!(found["train/loss"], once["train/loss"], "the same steps again, and no step twice");
    assert_eq!(found, in_metrics(&lab, "run"));
}
