//! `toolkit eval coco` through the real binary: pycocotools' numbers to the last bit, and every bad input.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with the files of one call.
struct Files(TempDir);

impl Files {
    fn new(truth: &Value, found: &Value) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("truth.json", truth.to_string());
        folder.write("found.json", found.to_string());
        folder
    }

    /// Ground truth and two systems, of which a kept script recorded pycocotools' numbers.
    fn fixture() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["truth.json", "found.json", "other.json"] {
            std::fs::copy(fixture(name), folder.0.path().join(name)).unwrap();
        }
        folder
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.path().join(name), content).unwrap();
    }

    fn eval(&self, more: &[&str]) -> Command {
        let mut command = cargo_bin_cmd!("toolkit");
        command.current_dir(self.0.path());
        command.args(["eval", "coco", "--gt", "truth.json", "--dt", "found.json"]).args(more);
        command
    }

    /// Standard output and standard error.
    fn text(&self, more: &[&str]) -> (String, String) {
        let output = self.eval(more).assert().success().get_output().clone();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn json(&self, more: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[more, &["--json"]].concat()).0).unwrap()
    }

    /// Runs, expects exit code `code` and nothing on standard output, and returns the message.
    fn fails(&self, code: i32, more: &[&str]) -> String {
        let output = self.eval(more).assert().code(code).get_output().clone();
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/coco").join(name)
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// An image with a cat and a dog, one with a cat, and an empty one.
fn truth() -> Value {
    let annotation = |id: i64, image_id: i64, category_id: i64, x: f64| {
        json!({"id": id, "image_id": image_id, "category_id": category_id, "bbox": [x, 10.0, 50.0, 50.0], "area": 2500.0,
               "iscrowd": 0})
    };
    json!({
        "images": [{"id": 7}, {"id": 3}, {"id": 9}],
        "annotations": [annotation(1, 7, 2, 10.0), annotation(2, 7, 4, 100.0), annotation(3, 3, 2, 10.0)],
        "categories": [{"id": 2, "name": "cat"}, {"id": 4, "name": "dog"}],
    })
}

fn detection(image_id: i64, category_id: i64, x: f64, score: f64) -> Value {
    json!({"image_id": image_id, "category_id": category_id, "bbox": [x, 10.0, 50.0, 50.0], "score": score})
}

/// The cat of image 7 and the dog.
fn found() -> Value {
    json!([detection(7, 2, 10.0, 0.9), detection(7, 4, 100.0, 0.8)])
}

fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

fn close(value: &Value, want: f64) {
    assert!((value.as_f64().unwrap() - want).abs() < 1e-12, "{value} is not {want}");
}

#[test]
fn numbers_are_pycocotools_to_the_last_bit() {
    let expected = read(fixture("expected.json"));
    let files = Files::fixture();
    let scores = files.json(&["--compare", "other.json", "--bootstrap", "0"]);
    for (stats, want) in [(&scores["stats"], &expected["found"]), (&scores["compare"]["stats"], &expected["other"])] {
        let got: Vec<&Value> = stats.as_object().unwrap().values().collect();
        assert_eq!(got, want["stats"].as_array().unwrap().iter().collect::<Vec<_>>());
    }
    let names: Vec<&String> = scores["stats"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]);
    assert!(scores["compare"]["bootstrap"].is_null());
    let (text, warnings) = files.text(&[]);
    assert_eq!(text, expected["found"]["text"].as_str().unwrap());
    contains(
        &warnings,
        &[
            "warning: truth.json: 1 of 5 categories has no ground truth and no part in any mean\n",
            "warning: found.json: 31 detections count for nothing: in 1 pair of image and category there are more than 100",
        ],
    );
    assert_eq!(scores["warnings"].as_array().unwrap().len(), 2);
}

#[test]
fn an_id_0_counts_though_pycocotools_drops_it() {
    let expected = read(fixture("expected.json"));
    let files = Files::fixture();
    let mut truth = read(fixture("truth.json"));
    let zero = &expected["with_id_0"];
    let annotations = truth["annotations"].as_array_mut().unwrap();
    annotations.iter_mut().find(|annotation| annotation["id"] == zero["id"]).unwrap()["id"] = json!(0);
    files.write("truth.json", truth.to_string());
    let scores = files.json(&[]);
    assert_eq!(scores["stats"]["AP"], expected["found"]["stats"][0]);
    assert!(zero["stats"][0].as_f64() < scores["stats"]["AP"].as_f64());
    contains(scores["warnings"][0].as_str().unwrap(), &["truth.json: the annotation with id 0", "should start at 1"]);
}

#[test]
fn numbers_by_hand() {
    let files = Files::new(&truth(), &found());
    let scores = files.json(&["--per-class", "--frequency-groups", "--tide"]);
    // Of two cats one is found: recalls 0 to .5, 51 of 101. The dog is found.
    close(&scores["stats"]["AP"], (51.0 / 101.0 + 1.0) / 2.0);
    close(&scores["stats"]["AR100"], 0.75);
    close(&scores["stats"]["APm"], (51.0 / 101.0 + 1.0) / 2.0);
    assert_eq!((&scores["stats"]["APs"], &scores["stats"]["ARl"]), (&json!(-1.0), &json!(-1.0)));
    assert_eq!((&scores["images"], &scores["detection_count"]), (&json!(3), &json!(2)));
    let cat = &scores["per_class"][0];
    assert_eq!((&cat["name"], &cat["boxes"], &cat["images"]), (&json!("cat"), &json!(2), &json!(2)));
    close(&cat["AP"], 51.0 / 101.0);
    close(&scores["per_class"][1]["AP50"], 1.0);
    // The dog is in fewer images.
    let groups = &scores["frequency_groups"];
    assert_eq!(groups["source"], "thirds");
    close(&groups["rare"]["AP"], 1.0);
    close(&groups["common"]["AP"], 51.0 / 101.0);
    assert!(groups["frequent"]["AP"].is_null());
    // To miss a cat costs half of what cats are short of.
    let missed = &scores["tide"]["errors"][5];
    assert_eq!((&missed["type"], &missed["count"]), (&json!("missed"), &json!(1)));
    close(&missed["delta_ap50"], 0.5 * (50.0 / 101.0));
    assert_eq!(scores["warnings"], json!([]));
}

#[test]
fn tables_are_printed_below() {
    let files = Files::fixture();
    let (text, _) = files.text(&["--per-class", "--frequency-groups", "--tide"]);
    contains(
        &text,
        &[
            "category  boxes  images     AP   AP50  AR100\n1 yak",
            "\n9 ant         0       0      -      -      -\n",
            "\nrare               2           2     24  ",
            "\ngroups by the frequency (r, c, f) of the categories in the ground truth\n",
            "\nduplicate: found already ",
            "\nall false negatives ",
        ],
    );
}

#[test]
fn training_images_make_the_groups() {
    let files = Files::fixture();
    files.write("counts.txt", "category_id,images\n1,100\n2,101\n5,10\n9,11\n11,0\n");
    let scores = files.json(&["--frequency-groups", "--train-counts", "counts.txt", "--per-class"]);
    let groups = &scores["frequency_groups"];
    assert_eq!(groups["source"], "train_images");
    let ap = |class: usize| scores["per_class"][class]["AP"].as_f64().unwrap();
    close(&groups["rare"]["AP"], (ap(2) + ap(4)) / 2.0);
    close(&groups["common"]["AP"], ap(0));
    close(&groups["frequent"]["AP"], ap(1));
    // Counted in annotations: cats, single or in groups, are in 11 images, the others in fewer.
    let scores = files.json(&["--frequency-groups", "--train-counts", "truth.json"]);
    let groups = &scores["frequency_groups"];
    assert_eq!((&groups["rare"]["categories"], &groups["common"]["categories"]), (&json!(4), &json!(1)));
    close(&groups["common"]["AP"], ap(1));
    files.write("counts.txt", "1,100\n2,101\n");
    let message = files.fails(1, &["--frequency-groups", "--train-counts", "counts.txt"]);
    contains(&message, &["--train-counts counts.txt: no number of training images of category 5 (dog)"]);
    contains(&files.fails(2, &["--train-counts", "counts.txt"]), &["--frequency-groups"]);
}

#[test]
fn two_systems_are_compared() {
    let files = Files::fixture();
    let compare = ["--compare", "other.json", "--bootstrap", "200", "--seed", "5"];
    let scores = files.json(&compare);
    let comparison = &scores["compare"];
    let [a, b] = [&scores["stats"], &comparison["stats"]].map(|stats| stats["AP"].as_f64().unwrap());
    close(&comparison["differences"]["AP"], a - b);
    let bootstrap = &comparison["bootstrap"];
    assert_eq!(
        (&bootstrap["resamples"], &bootstrap["seed"], &bootstrap["images"]),
        (&json!(200), &json!(5), &json!(14))
    );
    let [lower, upper] = ["lower", "upper"].map(|end| bootstrap["AP"][end].as_f64().unwrap());
    assert!(lower < a - b && a - b < upper && lower > 0.0, "{bootstrap}");
    assert!(bootstrap["AP"]["share_above_zero"].as_f64().unwrap() > 0.975);
    // To the byte, whatever the threads; not with another seed.
    let output = |threads: &str, seed: &str| {
        let mut command = files.eval(&["--compare", "other.json", "--bootstrap", "200", "--json", "--seed", seed]);
        command.env("RAYON_NUM_THREADS", threads).assert().success().get_output().stdout.clone()
    };
    assert_eq!(output("1", "5"), output("3", "5"));
    assert_ne!(output("1", "5"), output("1", "6"));
    let (text, _) = files.text(&compare);
    contains(
        &text,
        &["found  other  difference", "95 % interval  above 0\nAP  ", "200 resamples of 14 images, seed 5\n"],
    );
    let (text, _) = files.text(&["--compare", "found.json"]);
    contains(&text, &["+0.000 to +0.000    0.0 %", "1000 resamples of 14 images, seed 0"]);
    contains(&files.fails(2, &["--bootstrap", "10"]), &["--compare"]);
}

#[test]
fn what_counts_for_nothing_is_told() {
    let warns = |truth: &Value, found: &Value, ap: f64, parts: &[&str]| {
        let scores = Files::new(truth, found).json(&[]);
        close(&scores["stats"]["AP"], ap);
        let warnings = scores["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        contains(warnings[0].as_str().unwrap(), parts);
    };
    let ap = (51.0 / 101.0 + 1.0) / 2.0;
    warns(&truth(), &json!([]), 0.0, &["found.json: holds no detections; AP is 0"]);
    let with = |more: Value| json!([detection(7, 2, 10.0, 0.9), detection(7, 4, 100.0, 0.8), more]);
    let unknown = with(detection(7, 91, 10.0, 0.9));
    warns(&truth(), &unknown, ap, &["found.json: 1 detection is of 1 category", "detection 2, of category 91"]);
    let mut empty = with(detection(9, 4, 10.0, 0.1));
    empty[2]["bbox"][2] = json!(0.0);
    warns(&truth(), &empty, ap, &["found.json: 1 detection is without width or height (first: detection 2)"]);

    let annotations = |change: &dyn Fn(&mut Value)| {
        let mut truth = truth();
        change(&mut truth);
        truth
    };
    let without = |key: &'static str| {
        annotations(&move |truth| {
            truth["annotations"][0].as_object_mut().unwrap().remove(key);
        })
    };
    warns(&without("iscrowd"), &found(), ap, &["truth.json: 1 annotation has no iscrowd, which is taken as 0"]);
    warns(&without("area"), &found(), ap, &["truth.json: 1 annotation has no area, which is taken as that of the box"]);
    let more = |annotation: Value| {
        annotations(&move |truth| {
            truth["annotations"].as_array_mut().unwrap().push(annotation.clone());
        })
    };
    let annotation = |image: i64, category: i64| json!({"id": 50, "image_id": image, "category_id": category, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0});
    warns(&more(annotation(8, 2)), &found(), ap, &["1 annotation is of images", "annotation 50 of image 8"]);
    warns(&more(annotation(7, 3)), &found(), ap, &["1 annotation is of categories", "annotation 50 of category 3"]);
    let federated = annotations(&|truth| truth["images"][0]["neg_category_ids"] = json!([4]));
    warns(&federated, &found(), ap, &["truth.json: 1 image", "as in LVIS"]);
    let category = annotations(&|truth| truth["categories"].as_array_mut().unwrap().push(json!({"id": 5})));
    warns(&category, &found(), ap, &["truth.json: 1 of 3 categories has no ground truth"]);
    let none = annotations(&|truth| truth["annotations"] = json!([]));
    warns(&none, &found(), -1.0, &["truth.json: no annotation is there to be found; every number is -1"]);
}

#[test]
fn other_spellings_are_read() {
    // As pandas and others write it.
    let mut truth = truth();
    truth["annotations"][0]["iscrowd"] = json!(false);
    truth["annotations"][1]["iscrowd"] = json!(0.0);
    truth["annotations"][1]["image_id"] = json!(7.0);
    let mut found = found();
    found[0]["image_id"] = json!(7.0);
    found[0]["segmentation"] = json!({"counts": "abc", "size": [1, 2]});
    let files = Files::new(&truth, &found);
    close(&files.json(&[])["stats"]["AP"], (51.0 / 101.0 + 1.0) / 2.0);
    // NaN where it is of no account, and a byte-order mark.
    let text = found.to_string().replacen("\"score\"", "\"area\": NaN, \"score\"", 1);
    files.write("found.json", format!("\u{feff}{text}"));
    close(&files.json(&[])["stats"]["AP"], (51.0 / 101.0 + 1.0) / 2.0);
}

#[test]
fn bad_detections_are_refused() {
    let files = Files::new(&truth(), &found());
    let fails = |content: &str, parts: &[&str]| {
        files.write("found.json", content);
        let message = files.fails(1, &[]);
        contains(&message, parts);
        contains(&message, &["--dt", "found.json"]);
    };
    let text = found().to_string();
    fails("", &["found.json is empty; it must hold detections, a JSON list of", "or [] if there are none"]);
    fails(" \n", &["found.json is empty"]);
    fails(&truth().to_string(), &["found.json holds ground truth", "must hold detections"]);
    fails("{\"a\": 1}", &["found.json holds an object; it must hold detections"]);
    fails("null", &["found.json, line 1, column 4", "null", "must hold detections"]);
    fails(&format!("\n{}", &text[..60]), &["found.json, line 2, column 60: the file ends inside its JSON"]);
    fails(&text.replacen("0.9", "NaN", 1), &["detection 0 (from 0), of image 7, has NaN in its score", "finite"]);
    fails(&text.replacen("100.0", "-Infinity", 1), &["detection 1 (from 0), of image 7, has -Infinity in its bbox"]);
    fails(&text.replacen("0.9", "1e999", 1), &["line 1, column", "number out of range"]);
    fails(&text.replacen("\"score\"", "\"confidence\"", 1), &["line 1, column", "missing field `score`"]);
    fails(&text.replacen("[10.0,", "[", 1), &["line 1, column", "invalid length 3", "[x, y, width, height]"]);
    fails(&text.replacen("\"image_id\":7", "\"image_id\":\"7\"", 1), &["string \"7\", expected a whole number"]);
    fails(&text.replacen("\"image_id\":7", "\"image_id\":7.5", 1), &["`7.5`, expected a whole number"]);
    fails(
        &json!([detection(7, 2, 1.0, 0.5), detection(8, 2, 1.0, 0.5), detection(6, 2, 1.0, 0.5)]).to_string(),
        &[
            "2 of 3 detections are of images that the ground truth has not",
            "detection 1, from 0, of image 8",
            "must be",
        ],
    );
    files.write("found.json", &text);
    contains(&files.fails(1, &["--compare", "gone.json"]), &["--compare: cannot read gone.json"]);
    files.write("other.json", "");
    contains(&files.fails(1, &["--compare", "other.json"]), &["--compare: other.json is empty"]);
}

#[test]
fn bad_ground_truth_is_refused() {
    let files = Files::new(&truth(), &found());
    let fails = |content: &str, parts: &[&str]| {
        files.write("truth.json", content);
        let message = files.fails(1, &[]);
        contains(&message, parts);
        contains(&message, &["--gt", "truth.json"]);
    };
    let text = truth().to_string();
    fails("", &["truth.json is empty; it must hold ground truth, a JSON object with the lists \"images\""]);
    fails(&found().to_string(), &["truth.json holds a list, as results files do; it must hold ground truth"]);
    fails(&text[..text.len() - 5], &["truth.json, line 1, column", "the file ends inside its JSON"]);
    fails(&text.replacen("\"categories\"", "\"classes\"", 1), &["missing field `categories`"]);
    fails(&text.replacen("2500.0", "NaN", 1), &["annotation 0 (from 0), of image 7, has NaN in its area"]);
    fails(&text.replacen("100.0", "Infinity", 1), &["annotation 1 (from 0), of image 7, has Infinity in its bbox"]);
    fails(&text.replacen("\"iscrowd\":0", "\"iscrowd\":2", 1), &["expected 0 or 1"]);
    let change = |change: &dyn Fn(&mut Value)| {
        let mut truth = truth();
        change(&mut truth);
        truth.to_string()
    };
    let twice = change(&|truth| truth["annotations"][2]["id"] = json!(1));
    fails(&twice, &["annotation 1 is listed twice, as entries 0 and 2 (from 0)", "may occur once"]);
    let twice = change(&|truth| truth["images"][1]["id"] = json!(7));
    fails(&twice, &["image 7 is listed twice, as entries 0 and 1"]);
    let twice = change(&|truth| truth["categories"][1]["id"] = json!(2));
    fails(&twice, &["category 2 is listed twice"]);
    fails(&change(&|truth| truth["images"] = json!([])), &["the list `images` is empty"]);
    fails(&change(&|truth| truth["categories"] = json!([])), &["the list `categories` is empty"]);

    files.write("truth.json", change(&|truth| truth["categories"][0]["frequency"] = json!("r")));
    let message = files.fails(1, &["--frequency-groups"]);
    contains(&message, &["--gt truth.json: category 4 (dog) has no frequency though others have one"]);
}

#[test]
fn the_help_says_what_the_files_hold() {
    let output = cargo_bin_cmd!("toolkit").args(["eval", "coco", "--help"]).assert().success();
    let help = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    contains(&help, &["Usage: toolkit eval coco ", "--gt <FILE>", "\"bbox\": [x, y,", "--bootstrap <COUNT>"]);
}
