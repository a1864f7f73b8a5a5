//! `toolkit vision`: trainings on a few generated images, resumed, swept, and used afterwards.
#![cfg(feature = "training")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Command, contains, fails, json, succeeds, toolkit};
use tempfile::TempDir;

/// A hundred images, of the largest class forty.
const SMALL: [&str; 18] = [
    "--warmup-epochs",
    "0",
    "--largest-class",
    "40",
    "--imbalance-ratio",
    "8",
    "--epochs",
    "2",
    "--batch-size",
    "16",
    "--threads",
    "1",
    "--schedule",
    "constant",
    "--lr",
    "0.05",
    "--precision",
    "float32",
];

struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, run: &str, flags: &[&str]) -> Command {
        let mut command = toolkit();
        command.arg("vision").args(SMALL).args(flags).arg("--run").arg(self.path(run)).current_dir(self.folder.path());
        command
    }

    fn verb(&self, words: &[&str]) -> Command {
        let mut command = toolkit();
        command.arg("vision").args(words).current_dir(self.folder.path());
        command
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("events") && name != ".lock").collect();
    names.sort();
    names
}

#[test]
fn a_run_is_scored_drawn_and_used() {
    let lab = Lab::new();
    let printed = succeeds(&mut lab.train("run", &["--loss", "eureka", "--beta", "0.99", "--defer-epochs", "1"]));
    contains(&printed, &["eureka epoch 2 (last)", "(best)", "chosen by the test images", "464154 parameters"]);
    let expected = [
        "checkpoints",
        "class-accuracy.svg",
        "config.toml",
        "confusion.svg",
        "curves.svg",
        "gap.svg",
        "likelihood.svg",
        "manifest.json",
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "predictions-test.safetensors",
        "predictions-train.safetensors",
        "results.json",
        "subset.json",
    ];
    assert_eq!(files(&lab.path("run")), expected);
    let results = lab.json("run/results.json");
    // ⌊40·8^(−i/9)⌋.
    let counts: Vec<u64> = results["train_counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert_eq!(counts, [40, 31, 25, 20, 15, 12, 10, 7, 6, 5]);
    assert_eq!(results["scores"]["images"], 1000);

    // The scores of the predictions, by the evaluator that needs no libtorch.
    std::fs::write(lab.path("counts.txt"), counts.map_lines()).unwrap();
    let mut eval = toolkit();
    eval.args(["eval", "longtail", "--json", "--group-classes", "3,4,3", "--predictions"]);
    eval.arg(lab.path("run/predictions-test.safetensors")).arg("--train-counts").arg(lab.path("counts.txt"));
    let scored = json(&mut eval);
    let again = json(&mut lab.verb(&["evaluate", "run", "--json"]));
    for key in ["all", "many", "medium", "few", "natural", "top_5"] {
        assert_eq!(again[key], results["scores"][key], "{key}");
        let found = find(&scored, key).unwrap_or_else(|| panic!("{key} is not in {scored}"));
        assert_eq!(found, &results["scores"][key], "{key}");
    }

    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/vision/tests/fixtures/augment/colour.jpg");
    let named = json(&mut lab.verb(&["predict", "run", image, image, "--top", "3", "--json"]));
    assert_eq!(named[0]["classes"], named[1]["classes"]);
    let likelihoods: Vec<f64> =
        named[0]["classes"].as_array().unwrap().iter().map(|class| class["likelihood"].as_f64().unwrap()).collect();
    assert!(likelihoods.len() == 3 && likelihoods.is_sorted_by(|a, b| a >= b), "{likelihoods:?}");
    contains(&succeeds(&mut lab.verb(&["predict", "run", image])), &["colour.jpg", " %  "]);
    contains(&fails(&mut lab.verb(&["predict", "run", "no.jpg"]), 1), &["no.jpg"]);

    // One file does what the run does.
    succeeds(&mut lab.verb(&["export", "run", "-o", "model.safetensors"]));
    let exported = ["evaluate", "model.safetensors", "--dataset", "synthetic", "--json"];
    assert_eq!(json(&mut lab.verb(&exported))["all"], results["scores"]["all"]);
    let message = fails(&mut lab.verb(&["evaluate", "model.safetensors"]), 2);
    contains(&message, &["exported model", "--dataset"]);

    succeeds(&mut lab.verb(&["plot", "run", "run", "--format", "png", "-o", "pictures"]));
    assert_eq!(files(&lab.path("pictures")).len(), 5);
}

trait Lines {
    fn map_lines(&self) -> String;
}

impl Lines for [u64] {
    fn map_lines(&self) -> String {
        self.iter().map(|count| format!("{count}\n")).collect()
    }
}

/// The value of `key`, at any depth.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|value| find(value, key))),
        Value::Array(items) => items.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

#[test]
fn a_resumed_run_ends_with_the_bytes_of_a_whole_one() {
    let lab = Lab::new();
    let flags = ["--loss", "focal", "--checkpoint-every", "3", "--sampler", "square-root"];
    succeeds(&mut lab.train("whole", &flags));
    // Stopped after its first epoch: a run of one epoch is the start of one of two.
    let first = [&flags[..], &["--epochs", "1"]].concat();
    succeeds(&mut lab.train("stopped", &first));
    succeeds(&mut lab.train("stopped", &[&flags[..], &["--resume"]].concat()));
    for file in ["checkpoints/last.safetensors", "model.safetensors", "predictions-test.safetensors"] {
        assert!(lab.bytes(&format!("whole/{file}")) == lab.bytes(&format!("stopped/{file}")), "{file} differs");
    }
}

#[test]
fn every_method_ends_in_a_model_that_predicts() {
    let lab = Lab::new();
    for method in ["crt", "lws", "tau-norm", "ncm", "bbn"] {
        let flags = ["--method", method, "--stage-epochs", "1", "--epochs", "1"];
        let flags: Vec<&str> =
            if matches!(method, "crt" | "lws") { flags.into() } else { vec!["--method", method, "--epochs", "1"] };
        succeeds(&mut lab.train(method, &flags));
        let results = lab.json(&format!("{method}/results.json"));
        assert_eq!(lab.path(method).join("stage-2").exists(), matches!(method, "crt" | "lws"), "{method}");
        let again = json(&mut lab.verb(&["evaluate", method, "--json"]));
        assert_eq!(again["all"], results["scores"]["all"], "{method}");
    }
    assert_eq!(lab.json("tau-norm/results.json")["tau"], 0.7);
    let resumed = ["--method", "crt", "--stage-epochs", "1", "--epochs", "1", "--resume"];
    let before = lab.bytes("crt/model.safetensors");
    succeeds(&mut lab.train("crt", &resumed));
    assert!(before == lab.bytes("crt/model.safetensors"));
}

#[test]
fn a_sweep_has_one_table_and_trains_nothing_twice() {
    let lab = Lab::new();
    let flags = ["--loss", "eureka", "--epochs", "1", "--seeds", "0..2", "--sweep", "beta=0.9,0.99"];
    let printed = succeeds(&mut lab.train("sweep", &flags));
    contains(&printed, &["beta=0.9 last epoch", "beta=0.99 best epoch", "±"]);
    let runs = ["beta-0.9-seed-0", "beta-0.9-seed-1", "beta-0.99-seed-0", "beta-0.99-seed-1"];
    assert_eq!(files(&lab.path("sweep")), runs);
    let written = |run: &str| std::fs::metadata(lab.path("sweep").join(run).join("results.json")).unwrap().modified();
    let before = runs.map(|run| written(run).unwrap());
    std::fs::remove_dir_all(lab.path("sweep/beta-0.99-seed-1")).unwrap();
    assert_eq!(succeeds(&mut lab.train("sweep", &flags)), printed);
    assert_eq!(written(runs[0]).unwrap(), before[0]);
}

#[test]
fn bad_input_is_named() {
    let lab = Lab::new();
    let message = |flags: &[&str], code| fails(&mut lab.train("run", flags), code);
    contains(&message(&["--dataset", "cifar-10"], 1), &["cifar-10", "--data"]);
    contains(&message(&["--dataset", "cifar-10", "--data", "nowhere"], 1), &["nowhere"]);
    contains(&message(&["--imbalance-ratio", "0.5"], 2), &["--imbalance-ratio", "at least 1"]);
    contains(&message(&["--largest-class", "5000"], 1), &["5000", "1000"]);
    contains(&message(&["--groups", "20,100"], 2), &["--groups"]);
    contains(&message(&["--group-classes", "3,3,3"], 2), &["9", "10"]);
    contains(&message(&["--method", "deferred"], 2), &["--method deferred", "--defer-epochs"]);
    contains(&message(&["--method", "deferred", "--defer-epochs", "1"], 2), &["neither the loss nor the sampler"]);
    contains(&message(&["--tau", "0.5"], 2), &["--tau 0.5", "tau-norm"]);
    contains(&message(&["--method", "bbn", "--sampler", "reversed"], 2), &["--method bbn", "--sampler"]);
    contains(&message(&["--method", "lws", "--normalised-classifier", "yes"], 2), &["lws", "normalised"]);
    contains(&message(&["--hold-out", "5"], 1), &["5", "at least one must be left"]);
    contains(&message(&["--seeds", "4"], 2), &["--seeds 4", "0..4"]);
    contains(&message(&["--weights", "missing.pth"], 1), &["missing.pth"]);
    assert!(!lab.path("run").exists(), "nothing half-written stays");

    let folder = lab.path("images");
    for (split, class) in [("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")] {
        std::fs::create_dir_all(folder.join(split).join(class)).unwrap();
        std::fs::write(folder.join(split).join(class).join("a.jpg"), "no picture").unwrap();
    }
    let flags = ["--dataset", "folder", "--data", "images", "--imbalance-ratio", "0", "--group-classes", "1,1,0"];
    contains(&fails(&mut lab.train("run", &flags), 1), &["a.jpg"]);
}

#[test]
fn ways_to_train_are_gone_on_from_too() {
    let lab = Lab::new();
    // All that a checkpoint must hold beside weights, and all that a step draws.
    let flags = ["--optimiser", "adamw", "--lr", "0.002", "--ema-decay", "0.9", "--mixup", "0.4", "--cutmix", "1"];
    let flags = [&flags[..], &["--layer-lr", "layer1=0.1,fc=2", "--freeze", "conv1"]].concat();
    let flags = [&flags[..], &["--lr-batch", "8", "--warmup-epochs", "1"]].concat();
    succeeds(&mut lab.train("whole", &flags));
    succeeds(&mut lab.train("longer", &[&flags[..], &["--epochs", "1"]].concat()));
    succeeds(&mut lab.train("longer", &[&flags[..], &["--resume"]].concat()));
    for file in ["last", "best"] {
        let of = |run: &str| lab.bytes(&format!("{run}/checkpoints/{file}.safetensors"));
        assert!(of("whole") == of("longer"), "{file} differs");
    }
    let file = lab.bytes("whole/checkpoints/last.safetensors");
    let (header, _) = support::safetensors(&file);
    let names: Vec<&String> = header.as_object().unwrap().keys().collect();
    let some = |start: &str| names.iter().any(|name| name.starts_with(start));
    assert!(some("model.conv1") && some("ema.conv1") && some("adamw.mean.layer1") && some("adamw.updates.fc"));
    assert!(!some("adamw.mean.conv1"), "what is frozen has no optimiser state");
    // Frozen weights are the first ones, whatever the average.
    let of = |start: &str| support::tensors(&file, start);
    assert_eq!(of("model.conv1."), of("ema.conv1."));
    assert_ne!(of("model.fc."), of("ema.fc."));
    // Results are those of the averaged weights.
    let evaluated =
        json(&mut lab.verb(&["evaluate", "whole", "--checkpoint", "whole/checkpoints/last.safetensors", "--json"]));
    let results = lab.json("whole/results.json");
    assert_eq!(find(&evaluated, "all"), find(&results["scores"], "all"));
}

#[test]
fn what_cannot_be_trained_so_is_refused() {
    let lab = Lab::new();
    for (flags, parts) in [
        (&["--method", "bbn", "--mixup", "1"][..], ["--method bbn", "--mixup"]),
        (&["--freeze", "nothing"], ["--freeze nothing", "conv1"]),
        (&["--layer-lr", "nothing=1"], ["--layer-lr nothing", "conv1"]),
        (&["--device", "cuda:99"], ["--device cuda:99", "--device cpu"]),
    ] {
        contains(&fails(&mut lab.train("run", flags), 2), &parts);
        assert!(!lab.path("run").exists(), "{flags:?}");
    }
}
