//! `toolkit report`: the page that compares runs. Needs no libtorch; the last test trains.

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::fs;
use std::path::Path;

use assert_cmd::cargo::cargo_bin;
use imbalance_evaluation::longtail::write_predictions;
use serde_json::{Value, json};
use support::{Command, contains, fails, process, succeeds};
use tempfile::TempDir;

/// The toolkit, in the lab. No plugin is needed.
fn toolkit(lab: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::from_std(process(cargo_bin!("toolkit")));
    command.args(words).current_dir(lab.path());
    command
}

fn folder(lab: &TempDir, name: &str, task: &str, config: &str) -> std::path::PathBuf {
    let folder = lab.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), config).unwrap();
    let plugins = json!([{"id": "focal", "path": "/x.so", "sha256": "a".repeat(64)}]);
    let manifest = json!({"toolkit": "0.1.0", "command": ["toolkit", task], "plugins": plugins, "data": {}});
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    folder
}

/// A finished run of vision that classifies 40 images of two classes, of which all of class 0 and the first `right` of
/// class 1 are right.
fn vision(lab: &TempDir, name: &str, loss: &str, seed: u64, right: usize) {
    let folder = folder(lab, name, "vision", &format!("loss = \"{loss}\"\nepochs = 2\nseed = {seed}\n"));
    let labels: Vec<usize> = (0..40).map(|image| image % 2).collect();
    let said = labels.iter().enumerate().map(|(image, &label)| usize::from(label == 1 && image / 2 < right));
    let logits: Vec<f32> = said.flat_map(|class| if class == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
    write_predictions(&folder.join("predictions-test.safetensors"), 2, &logits, &labels).unwrap();
    let few = 100.0 * right as f64 / 20.0;
    let all = (100.0 + few) / 2.0;
    let scores = json!({
        "images": 40, "all": all, "many": 100.0, "medium": null, "few": few, "natural": 0.9 * 100.0 + 0.1 * few,
        "per_class": [{"group": "many", "train_images": 90}, {"group": "few", "train_images": 10}],
    });
    let results = json!({
        "loss": loss,
        "training": {"epochs": 2, "steps": 20, "seconds": 9.0, "best": {"metric": "accuracy", "epoch": 1, "value": all}},
        "scores": scores, "best": {"epoch": 1, "scores": {"all": all}}, "gap": {},
    });
    fs::write(folder.join("results.json"), results.to_string()).unwrap();
    let valid = |epoch: u64| json!({"kind": "valid", "epoch": epoch, "step": 10 * epoch, "accuracy": all, "seconds": {"elapsed": 4.5}});
    fs::write(folder.join("metrics.jsonl"), format!("{}\n{}\n", valid(1), valid(2))).unwrap();
    fs::write(folder.join("gap.svg"), "<svg/>").unwrap();
}

fn dialogue(lab: &TempDir, name: &str, lr: f64, replies: &str) {
    let folder = folder(lab, name, "dialogue", &format!("loss = \"focal\"\nlr = {lr}\nseed = 1\n"));
    fs::write(folder.join("replies-test.txt"), replies).unwrap();
    fs::write(folder.join("references-test.txt"), "i like my cat .\nhello there !\nyes , i do .\n").unwrap();
    let results =
        json!({"training": {"best": {"epoch": 3}}, "split": "test", "scores": {"f1": 50.0, "perplexity": 30.0}});
    fs::write(folder.join("results.json"), results.to_string()).unwrap();
}

/// The data of the page's script.
fn page(lab: &TempDir, name: &str) -> (String, Value) {
    let page = fs::read_to_string(lab.path().join(name)).unwrap();
    let (_, data) = page.split_once(r#"id="data">"#).unwrap();
    let data = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    (page, data)
}

fn test<'a>(comparison: &'a Value, score: &str, method: &str) -> &'a Value {
    let tests = comparison["tests"].as_array().unwrap();
    tests.iter().find(|test| test["score"] == score && test["method"] == method).unwrap_or(&Value::Null)
}

fn near(value: &Value, want: f64) {
    let value = value.as_f64().unwrap_or(f64::NAN);
    assert!((value - want).abs() < 1e-9, "{value} is not {want}");
}

#[test]
fn a_browser_shows_the_page() {
    let lab = tempfile::tempdir().unwrap();
    vision(&lab, "runs/ce", "cross-entropy", 0, 4);
    vision(&lab, "runs/better", "focal", 0, 10);
    succeeds(&mut toolkit(&lab, &["report", "runs"]));
    let Some(page) = browser::shown(&lab.path().join("report.html")) else { return };
    // Made by the script: a chart for each validated score, the scores, their differences.
    contains(&page, &["<canvas", ">Scores</h3>", ">60.00<", "15.00<"]);
    let tables = page.matches("<table").count();
    assert!(tables >= 4, "{tables} tables");
}

#[test]
fn seeds_are_groups_and_differences_are_tested() {
    let lab = tempfile::tempdir().unwrap();
    for (seed, plain, better) in [(0, 4, 10), (1, 6, 11), (2, 5, 15)] {
        vision(&lab, &format!("runs/ce/seed-{seed}"), "cross-entropy", seed, plain);
        vision(&lab, &format!("runs/focal/seed-{seed}"), "focal", seed, better);
    }
    let printed = succeeds(&mut toolkit(&lab, &["report", "runs", "--title", "A <b> & more", "--bootstrap", "500"]));
    contains(&printed, &["report.html: 6 runs in 2 groups"]);
    let (text, data) = page(&lab, "report.html");
    contains(&text, &["<title>A &lt;b&gt; &amp; more</title>"]);
    let task = &data["tasks"][0];
    assert_eq!(task["groups"], json!([{"name": "ce", "runs": [0, 1, 2]}, {"name": "focal", "runs": [3, 4, 5]}]));
    let keys: Vec<&Value> = task["settings"]["differing"].as_array().unwrap().iter().map(|row| &row["key"]).collect();
    assert_eq!(keys, ["loss", "seed"]);
    assert_eq!(task["settings"]["differing"][1]["values"], json!(["0, 1, 2", "0, 1, 2"]));

    // Few: 20, 30, 25 and 50, 55, 75.
    let column = |name: &str| {
        task["scores"]["scores"].as_array().unwrap().iter().position(|score| score["name"] == name).unwrap()
    };
    let rows = &task["scores"]["rows"];
    near(&rows[0]["values"][column("Few")]["mean"], 25.0);
    near(&rows[0]["values"][column("Few")]["sd"], 5.0);
    near(&rows[2]["values"][column("Few")]["mean"], 60.0);
    assert_eq!((&rows[1]["stage"], &rows[1]["epochs"]), (&json!("best epoch"), &json!([1, 1, 1])));

    // Differences of Few over seeds: −30, −25, −50; mean −35, sd √175, t² = 21; of 2 degrees p = 1 − √(t² / (2 + t²)).
    let few = test(&task["comparison"], "Few", "paired t-test");
    near(&few["difference"], -35.0);
    near(&few["p"], 1.0 - (21.0_f64 / 23.0).sqrt());
    assert_eq!((&few["pairs"], &few["unit"]), (&json!(3), &json!("seeds")));
    // The same means over the same images, resampled: only those of class 1 differ.
    let few = test(&task["comparison"], "Few", "paired bootstrap");
    near(&few["difference"], -35.0);
    assert!(
        few["lower"].as_f64() < Some(-35.0) && few["upper"].as_f64() > Some(-35.0) && few["upper"].as_f64() < Some(0.0)
    );
    assert_eq!(few["pairs"], 40);
    near(&test(&task["comparison"], "Many", "paired bootstrap")["difference"], 0.0);
    near(&test(&task["comparison"], "Natural", "paired bootstrap")["difference"], -3.5);
    assert_eq!(test(&task["comparison"], "Medium", "paired bootstrap"), &Value::Null);

    assert_eq!(task["tracks"].as_array().unwrap().len(), 6);
    assert_eq!(task["tracks"][0]["epoch"], json!([1.0, 2.0]));
    assert_eq!(task["pictures"][0]["name"], "gap.svg");
    assert_eq!(task["pictures"][0]["of"].as_array().unwrap().len(), 6);
}

#[test]
fn single_runs_are_compared_exactly() {
    let lab = tempfile::tempdir().unwrap();
    vision(&lab, "a", "cross-entropy", 0, 4);
    vision(&lab, "b", "focal", 1, 10);
    let words = ["report", "a", "b", "a", "-o", "out.html", "--json", "--bootstrap", "200"];
    let printed: Value = serde_json::from_str(&succeeds(&mut toolkit(&lab, &words))).unwrap();
    assert_eq!((&printed["page"], &printed["left_out"]), (&json!("out.html"), &json!([])));
    let comparison = &printed["tasks"][0]["comparison"];
    // Six images that only the second has right: p = 2 / 2⁶.
    let top = test(comparison, "top-1", "McNemar's exact test");
    near(&top["difference"], -15.0);
    near(&top["p"], 1.0 / 32.0);
    assert!(comparison["notes"][0].as_str().unwrap().contains("No two groups share 3 seeds"), "{comparison}");
    let without: Value =
        serde_json::from_str(&succeeds(&mut toolkit(&lab, &["report", "a", "b", "--json", "--bootstrap", "0"])))
            .unwrap();
    assert_eq!(without["tasks"][0]["comparison"]["tests"], json!([]));
}

#[test]
fn other_test_images_are_not_compared() {
    let lab = tempfile::tempdir().unwrap();
    vision(&lab, "a", "cross-entropy", 0, 4);
    vision(&lab, "b", "focal", 0, 5);
    let logits = [1.0_f32, 0.0].repeat(3);
    write_predictions(&lab.path().join("b/predictions-test.safetensors"), 2, &logits, &[0, 0, 1]).unwrap();
    vision(&lab, "c", "ldam", 0, 5);
    fs::remove_file(lab.path().join("c/predictions-test.safetensors")).unwrap();
    succeeds(&mut toolkit(&lab, &["report", "."]));
    let notes = page(&lab, "report.html").1["tasks"][0]["comparison"]["notes"].to_string();
    contains(
        &notes,
        &[
            "b is not compared by examples: it was scored on other test images",
            "c is not compared",
            "there is no predictions-test",
        ],
    );
}

#[test]
fn tasks_stand_apart_and_damaged_runs_are_told() {
    let lab = tempfile::tempdir().unwrap();
    vision(&lab, "v", "focal", 0, 5);
    dialogue(&lab, "d1", 1.0, "i like my cat .\nhello there !\nno\n");
    dialogue(&lab, "d2", 2.0, "i like my dog .\nhello\nyes , i do .\n");
    let damaged = folder(&lab, "x", "vision", "loss = \n");
    fs::write(damaged.join("metrics.jsonl"), "{}").unwrap();
    let output = toolkit(&lab, &["report", "."]).output().unwrap();
    assert!(output.status.success());
    contains(&String::from_utf8(output.stderr).unwrap(), &["warning: ./x is left out: config.toml: "]);
    let (_, data) = page(&lab, "report.html");
    let tasks: Vec<&Value> = data["tasks"].as_array().unwrap().iter().map(|task| &task["task"]).collect();
    assert_eq!(tasks, ["vision", "dialogue"]);
    // F1 of the replies: 100, 100, 0 and 75, 2/3, 100.
    let f1 = test(&data["tasks"][1]["comparison"], "F1", "paired bootstrap");
    near(&f1["difference"], (200.0 - (75.0 + 200.0 / 3.0 + 100.0)) / 3.0);
    assert_eq!((&f1["unit"], &f1["pairs"]), (&json!("replies"), &json!(3)));
    assert!(data["notes"][0].as_str().unwrap().contains("config.toml"));
}

#[test]
fn detectors_are_scored_again_on_the_same_annotations() {
    let lab = tempfile::tempdir().unwrap();
    let bbox = json!([0.0, 0.0, 50.0, 50.0]);
    let box_of = |image: u64| json!({"id": image, "image_id": image, "category_id": 1, "bbox": bbox, "area": 2500.0, "iscrowd": 0});
    let truth = json!({
        "images": (1..9).map(|id| json!({"id": id})).collect::<Vec<_>>(),
        "annotations": (1..9).map(box_of).collect::<Vec<_>>(),
        "categories": [{"id": 1, "name": "cat"}],
    });
    let annotations = lab.path().join("instances_val.json");
    fs::write(&annotations, truth.to_string()).unwrap();
    for (name, lr, found) in [("a", 0.1, 1..9), ("b", 0.2, 1..3)] {
        let folder = folder(&lab, name, "detection", &format!("loss = \"focal\"\nlr = {lr}\nseed = 0\n"));
        let mut manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        manifest["data"] = json!({annotations.to_str().unwrap(): "f"});
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        let found: Vec<Value> =
            found.map(|image| json!({"image_id": image, "category_id": 1, "bbox": bbox, "score": 0.9})).collect();
        fs::write(folder.join("detections.json"), Value::from(found).to_string()).unwrap();
        let results = json!({"training": {"best": {"epoch": 1}}, "scores": {"stats": {"AP": 0.5, "APl": -1.0}}});
        fs::write(folder.join("results.json"), results.to_string()).unwrap();
    }
    succeeds(&mut toolkit(&lab, &["report", "a", "b", "--bootstrap", "300"]));
    let comparison = page(&lab, "report.html").1["tasks"][0]["comparison"].take();
    // All found, and a quarter: 26 of 101 recalls.
    let ap = test(&comparison, "AP", "paired bootstrap");
    near(&ap["difference"], 100.0 * (1.0 - 26.0 / 101.0));
    assert!(ap["lower"].as_f64() > Some(20.0) && ap["p"].as_f64() < Some(0.02), "{ap}");
    fs::remove_file(&annotations).unwrap();
    succeeds(&mut toolkit(&lab, &["report", "a", "b"]));
    contains(
        &page(&lab, "report.html").1["tasks"][0]["comparison"]["notes"].to_string(),
        &["instances_val.json are gone"],
    );
}

#[test]
fn what_cannot_be_compared_is_said() {
    let lab = tempfile::tempdir().unwrap();
    contains(&fails(&mut toolkit(&lab, &["report"]), 2), &["<RUN>", "Usage: toolkit report"]);
    contains(&fails(&mut toolkit(&lab, &["report", "none"]), 1), &["none is neither a run folder nor", "No such file"]);
    fs::create_dir(lab.path().join("void")).unwrap();
    contains(
        &fails(&mut toolkit(&lab, &["report", "void"]), 1),
        &["void is no run folder and holds none", "config.toml"],
    );
    folder(&lab, "new", "vision", "seed = 0\n");
    contains(&fails(&mut toolkit(&lab, &["report", "new"]), 1), &["no run has metrics or results yet: new"]);
    fs::remove_file(lab.path().join("new/manifest.json")).unwrap();
    contains(&fails(&mut toolkit(&lab, &["report", "new"]), 1), &["new: manifest.json is missing"]);
    vision(&lab, "a", "focal", 0, 5);
    contains(&fails(&mut toolkit(&lab, &["report", "a", "-o", "none/x.html"]), 1), &["none/x.html cannot be written"]);
    assert!(!Path::new(&lab.path().join("report.html")).exists());
}

#[cfg(feature = "training")]
#[test]
fn real_runs_are_listed_and_compared() {
    let lab = support::Lab::new();
    for seed in ["1", "2"] {
        succeeds(&mut lab.train(&format!("runs/ce/seed-{seed}"), &["--seed", seed]));
    }
    succeeds(&mut lab.train("runs/focal", &["--loss", "focal", "--seed", "1"]));
    let list = support::json(&mut lab.toolkit(&["runs", "--json"]));
    for run in list.as_array().unwrap() {
        assert_eq!(
            (&run["state"], &run["task"], &run["problems"]),
            (&json!("finished"), &json!("dialogue"), &json!([]))
        );
        assert_eq!(run["done"], json!({"reached": 2, "of": 2, "steps": false}));
        assert_eq!(run["best"]["metric"], "loss");
    }
    let printed = support::json(&mut lab.toolkit(&["report", "runs", "--json"]));
    let task = &printed["tasks"][0];
    assert_eq!(task["groups"], json!([{"name": "ce", "runs": [0, 1]}, {"name": "focal", "runs": [2]}]));
    assert!(test(&task["comparison"], "F1", "paired bootstrap")["p"].is_number(), "{}", task["comparison"]);
    assert_eq!(task["scores"]["scores"][0]["name"], "perplexity");
    contains(&lab.text("report.html"), &["word-frequencies.svg", "data:image/svg+xml;base64,"]);
}
