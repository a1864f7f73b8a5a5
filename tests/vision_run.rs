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

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vision/tests/fixtures/augment/colour.jpg");

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

    let named = json(&mut lab.verb(&["predict", "run", IMAGE, IMAGE, "--top", "3", "--json"]));
    assert_eq!(named[0]["classes"], named[1]["classes"]);
    let likelihoods: Vec<f64> =
        named[0]["classes"].as_array().unwrap().iter().map(|class| class["likelihood"].as_f64().unwrap()).collect();
    assert!(likelihoods.len() == 3 && likelihoods.is_sorted_by(|a, b| a >= b), "{likelihoods:?}");
    contains(&succeeds(&mut lab.verb(&["predict", "run", IMAGE])), &["colour.jpg", " %  "]);
    contains(&fails(&mut lab.verb(&["predict", "run", "no.jpg"]), 1), &["no.jpg"]);

    // One file does what the run does.
    succeeds(&mut lab.verb(&["export", "run", "-o", "model.safetensors"]));
    let exported = ["evaluate", "model.safetensors", "--dataset", "synthetic", "--json"];
    assert_eq!(json(&mut lab.verb(&exported))["all"], results["scores"]["all"]);
    let message = fails(&mut lab.verb(&["evaluate", "model.safetensors"]), 2);
    contains(&message, &["exported model", "--dataset"]);
    let own = ["evaluate", "run", "--checkpoint", "run/model.safetensors", "--json"];
    assert_eq!(json(&mut lab.verb(&own))["all"], results["scores"]["all"]);
    let words = ["evaluate", "model.safetensors", "--checkpoint", "run/model.safetensors"];
    contains(&fails(&mut lab.verb(&words), 2), &["--checkpoint run/model.safetensors is for a run folder"]);

    weights_are_accounted_for(&lab);

    other_classes_are_not_scored(&lab);

    // Another run whose folder has the same name.
    std::fs::create_dir_all(lab.path("again/run")).unwrap();
    for file in ["results.json", "metrics.jsonl", "model.json"] {
        std::fs::copy(lab.path("run").join(file), lab.path("again/run").join(file)).unwrap();
    }
    let said = succeeds(&mut lab.verb(&["plot", "run", "again/run", "--format", "png", "-o", "pictures"]));
    contains(&said, &["\nrun ", "\nagain/run "]);
    let pictures = ["class-accuracy", "confusion-again-run", "confusion-run", "curves", "gap", "likelihood"];
    assert_eq!(files(&lab.path("pictures")), pictures.map(|name| format!("{name}.png")));
}

/// `model.safetensors` as the start of another training.
fn weights_are_accounted_for(lab: &Lab) {
    let flags = ["--weights", "model.safetensors", "--epochs", "1"];
    succeeds(&mut lab.train("tuned", &flags));
    let report = String::from_utf8(lab.bytes("tuned/weights.txt")).unwrap();
    contains(&report, &["model.safetensors: ", "\nloaded:\n  bn1.bias\n", "\n  fc.weight\n"]);
    let hash = imbalance_train::manifest::sha256_file(&lab.path("model.safetensors")).unwrap();
    let data = lab.json("tuned/manifest.json")["data"].clone();
    assert!(data.as_object().unwrap().values().any(|value| *value == hash), "{data}");
    let message = fails(&mut lab.train("other", &[&flags[..], &["--model", "resnet-18"]].concat()), 1);
    contains(
        &message,
        &["model.safetensors: weights of another model: `bn1.bias` is [16] there and [64] in this model"],
    );
    assert!(!lab.path("other").exists());
}

/// `model.safetensors` of generated images on others.
fn other_classes_are_not_scored(lab: &Lab) {
    let mut names: Vec<String> = serde_json::from_value(lab.json("run/model.json")["class-names"].clone()).unwrap();
    let folders = |root: &str, names: &[String]| {
        for (split, name) in ["train", "test"].iter().flat_map(|split| names.iter().map(move |name| (split, name))) {
            let folder = lab.path(root).join(split).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(IMAGE, folder.join("a.jpg")).unwrap();
        }
    };
    names.sort();
    let last = names.last_mut().unwrap();
    *last = format!("{last}-others");
    folders("folders", &names);
    let message =
        fails(&mut lab.verb(&["evaluate", "model.safetensors", "--dataset", "folder", "--data", "folders"]), 2);
    contains(&message, &["folder: class ", "in the model", "the classes that it was trained on"]);
    std::fs::create_dir(lab.path("lists")).unwrap();
    for class in 0..10 {
        std::fs::copy(IMAGE, lab.path(&format!("lists/{class}.jpg"))).unwrap();
    }
    let list: String = (0..10).map(|class| format!("{class}.jpg {class}\n")).collect();
    for split in ["train", "test"] {
        std::fs::write(lab.path(&format!("lists/{split}.txt")), &list).unwrap();
    }
    let words = ["evaluate", "model.safetensors", "--dataset", "list", "--data", "lists"];
    let output = lab.verb(&words).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    contains(&message, &["warning: list: class 0 is named \"0\", but "]);
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
        let two_stages = ["--stage-epochs", "1", "--layer-lr", "conv1=0.5"];
        let two_stages: &[&str] = if matches!(method, "crt" | "lws") { &two_stages } else { &[] };
        let flags = [&["--method", method, "--epochs", "1"][..], two_stages].concat();
        succeeds(&mut lab.train(method, &flags));
        let results = lab.json(&format!("{method}/results.json"));
        assert_eq!(lab.path(method).join("stage-2").exists(), matches!(method, "crt" | "lws"), "{method}");
        let again = json(&mut lab.verb(&["evaluate", method, "--json"]));
        assert_eq!(again["all"], results["scores"]["all"], "{method}");
    }
    assert_eq!(lab.json("tau-norm/results.json")["tau"], 0.7);
    let flags = ["--method", "crt", "--stage-epochs", "1", "--layer-lr", "conv1=0.5"];
    let before = lab.bytes("crt/model.safetensors");
    succeeds(&mut lab.train("crt", &[&flags[..], &["--epochs", "1", "--resume"]].concat()));
    assert!(before == lab.bytes("crt/model.safetensors"));
    assert_eq!(lab.json("crt/stage-2/manifest.json")["resumed"].as_array().unwrap().len(), 1);
    // After a longer first stage the second one begins anew: its checkpoints hold the backbone of the shorter one.
    succeeds(&mut lab.train("crt", &[&flags[..], &["--resume"]].concat()));
    succeeds(&mut lab.train("whole", &flags));
    for file in ["model.safetensors", "predictions-test.safetensors"] {
        assert!(lab.bytes(&format!("crt/{file}")) == lab.bytes(&format!("whole/{file}")), "{file} differs");
    }
    assert!(before != lab.bytes("crt/model.safetensors"));
}

#[test]
fn a_sweep_has_one_table_and_trains_nothing_twice() {
    let lab = Lab::new();
    let flags = ["--loss", "eureka", "--epochs", "1", "--seeds", "0..2", "--sweep", "beta=0.9,0.99"];
    // Beside the recipe's `group-classes`, which it takes the place of.
    let flags = [&flags[..], &["--groups", "30,10"]].concat();
    let printed = succeeds(&mut lab.train("sweep", &flags));
    contains(&printed, &["beta=0.9 last epoch", "beta=0.99 best epoch", "±"]);
    let runs = ["beta-0.9-seed-0", "beta-0.9-seed-1", "beta-0.99-seed-0", "beta-0.99-seed-1"];
    assert_eq!(files(&lab.path("sweep")), runs);
    let written = |run: &str| std::fs::metadata(lab.path("sweep").join(run).join("results.json")).unwrap().modified();
    let before = runs.map(|run| written(run).unwrap());
    std::fs::remove_dir_all(lab.path("sweep/beta-0.99-seed-1")).unwrap();
    assert_eq!(succeeds(&mut lab.train("sweep", &flags)), printed);
    assert_eq!(written(runs[0]).unwrap(), before[0]);
    let groups = serde_json::json!({"by": "count", "many_above": 30, "few_below": 10});
    assert_eq!(lab.json("sweep/beta-0.9-seed-0/model.json")["groups"], groups);

    // Runs of other settings are not taken for these, unless they may go.
    let other = [&flags[..], &["--lr", "0.01", "--seeds", "0..1", "--sweep", "beta=0.9"]].concat();
    let message = fails(&mut lab.train("sweep", &other), 2);
    contains(&message, &["sweep/beta-0.9-seed-0: finished with", "`lr` was 0.05 and is now 0.01", "--overwrite"]);
    succeeds(&mut lab.train("sweep", &[&other[..], &["--overwrite"]].concat()));
    assert!(written(runs[0]).unwrap() > before[0]);
    assert_eq!(files(&lab.path("sweep")), runs);
    // All values are looked at first.
    let message = fails(&mut lab.train("none", &["--sweep", "lr=0.1,fast"]), 2);
    contains(&message, &["--sweep lr=fast: invalid value 'fast' for '--lr"]);
    contains(&fails(&mut lab.train("none", &["--sweep", "no-flag=1,2"]), 2), &["--sweep no-flag=1: ", "'--no-flag'"]);
    for (flags, parts) in [
        (&["--sweep", "seed=1,2", "--seeds", "0..2"][..], &["--sweep seed and --seeds"][..]),
        (
            &["--sweep", "lr=0.1,0.2", "--sweep", "momentum=0.5,0.6"],
            &["--sweep lr=0.1,0.2 and --sweep momentum", "one flag"],
        ),
        (&["--sweep", "lr=0.1,0.1"], &["--sweep lr: 0.1 is there twice"]),
    ] {
        contains(&fails(&mut lab.train("none", flags), 2), parts);
    }
    // A sweep in a file would be one in each of its trainings, and so on without end.
    std::fs::write(lab.path("sweep.toml"), "nesterov = true\nseeds = \"0..2\"\n").unwrap();
    contains(&fails(&mut lab.train("none", &["--config", "sweep.toml"]), 2), &["sweep.toml:2: `seeds`", "--seeds"]);
    // What a file switches on, a flag switches off; and both are swept.
    std::fs::write(lab.path("on.toml"), "nesterov = true\n").unwrap();
    let on = ["--config", "on.toml", "--epochs", "1"];
    succeeds(&mut lab.train("off", &[&on[..], &["--nesterov=false", "--epochs", "2"]].concat()));
    succeeds(&mut lab.train("both", &[&on[..], &["--sweep", "nesterov=true,false"]].concat()));
    let text = |name: &str| std::fs::read_to_string(lab.path(name)).unwrap();
    let stored = |run: &str| text(&format!("{run}/config.toml")).contains("nesterov = true");
    assert_eq!(["off", "both/nesterov-true", "both/nesterov-false"].map(stored), [false, true, false]);
    // A sweep is no part of a run.
    contains(&fails(&mut lab.train("off", &["--seeds", "0..2"]), 2), &["off: is the folder of one training"]);
    // Nor is a flag taken that does nothing in one of its trainings.
    let idle = ["--sweep", "schedule=step,cosine", "--step-epochs", "1"];
    contains(&fails(&mut lab.train("none", &idle), 2), &["--sweep schedule=cosine: --step-epochs does nothing"]);
    // A run that is done does not become shorter.
    let message = fails(&mut lab.train("off", &["--resume", "--epochs", "1"]), 2);
    contains(&message, &["`epochs` was 2 and is now 1", "can only be made longer"]);
    assert!(text("off/config.toml").contains("epochs = 2"));
    assert!(!lab.path("none").exists());
}

#[test]
fn a_sweep_passes_signals_on() {
    let lab = Lab::new();
    let mut command = support::process(&support::program());
    command.arg("vision").args(SMALL).args(["--epochs", "200", "--checkpoint-every", "1", "--seeds", "0..2"]);
    command.args(["--run", "sweep", "--quiet"]).current_dir(lab.folder.path()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let began = std::time::Instant::now();
    while !lab.path("sweep/seed-0/checkpoints/last.safetensors").exists() {
        assert!(began.elapsed().as_secs() < 120, "no checkpoint came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // To the sweep alone, as a batch system does.
    let kill = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{message}");
    contains(&message, &["interrupted; go on with the same command and --run sweep"]);
    assert_eq!(files(&lab.path("sweep")), ["seed-0"]);
    let state = json(toolkit().args(["runs", "--json"]).arg(lab.path("sweep")));
    assert_eq!(state[0]["state"], "stopped", "the training has ended, too: {state}");
    let message = fails(&mut lab.train("sweep", &["--seeds", "0..2"]), 2);
    contains(&message, &["sweep/seed-0: begun with other settings: `epochs` was 200 and is now 2"]);
}

#[test]
fn images_that_cannot_be_used_are_counted() {
    let lab = Lab::new();
    for folder in ["train/cat", "train/dog", "test/cat", "test/dog"] {
        std::fs::create_dir_all(lab.path("images").join(folder)).unwrap();
        std::fs::copy(IMAGE, lab.path("images").join(folder).join("a.jpg")).unwrap();
    }
    for file in ["images/test/dog/b.jpg", "images/train/cat/b.jpg"] {
        std::fs::write(lab.path(file), "no picture").unwrap();
    }
    let data =
        ["--dataset", "folder", "--data", "images", "--augment", "imagenet", "--on-bad-image", "skip", "--run", "run"];
    let flags = ["--model", "resnet-32", "--epochs", "2", "--batch-size", "2", "--threads", "1", "--lr", "0.01"];
    succeeds(&mut lab.verb(&[&data[..], &flags].concat()));
    // In both epochs and in the evaluation of the training images; after each epoch, and by the last and the best model.
    let counted = serde_json::json!([["images/test/dog/b.jpg", 4], ["images/train/cat/b.jpg", 3]]);
    assert_eq!(lab.json("run/results.json")["skipped"], counted);
}

#[test]
fn lists_of_any_name_are_trained_on() {
    let lab = Lab::new();
    for class in ["cat", "dog"] {
        std::fs::create_dir_all(lab.path("pictures").join(class)).unwrap();
        std::fs::copy(IMAGE, lab.path("pictures").join(class).join("a.jpg")).unwrap();
    }
    std::fs::write(lab.path("pictures/dog/bad.jpg"), "no picture").unwrap();
    let list = "cat/a.jpg 0\ncat/gone.jpg 0\ndog/a.jpg 1\ndog/bad.jpg 1\n";
    std::fs::write(lab.path("mine.txt"), list).unwrap();
    std::fs::write(lab.path("other.list"), list).unwrap();
    let flags = ["--model", "resnet-32", "--epochs", "1", "--batch-size", "4", "--threads", "1", "--lr", "0.01"];
    let images = ["--images", "pictures", "--run", "run"];
    let train = |data: &[&str]| lab.verb(&[&flags[..], &images, data].concat());
    let lists = ["--train-list", "mine.txt", "--test-list", "other.list"];
    contains(&fails(&mut train(&lists), 1), &["mine.txt:2: no image pictures/cat/gone.jpg; 1 of the 4 images"]);

    let skip = [&lists[..], &["--on-bad-image", "skip"]].concat();
    succeeds(&mut train(&skip));
    let results = lab.json("run/results.json");
    assert_eq!((&results["dataset"], &results["train_counts"]), (&"list".into(), &serde_json::json!([1, 2])));
    // Missing in both lists; trained on once, and evaluated with the training images and thrice with the test images.
    let counted = serde_json::json!([["pictures/cat/gone.jpg", 2], ["pictures/dog/bad.jpg", 5]]);
    assert_eq!(results["skipped"], counted);

    let output = lab.verb(&["evaluate", "run", "--on-bad-image", "skip", "--json"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    let scores: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{message}"));
    assert_eq!((&scores["images"], &scores["all"]), (&2.into(), &results["scores"]["all"]));
    assert_eq!(scores["skipped"].as_array().unwrap().len(), 2);
    contains(&scores["skipped"][1]["fault"].to_string(), &["neither JPEG nor PNG"]);
    contains(&message, &["pictures/cat/gone.jpg: is not there; it is left out", "pictures/dog/bad.jpg: starts with"]);

    // One list is enough for a model alone, which knows its classes.
    succeeds(&mut lab.verb(&["export", "run", "-o", "alone.safetensors"]));
    std::fs::write(lab.path("one.list"), "pictures/cat/a.jpg 0\n\npictures/dog/a.jpg 1\n").unwrap();
    let evaluate = |more: &[&str]| lab.verb(&[&["evaluate", "alone.safetensors", "--json"], more].concat());
    let output = evaluate(&["--test-list", "one.list"]).output().unwrap();
    let alone: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&alone["images"], &alone["all"]), (&2.into(), &results["scores"]["all"]));
    let images = evaluate(&["--test-list", "other.list", "--images", "pictures", "--on-bad-image", "skip"]);
    let images: Value = serde_json::from_slice(&{ images }.output().unwrap().stdout).unwrap();
    assert_eq!((&images["all"], images["skipped"].as_array().unwrap().len()), (&alone["all"], 2));
    std::fs::write(lab.path("one.list"), "pictures/cat/a.jpg 0\n\npictures/dog/a.jpg 2\n").unwrap();
    let message = fails(&mut evaluate(&["--test-list", "one.list"]), 1);
    contains(&message, &["one.list:3: the label 2 is no class of the model, which has 2, numbered from 0"]);
    contains(&fails(&mut evaluate(&[]), 2), &["is an exported model", "--test-list"]);
    let generated = ["--dataset", "synthetic", "--images", "pictures"];
    contains(&fails(&mut evaluate(&generated), 2), &["--images pictures is for lists of images, not synthetic"]);
    let output = ["evaluate", "run", "--output", "run/config.toml"];
    contains(&fails(&mut lab.verb(&output), 2), &["--output run/config.toml", "must end in .safetensors"]);

    // From elsewhere, where only the settings that were stored say where the images are.
    let mut again = toolkit();
    again.args(["vision", "--resume", "--quiet", "--run"]).arg(lab.path("run")).current_dir("/");
    succeeds(&mut again);

    std::fs::write(lab.path("pictures/cat/bad.jpg"), "no picture").unwrap();
    std::fs::write(lab.path("bad.list"), "dog/bad.jpg 1\ncat/bad.jpg 0\n").unwrap();
    let bad = ["--train-list", "bad.list", "--test-list", "other.list", "--on-bad-image", "skip", "--run", "bad"];
    contains(&fails(&mut train(&bad), 1), &["dog/bad.jpg: starts with", "of 2 training images none can be used"]);
    assert!(!lab.path("bad").exists());
    // Images of 22 rows can be evaluated, but no 32 of them cropped.
    let crops = [&lists[..], &["--augment", "cifar", "--on-bad-image", "skip", "--run", "bad"]].concat();
    contains(&fails(&mut train(&crops), 1), &["has no crop of 32x32", "of 3 training images none can be used"]);
    std::fs::write(lab.path("high.list"), "cat/a.jpg 0\ndog/a.jpg 7\ndog/a.jpg 7\n").unwrap();
    let high = ["--train-list", "mine.txt", "--test-list", "high.list", "--on-bad-image", "skip", "--run", "bad"];
    contains(&fails(&mut train(&high), 1), &["class 2 (2) has no", "0 to 7 (the label in high.list:2)"]);
    for (data, parts) in [
        (&["--train-list", "mine.txt"][..], ["--train-list mine.txt", "--test-list FILE"]),
        (&["--test-list", "other.list"], ["--test-list other.list", "--train-list FILE"]),
        (&["--val-list", "other.list"], ["--val-list other.list", "--train-list FILE"]),
        (&[&lists[..], &["--dataset", "folder"]].concat(), ["--dataset list", "not folder"]),
        (
            &[&lists[..], &["--val-list", "mine.txt", "--hold-out", "1"]].concat(),
            ["--val-list mine.txt", "--hold-out 1"],
        ),
        (&[&lists[..], &["--stage-lr", "0.1"]].concat(), ["--stage-lr 0.1", "--method crt"]),
        (&[&lists[..], &["--data", "pictures"]].concat(), ["--data pictures", "--images"]),
    ] {
        contains(&fails(&mut train(data), 2), &parts);
    }
}

#[test]
fn a_finished_run_that_goes_on_is_not_finished() {
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &["--epochs", "1"]));
    let mut command = support::process(&support::program());
    command.args(["vision", "--run", "run", "--resume", "--epochs", "200", "--checkpoint-every", "1", "--quiet"]);
    command.current_dir(lab.folder.path()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let began = std::time::Instant::now();
    // The results go before the settings come, so a kill between the two leaves neither beside the other's.
    let told = || String::from_utf8(lab.bytes("run/config.toml")).unwrap().contains("\nepochs = 200\n");
    while !told() && began.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (told, there) = (told(), lab.path("run/results.json").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told, "the settings of 200 epochs did not come");
    assert!(!there, "the results of one epoch are beside the settings of 200");
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
    contains(&message(&["--group-classes", "3,3,3"], 2), &["--group-classes: ", "9", "10"]);
    contains(
        &message(&["--groups", "30,10", "--group-classes", "3,4,3"], 2),
        &["--groups 30,10", "--group-classes 3,4,3", "give one"],
    );
    contains(&message(&["--imbalance-ratio", "0"], 2), &["--largest-class 40", "--imbalance-ratio 0"]);
    contains(&message(&["--largest-class", "0"], 2), &["--largest-class"]);
    contains(&message(&["--largest-class", "49", "--imbalance-ratio", "49"], 1), &["can be at most 48.99"]);
    contains(&message(&["--base-loss", "focal", "--base-gamma", "1"], 2), &["--base-loss is", "give --defer-epochs"]);
    contains(&message(&["--recipe", "imagenet-lt", "--data", "nowhere"], 1), &["nowhere/ImageNet_LT_train.txt"]);
    contains(&message(&["--sweep", "run=a,b"], 2), &["--sweep run=a,b", "no setting of a training"]);
    contains(&message(&["--method", "deferred"], 2), &["--method deferred", "--defer-epochs"]);
    contains(&message(&["--method", "deferred", "--defer-epochs", "1"], 2), &["neither the loss nor the sampler"]);
    contains(&message(&["--norm-tau", "0.5"], 2), &["--norm-tau 0.5", "tau-norm"]);
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
    let flags = ["--dataset", "folder", "--data", "images", "--model", "resnet-32", "--group-classes", "1,1,0"];
    contains(&fails(&mut lab.verb(&[&flags[..], &["--run", "run"]].concat()), 1), &["a.jpg"]);
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
