//! `toolkit detection`: trainings of a few steps on generated images, resumed, and used afterwards; data that is wrong.
#![cfg(feature = "training")]

mod support;

use std::path::PathBuf;

use imbalance_evaluation::figure::boxes_over;
use serde_json::Value;
use support::{Command, contains, fails, succeeds, toolkit};
use tempfile::TempDir;

/// Four steps of a network that finds nothing yet.
const SMALL: [&str; 20] = [
    "--iterations",
    "4",
    "--eval-every",
    "2",
    "--batch-size",
    "2",
    "--short-sides",
    "64",
    "--short-side",
    "64",
    "--channels",
    "8",
    "--tower",
    "1",
    "--threads",
    "1",
    "--warmup-steps",
    "2",
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
        let mut command = self.verb(&SMALL);
        command.args(flags).arg("--run").arg(self.path(run));
        command
    }

    fn verb(&self, words: &[&str]) -> Command {
        let mut command = toolkit();
        command.arg("detection").args(words).current_dir(self.folder.path());
        command
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A set in COCO's layout with one image of 40 × 40 pixels, whose only box is `bbox`.
    fn set(&self, name: &str, bbox: &str) -> PathBuf {
        let folder = self.path(name);
        let png = boxes_over(&[90; 3 * 40 * 40], (40, 40), &[]).unwrap();
        let annotations = format!(
            r#"{{"images":[{{"id":7,"file_name":"a.png","width":40,"height":40}}],
                "annotations":[{{"id":3,"image_id":7,"category_id":5,"bbox":{bbox},"area":9,"iscrowd":0}}],
                "categories":[{{"id":5,"name":"dog"}}]}}"#
        );
        std::fs::create_dir_all(folder.join("annotations")).unwrap();
        for part in ["train2017", "val2017"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
            std::fs::write(folder.join(part).join("a.png"), &png).unwrap();
            std::fs::write(folder.join(format!("annotations/instances_{part}.json")), &annotations).unwrap();
        }
        folder
    }
}

#[test]
fn a_run_is_scored_and_used() {
    let lab = Lab::new();
    let printed = succeeds(&mut lab.train("run", &["--loss", "focal", "--score-above", "0.005"]));
    contains(&printed, &["Average Precision  (AP) @[ IoU=0.50:0.95", "4 steps", "anchors of objects"]);
    let results = lab.json("run/results.json");
    assert_eq!(results["images"], serde_json::json!([600, 150]));
    assert!(results["anchors"][0].as_u64().unwrap() > 1000, "{}", results["anchors"]);
    assert!(lab.json("run/detections.json").is_array());

    let scored = succeeds(&mut lab.verb(&["evaluate", "run", "--json", "-o", "again.json"]));
    let scored: Value = serde_json::from_str(&scored).unwrap();
    assert_eq!(scored["stats"], results["scores"]["stats"]);
    assert_eq!(lab.bytes("again.json"), lab.bytes("run/detections.json"));

    let png = boxes_over(&[90; 3 * 50 * 70], (50, 70), &[]).unwrap();
    std::fs::write(lab.path("photo.png"), png).unwrap();
    let printed = succeeds(&mut lab.verb(&["predict", "run", "photo.png", "-o", "out", "--score-above", "0"]));
    contains(&printed, &["photo.png → out/photo.png", "%"]);
    assert!(lab.bytes("out/photo.png").starts_with(b"\x89PNG"));

    // Dots belong to the name, and no picture replaces another.
    std::fs::create_dir(lab.path("more")).unwrap();
    for name in ["photo.v1.png", "photo.v2.png", "more/photo.png"] {
        std::fs::copy(lab.path("photo.png"), lab.path(name)).unwrap();
    }
    succeeds(&mut lab.verb(&["predict", "run", "photo.v1.png", "photo.v2.png", "-o", "two"]));
    assert!(lab.path("two/photo.v1.png").exists() && lab.path("two/photo.v2.png").exists());
    let said = fails(&mut lab.verb(&["predict", "run", "photo.png", "more/photo.png", "-o", "none"]), 2);
    contains(&said, &["photo.png and more/photo.png would both be drawn to none/photo.png", "--output"]);
    assert!(!lab.path("none").exists());
    // Nor the image itself, by whatever name.
    std::os::unix::fs::symlink(lab.path("more"), lab.path("link")).unwrap();
    let before = lab.bytes("more/photo.png");
    let said = fails(&mut lab.verb(&["predict", "run", "more/photo.png", "-o", "link"]), 2);
    contains(&said, &["more/photo.png would be drawn over", "--output"]);
    assert_eq!(lab.bytes("more/photo.png"), before);
    // What would be noticed after the work is said before it.
    let said = fails(&mut lab.verb(&["evaluate", "run", "-o", "no/such.json"]), 2);
    contains(&said, &["--output no/such.json: there is no folder no"]);
    for flag in
        [&["predict", "run", "photo.png", "--score-above", "nan"][..], &["--short-side", "0"], &["--long-side", "0"]]
    {
        contains(&fails(&mut lab.verb(flag), 2), &["invalid value", "must be a", "1"]);
    }
    let found =
        lab.verb(&["predict", "run", "photo.png", "-o", "out", "--score-above", "0", "--json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let objects = found[0]["objects"].as_array().unwrap();
    // The picture has 50 rows of 70 pixels.
    let inside = |object: &Value| {
        let [x, y, width, height] = [0, 1, 2, 3].map(|at| object["bbox"][at].as_f64().unwrap());
        width >= 0.0 && height >= 0.0 && x + width <= 70.001 && y + height <= 50.001 && object["category_id"].is_i64()
    };
    assert!(!objects.is_empty() && objects.iter().all(inside), "{found}");
}

#[test]
fn a_resumed_run_ends_with_the_same_bytes() {
    let lab = Lab::new();
    succeeds(&mut lab.train("whole", &["--loss", "eureka", "--beta", "0.99"]));
    // Two of the four steps, and then on with the settings of all four.
    succeeds(&mut lab.train("parts", &["--loss", "eureka", "--beta", "0.99", "--overwrite"]));
    let last = "parts/checkpoints/last.safetensors";
    std::fs::remove_file(lab.path(last)).unwrap();
    succeeds(&mut lab.verb(&["--run", "parts", "--resume"]));
    assert_eq!(lab.bytes(last), lab.bytes("whole/checkpoints/last.safetensors"));
    assert_eq!(lab.bytes("parts/detections.json"), lab.bytes("whole/detections.json"));
}

#[test]
fn batches_make_one_step_and_bad_images_are_left_out_of_it() {
    let lab = Lab::new();
    let folder = lab.set("data", "[1,1,30,30]");
    // A second image, which is no PNG after its first bytes: with one image a batch, half of the batches have none.
    let train = folder.join("annotations/instances_train2017.json");
    let text = std::fs::read_to_string(&train).unwrap();
    let text = text
        .replace("\"height\":40}]", "\"height\":40},{\"id\":8,\"file_name\":\"b.png\",\"width\":40,\"height\":40}]")
        .replace(
            "\"iscrowd\":0}]",
            "\"iscrowd\":0},{\"id\":4,\"image_id\":8,\"category_id\":5,\"bbox\":[1,1,9,9],\"area\":81,\"iscrowd\":0}]",
        );
    std::fs::write(&train, text).unwrap();
    let png = std::fs::read(folder.join("train2017/a.png")).unwrap();
    std::fs::write(folder.join("train2017/b.png"), &png[..60]).unwrap();

    let data = folder.to_str().unwrap();
    let flags = ["--data", data, "--loss", "focal", "--batch-size", "1", "--accumulate", "2"];
    contains(&fails(&mut lab.train("strict", &flags), 1), &["b.png", "--on-bad-image skip"]);
    let skipping = [&flags[..], &["--on-bad-image", "skip"]].concat();
    let printed = succeeds(&mut lab.train("lenient", &skipping));
    contains(&printed, &["1 images could not be used", "4 steps"]);
    let results = lab.json("lenient/results.json");
    assert_eq!(results["skipped"].as_object().unwrap().len(), 1);

    // What was passed over in training is passed over again, unless told otherwise.
    let images = ["--images", "data/train2017", "--annotations", "data/annotations/instances_train2017.json"];
    let evaluate = [&["evaluate", "lenient"][..], &images].concat();
    contains(&succeeds(&mut lab.verb(&evaluate)), &["Average Precision"]);
    let strict = [&evaluate[..], &["--on-bad-image", "fail"]].concat();
    contains(&fails(&mut lab.verb(&strict), 1), &["b.png", "--on-bad-image skip"]);
}

#[test]
fn passes_undo_the_steps_of_a_recipe() {
    let lab = Lab::new();
    let folder = lab.set("data", "[1,1,30,30]");
    // Four steps of two images, which with one image each are eight.
    std::fs::write(lab.path("c.toml"), "iterations = 4\nschedule-batch = 2\neval-every = 1\n").unwrap();
    let flags = ["--config", "c.toml", "--data", folder.to_str().unwrap(), "--loss", "focal", "--batch-size", "1"];
    let steps = |run: &str, more: &[&str]| {
        let mut command = lab.verb(&SMALL[6..]);
        succeeds(command.args(flags).args(more).arg("--run").arg(run));
        lab.json(&format!("{run}/results.json"))["training"]["steps"].as_u64().unwrap()
    };
    assert_eq!(steps("recipe", &[]), 8);
    // One image is one step; a number of steps that is asked for is taken as it is.
    assert_eq!(steps("passes", &["--epochs", "3", "--schedule-batch", "0"]), 3);
    assert_eq!(steps("steps", &["--iterations", "2"]), 2);
}

#[test]
fn seeds_are_swept() {
    let lab = Lab::new();
    let folder = lab.set("data", "[1,1,30,30]");
    let flags = ["--data", folder.to_str().unwrap(), "--loss", "focal", "--seeds", "3..5", "--quiet"];
    let printed = succeeds(&mut lab.train("sweep", &flags));
    contains(&printed, &["runs", "AP50", "±", "2"]);
    let runs: Vec<_> =
        ["seed-3", "seed-4"].map(|run| lab.bytes(&format!("sweep/{run}/checkpoints/last.safetensors"))).into();
    assert_ne!(runs[0], runs[1]);
    // All is there: nothing is trained again.
    let table: Value = serde_json::from_str(&succeeds(lab.train("sweep", &flags).arg("--json"))).unwrap();
    assert_eq!(table[""]["runs"], 2);
}

#[test]
fn wrong_data_is_named() {
    let lab = Lab::new();
    let said = |folder: PathBuf, flags: &[&str], code| {
        let mut command = lab.verb(&SMALL);
        fails(command.args(flags).arg("--data").arg(folder), code)
    };
    contains(&said(lab.path("nowhere"), &[], 1), &["nowhere"]);
    // The recipe's own loss has parameters that this one lacks; what is said is about the data.
    contains(&said(lab.path("nowhere"), &["--recipe", "paper-table-1", "--loss", "cross-entropy"], 1), &["nowhere"]);
    contains(&said(lab.set("thin", "[1,1,0,5]"), &[], 1), &["annotation 3", "--on-bad-box skip"]);
    contains(&said(lab.set("outside", "[100,1,5,5]"), &[], 1), &["annotation 3", "image 7"]);
    contains(
        &said(lab.set("alone", "[1,1,0,5]"), &["--on-bad-box", "skip"], 1),
        &["none of its 1 images has a box to train on"],
    );
    let truncated = lab.set("truncated", "[1,1,5,5]");
    let file = truncated.join("annotations/instances_train2017.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    contains(&said(truncated, &[], 1), &["instances_train2017.json:2:", "ends in the middle"]);
    contains(&said(lab.set("every", "[1,1,5,5]"), &["--eval-every", "9"], 2), &["--eval-every 9", "4 steps"]);
}
