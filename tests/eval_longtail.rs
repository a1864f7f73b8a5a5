//! `toolkit eval longtail` through the real binary: scores computed by hand, pictures, and every bad input.

use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with the files of one call.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// `toolkit eval longtail` on `test.csv` and `counts.txt`, run in the folder.
    fn eval(&self, more: &[&str]) -> Command {
        self.eval_of("test.csv", more)
    }

    fn eval_of(&self, predictions: &str, more: &[&str]) -> Command {
        let mut command = cargo_bin_cmd!("toolkit");
        command.current_dir(self.0.path());
        command.args(["eval", "longtail", "--predictions", predictions, "--train-counts", "counts.txt"]).args(more);
        command
    }

    fn json(&self, more: &[&str]) -> Value {
        let output = self.eval(more).arg("--json").assert().success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    fn text(&self, more: &[&str]) -> String {
        String::from_utf8(self.eval(more).assert().success().get_output().stdout.clone()).unwrap()
    }

    /// Runs, expects exit code `code` and nothing on standard output, and returns the message.
    fn fails(&self, code: i32, more: &[&str]) -> String {
        failure(self.eval(more), code)
    }
}

fn failure(mut command: Command, code: i32) -> String {
    let output = command.assert().code(code).get_output().clone();
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// Four classes of 300, 60, 5 and 5 training images. Class 0 is right twice of twice, class 1 once of twice, class 2 never
/// of once; class 3 has no test image, but one is taken for it.
fn example() -> Files {
    Files::new(&[
        ("test.csv", "label,p0,p1,p2,p3\n0,1,0,0,0\n0,.75,.25,0,0\n1,.5,.25,.25,0\n1,0,1,0,0\n2,0,0,.25,.75\n"),
        ("counts.txt", "300\n60\n5\n5\n"),
    ])
}

fn close(scores: &Value, pointer: &str, want: f64) {
    let got = scores.pointer(pointer).and_then(Value::as_f64);
    let got = got.unwrap_or_else(|| panic!("{pointer} is {:?}", scores.pointer(pointer)));
    assert!((got - want).abs() < 1e-9, "{pointer}: {got} is not {want}");
}

fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn json_holds_the_scores_computed_by_hand() {
    let scores = example().json(&[]);
    assert_eq!(scores["system"], "test");
    assert_eq!((&scores["images"], &scores["classes"]), (&Value::from(5), &Value::from(4)));
    assert_eq!(scores["classes_without_test_images"], 1);
    close(&scores, "/all", 50.0);
    close(&scores, "/many", 100.0);
    close(&scores, "/medium", 50.0);
    close(&scores, "/few", 0.0);
    // Class 3 is left out: 300 + 60 + 5.
    close(&scores, "/natural", (300.0 * 100.0 + 60.0 * 50.0) / 365.0);
    close(&scores, "/top_1", 60.0);
    close(&scores, "/top_5", 100.0);
    close(&scores, "/macro_precision", (200.0 / 3.0 + 100.0) / 3.0);
    close(&scores, "/macro_f1", (80.0 + 200.0 / 3.0) / 3.0);
    // Confidences 1 (right, right) 0, .75 (right, wrong) |1 − 1.5|, .5 (wrong) .5.
    close(&scores, "/calibration_error/all", 20.0);
    close(&scores, "/calibration_error/few", 75.0);
    close(&scores, "/likelihood/medium", 0.625);
    close(&scores, "/likelihood_histograms/many/15", 0.5);
    close(&scores, "/per_class/0/f1", 80.0);
    assert!(scores["per_class"][3]["accuracy"].is_null());
    assert_eq!(scores["confusion"]["predictions"], serde_json::json!([0, 0, 1, 3]));
    assert_eq!(scores["compare"], serde_json::json!([]));
}

#[test]
fn groups_are_set_by_counts_or_by_classes() {
    let files = example();
    let scores = files.json(&["--groups", "59,5"]);
    close(&scores, "/many", 75.0);
    close(&scores, "/medium", 0.0);
    assert!(scores["few"].is_null() && scores["sizes"]["few"]["classes"] == 0);
    let scores = files.json(&["--group-classes", "1,0,3"]);
    close(&scores, "/few", 25.0);
    assert!(scores["medium"].is_null());
    // Of equal counts the first is the more frequent; class 3 has no test image.
    let scores = files.json(&["--group-classes", "1,2,1"]);
    close(&scores, "/medium", 25.0);
    assert!(scores["few"].is_null() && scores["sizes"]["few"]["classes"] == 1);
}

#[test]
fn tables_name_what_is_left_out() {
    let files = example();
    let text = files.text(&[]);
    let mut lines = text.lines();
    contains(lines.next().unwrap(), &["system", "All", "Many", "Medium", "Few", "Natural", "ECE", "top-5"]);
    contains(lines.next().unwrap(), &["test", "50.00", "100.00", "0.00", "90.41", "20.00"]);
    assert_eq!(lines.next(), Some("test: 1 of 4 classes has no test images and no part in any mean"));
    contains(&text, &["Many (more than 100 training images)", "Few (fewer than 20 training images)"]);
    assert!(!text.contains("precision"));
    files.write("names.txt", "cat\ndog\nowl\nyak\n");
    let text = files.text(&["--per-class", "--class-names", "names.txt"]);
    contains(
        &text,
        &["precision", "\n0 cat    Many    300     2    100.00      66.67", "\n3 yak     Few      5     0         -"],
    );
    // A group without test images.
    contains(&files.text(&["--group-classes", "1,2,1"]), &["test    50.00  100.00   25.00    -    90.41"]);
}

#[test]
fn systems_are_compared() {
    let files = example();
    files.write("logits.csv", "label,z0,z1,z2,z3\n0,5,0,0,0\n1,0,5,0,0\n2,0,0,5,0\n3,0,0,0,5\n");
    let scores = files.json(&["--compare", "logits.csv", "test.csv"]);
    close(&scores, "/all", 50.0);
    assert_eq!(scores["compare"][0]["system"], "logits");
    close(&scores, "/compare/0/all", 100.0);
    close(&scores, "/compare/0/natural", 100.0);
    close(&scores, "/compare/0/likelihood/few", f64::from((1.0 / (1.0 + 3.0 * (-5.0_f64).exp())) as f32));
    // Two files of one name are told apart by their paths.
    assert_eq!(scores["compare"][1]["system"], "test.csv");
    let text = files.text(&["--compare", "logits.csv"]);
    contains(&text, &["\nlogits  100.00", "\nlogits\ngroup"]);
}

#[test]
fn tensors_are_scored_like_text() {
    let files = example();
    let values =
        [1.0, 0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0, 0.5, 0.25, 0.25, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.75];
    let scores: Vec<u8> = values.iter().flat_map(|value: &f64| value.to_le_bytes()).collect();
    let labels: Vec<u8> = [0_i32, 0, 1, 1, 2].iter().flat_map(|label| label.to_le_bytes()).collect();
    let tensors = [
        ("probabilities", TensorView::new(Dtype::F64, vec![5, 4], &scores).unwrap()),
        ("labels", TensorView::new(Dtype::I32, vec![5], &labels).unwrap()),
    ];
    files.write("test.safetensors", safetensors::serialize(tensors, None).unwrap());
    let output = files.eval_of("test.safetensors", &["--json"]).assert().success();
    let got: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(got, files.json(&[]));
}

#[test]
fn pictures_show_the_systems() {
    let files = example();
    files.write("other.csv", files.read("test.csv"));
    files.write("names.txt", "cat\ndog\nowl\nyak\n");
    let pictures = ["--confusion", "c.svg", "--histogram", "h.svg", "--class-accuracy", "a.svg"];
    let names = ["--compare", "other.csv", "--class-names", "names.txt"];
    files.eval(&[&pictures[..], &names].concat()).assert().success();
    contains(&files.read("c.svg"), &["<svg", "yak", "predicted class", "test"]);
    let histograms = files.read("h.svg");
    contains(&histograms, &["Many", "Medium", "Few", "other", "likelihood p of the true class"]);
    contains(&files.read("a.svg"), &["training images of the class", "other", "without 1 class"]);
    files.eval(&["--histogram", "h2.svg", "--compare", "other.csv"]).assert().success();
    assert_eq!(files.read("h2.svg"), histograms);
    files.eval(&["--histogram", "h.png"]).assert().success();
    assert!(std::fs::read(files.path("h.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn the_help_says_what_the_files_hold() {
    let output = cargo_bin_cmd!("toolkit").args(["eval", "longtail", "--help"]).assert().success();
    let help = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    contains(&help, &["Usage: toolkit eval longtail ", "--groups <MANY,FEW>", "label,z0,z1,…", "[images, classes]"]);
}

#[test]
fn bad_predictions_name_the_row() {
    for (content, parts) in [
        ("label,p0,p1,p2,p3\n0,1,0,0,0\n4,1,0,0,0\n", ["test.csv, line 3", "the label 4 is no class", "below 4"]),
        ("label,z0,z1,z2,z3\n0,1,0,nan,0\n", ["test.csv, line 2", "row 0, class 2", "the logit is NaN"]),
        ("label,p0,p1,p2,p3\n0,1,0,.1,0\n", ["test.csv, line 2", "sum to 1.1", "within 0.001"]),
        ("label,p0,p1,p2,p3\n0,1,0,0\n", ["test.csv, line 2", "4 fields", "must have 5"]),
        ("label,p0,p1,p2,p3\n0,1,O,0,0\n", ["test.csv, line 2", "column p1", "found \"O\""]),
        ("id,p0,p1,p2,p3\n", ["test.csv, line 1, column 1", "found the heading \"id\"", "label"]),
        ("label,p0,p1,p2,p3\n", ["test.csv is empty", "an image a line", "label"]),
        ("", ["test.csv is empty", "an image a line", "label,z0"]),
    ] {
        let files = example();
        files.write("test.csv", content);
        let message = files.fails(1, &[]);
        contains(&message, &parts);
        contains(&message, &["--predictions"]);
    }
}

#[test]
fn bad_tensors_are_named() {
    let files = example();
    let fails = |content: &[u8], parts: &[&str]| {
        files.write("test.safetensors", content);
        contains(&failure(files.eval_of("test.safetensors", &[]), 1), parts);
    };
    fails(b"", &["--predictions: test.safetensors is empty", "the tensors labels and logits"]);
    fails(b"label,p0\n0,1\n", &["test.safetensors is no safetensors file"]);
    let file = |labels: [i64; 2], logit: f32| {
        let labels = labels.map(i64::to_le_bytes).concat();
        let logits = [logit, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].map(f32::to_le_bytes).concat();
        let tensors = [
            ("logits", TensorView::new(Dtype::F32, vec![2, 4], &logits).unwrap()),
            ("labels", TensorView::new(Dtype::I64, vec![2], &labels).unwrap()),
        ];
        safetensors::serialize(tensors, None).unwrap()
    };
    fails(&file([0, 9], 1.0), &["test.safetensors: row 1: the label 9 is no class", "below 4"]);
    fails(&file([0, -1], 1.0), &["row 1: the label -1 is no class"]);
    fails(&file([0, 1], f32::NAN), &["row 0, class 0: the logit is NaN", "finite"]);
    fails(&file([0, 1], 1.0)[..90], &["test.safetensors is no safetensors file"]);
    let message = failure(files.eval_of("gone.safetensors", &[]), 1);
    contains(&message, &["--predictions: cannot read gone.safetensors"]);
    let message = failure(files.eval_of("counts.txt", &[]), 1);
    contains(&message, &["cannot tell the format of counts.txt", ".safetensors or .csv"]);
}

#[test]
fn bad_counts_are_explained() {
    for (content, parts) in [
        ("300\n60\n5\n", ["counts of 3 classes", "test.csv has predictions over 4"]),
        ("300\n60\nfive\n5\n", ["counts.txt, line 3", "found \"five\""]),
        ("0,300\n1,60\n3,5\n", ["none of class 2", "each class needs a line"]),
        ("0,300\n0,60\n", ["counts.txt, line 2", "class 0 has its count already on line 1"]),
        ("0\n0\n0\n0\n", ["the training counts sum to 0", "at least 1"]),
        ("", ["counts.txt is empty", "training images of each class"]),
    ] {
        let files = example();
        files.write("counts.txt", content);
        let message = files.fails(1, &[]);
        contains(&message, &parts);
        contains(&message, &["--train-counts"]);
    }
}

#[test]
fn wrong_usage_is_told_before_anything_is_read() {
    let files = example();
    contains(&files.fails(2, &["--groups", "20,100"]), &["--groups", "overlap", "at most 21"]);
    contains(&files.fails(2, &["--groups", "100"]), &["--groups", "such as 100,20"]);
    contains(&files.fails(2, &["--group-classes", "3,4"]), &["--group-classes", "such as 3,4,3"]);
    let both = files.fails(2, &["--groups", "100,20", "--group-classes", "1,1,2"]);
    contains(&both, &["--groups", "cannot be used with", "--group-classes"]);
    contains(&files.fails(1, &["--group-classes", "1,1,1"]), &["--group-classes", "are 3 in all", "the 4 classes"]);
    contains(&files.fails(1, &["--histogram", "h.pdf"]), &["--histogram", "h.pdf", ".svg or .png"]);
    contains(&files.fails(1, &["--confusion", "no/such/c.svg"]), &["--confusion", "cannot write no/such/c.svg"]);
    contains(&files.fails(1, &["--compare", "gone.csv"]), &["--compare: cannot read gone.csv"]);
    files.write("names.txt", "cat\ndog\n");
    let message = files.fails(1, &["--class-names", "names.txt"]);
    contains(&message, &["--class-names names.txt has 2 names", "the 4 classes"]);
    files.write("names.txt", "cat\n\ndog\nowl\n");
    contains(&files.fails(1, &["--class-names", "names.txt"]), &["--class-names names.txt, line 2: no name"]);
    let mut bare = cargo_bin_cmd!("toolkit");
    bare.args(["eval", "longtail"]);
    let missing = failure(bare, 2);
    contains(&missing, &["--predictions", "--train-counts"]);
}
