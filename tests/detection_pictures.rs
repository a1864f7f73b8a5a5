//! `toolkit detection plot | browse`: the pictures of short trainings on generated images, and the page of them.
#![cfg(feature = "training")]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use support::{Command, contains, fails, succeeds, toolkit};
use tempfile::TempDir;

/// Two steps of a network that finds nothing yet, but says so of everything.
const SMALL: [&str; 22] = [
    "--iterations",
    "2",
    "--eval-every",
    "1",
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
    "1",
    "--precision",
    "float32",
    "--score-above",
    "0.005",
];

const PICTURES: [&str; 5] = ["precision-recall", "class-ap", "frequency-ap", "scores", "curves"];

struct Lab {
    folder: TempDir,
}

impl Lab {
    /// With a finished run in `run`, a copy of one that all tests share.
    fn new() -> Self {
        static RUN: OnceLock<TempDir> = OnceLock::new();
        let trained = RUN.get_or_init(|| {
            let lab = Self { folder: tempfile::tempdir().unwrap() };
            succeeds(lab.verb(&SMALL).args(["--loss", "focal", "--run", "run"]));
            lab.folder
        });
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        copy(&trained.path().join("run"), &lab.path("run"));
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn verb(&self, words: &[&str]) -> Command {
        let mut command = toolkit();
        command.arg("detection").args(words).current_dir(self.folder.path());
        command
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// What the script of a page reads.
    fn data(&self, page: &str) -> Value {
        let page = self.text(page);
        let (_, data) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
        serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
    }

    /// A copy of the run's results as of a run on the images of [`Lab::set`], with these detections.
    fn other_run(&self, name: &str, detections: &Value) {
        std::fs::create_dir(self.path(name)).unwrap();
        for file in ["results.json", "metrics.jsonl"] {
            std::fs::copy(self.path("run").join(file), self.path(name).join(file)).unwrap();
        }
        let folder = self.path("set");
        let config = self.text("run/config.toml") + &format!("data = {:?}\n", folder.display().to_string());
        std::fs::write(self.path(name).join("config.toml"), config).unwrap();
        std::fs::write(self.path(name).join("detections.json"), detections.to_string()).unwrap();
    }

    /// A set of two images of 40 × 40 pixels whose first category has a name that would end a script. The first image has an
    /// object, and a crowd of the second category; the second has an object.
    fn set(&self) {
        let png = imbalance_evaluation::figure::boxes_over(&[90; 3 * 40 * 40], (40, 40), &[]).unwrap();
        let object = |id: i64, image: i64, category: i64, crowd: u8| json!({"id": id, "image_id": image, "category_id": category, "bbox": [4, 6, 20, 10], "area": 200, "iscrowd": crowd});
        let annotations = json!({
            "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 40},
                       {"id": 9, "file_name": "<b>.png", "width": 40, "height": 40}],
            "annotations": [object(1, 7, 5, 0), object(2, 7, 6, 1), object(3, 9, 6, 0)],
            "categories": [{"id": 5, "name": "</script><script>alert(1)"}, {"id": 6, "name": "dog"}],
        });
        std::fs::create_dir_all(self.path("set/annotations")).unwrap();
        for part in ["train2017", "val2017"] {
            let images = self.path("set").join(part);
            std::fs::create_dir_all(&images).unwrap();
            for name in ["a.png", "<b>.png"] {
                std::fs::write(images.join(name), &png).unwrap();
            }
            std::fs::write(
                self.path("set").join(format!("annotations/instances_{part}.json")),
                annotations.to_string(),
            )
            .unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_run_has_its_pictures() {
    let lab = Lab::new();
    for name in PICTURES {
        assert!(lab.text(&format!("run/{name}.svg")).contains("</svg>"), "{name}");
    }
    let results = lab.json("run/results.json");
    let sum = |part: &str| -> u64 {
        let bins = results["anchor_scores"][part].as_array().unwrap();
        assert_eq!(bins.len(), 50);
        bins.iter().map(|count| count.as_u64().unwrap()).sum()
    };
    // A square image of 64 pixels has 8² + 4² + 2² + 1 + 1 positions with 9 anchors; a few of them are ignored.
    let all = 150 * 9 * (64 + 16 + 4 + 1 + 1);
    let (objects, background) = (sum("foreground"), sum("background"));
    assert!(objects >= 150 && objects + background <= all, "{objects} + {background} of {all}");
    assert!(objects + background > all * 9 / 10, "{objects} + {background} of {all}");
    // Every class starts with a probability of .01: all are in the first of 50 bins.
    assert_eq!(results["anchor_scores"]["background"][0].as_u64().unwrap(), background);
    assert!(lab.text("run/scores.svg").contains(&format!("{background} anchors")));
    let images: Vec<u64> =
        results["train_images"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).collect();
    assert!(images.len() == 8 && images.iter().all(|&count| count > 0 && count <= 600), "{images:?}");

    let printed = succeeds(&mut lab.verb(&["plot", "run", "run", "--format", "png", "-o", "both", "--json"]));
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["written"].as_array().unwrap().len(), PICTURES.len());
    assert_eq!(printed["left_out"], json!([]));
    assert_eq!(printed["runs"][1]["stats"], results["scores"]["stats"]);
    for name in PICTURES {
        assert!(std::fs::read(lab.path(&format!("both/{name}.png"))).unwrap().starts_with(b"\x89PNG"), "{name}");
    }

    // A run of a version without these numbers: two pictures are missing, and the reason is said.
    let mut old = results;
    old.as_object_mut().unwrap().retain(|key, _| key != "anchor_scores" && key != "train_images");
    std::fs::write(lab.path("run/results.json"), old.to_string()).unwrap();
    let output = lab.verb(&["plot", "run", "-o", "old"]).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    contains(&said, &["old/scores.svg: ", "has no anchor_scores", "old/class-ap.svg: ", "has no train_images"]);
    assert!(!lab.path("old/scores.svg").exists() && lab.path("old/precision-recall.svg").exists());
}

#[test]
fn a_page_holds_each_image_once() {
    let lab = Lab::new();
    succeeds(&mut lab.verb(&["browse", "run"]));
    let data = lab.data("run/browse.html");
    let mut images: Vec<&str> =
        data["images"].as_array().unwrap().iter().map(|image| image["source"].as_str().unwrap()).collect();
    assert!(images.iter().all(|source| source.starts_with("data:image/png;base64,iVBORw0KGgo")));
    images.sort_unstable();
    images.dedup();
    assert_eq!((images.len(), data["evaluated"].as_u64()), (150, Some(150)));

    let printed = succeeds(&mut lab.verb(&["browse", "run", "--images", "3", "-o", "few.html", "--score-above", "1"]));
    contains(&printed, &["few.html: 3 images", "147 of the 150 evaluated are left out"]);
    let data = lab.data("few.html");
    let names: Vec<&Value> = data["images"].as_array().unwrap().iter().map(|image| &image["name"]).collect();
    assert_eq!(names, ["000001.png", "000051.png", "000101.png"]);
    assert!(data["images"].as_array().unwrap().iter().all(|image| image["found"] == json!([])));

    // The weights of the run find what they found.
    let again = ["browse", "run", "--images", "3", "-o"];
    succeeds(lab.verb(&again).arg("file.html"));
    succeeds(lab.verb(&again).args(["weights.html", "--checkpoint", "run/checkpoints/best.safetensors"]));
    assert_eq!(lab.text("file.html"), lab.text("weights.html"));
}

#[test]
fn a_page_says_what_is_right() {
    let lab = Lab::new();
    lab.set();
    let found = |image: i64, category: i64, bbox: [f64; 4], score: f64| json!({"image_id": image, "category_id": category, "bbox": bbox, "score": score});
    // On the first image: the object, the object again, a part of the crowd; on the second nothing of the dog.
    let detections = json!([
        found(7, 5, [4.0, 6.0, 20.0, 9.0], 0.5),
        found(7, 5, [4.0, 6.0, 20.0, 10.0], 0.9),
        found(7, 6, [6.0, 8.0, 5.0, 5.0], 0.4),
        found(9, 5, [0.0, 0.0, 30.0, 30.04], 0.25),
    ]);
    lab.other_run("other", &detections);
    succeeds(&mut lab.verb(&["browse", "other"]));
    let page = lab.text("other/browse.html");
    assert!(!page.contains("<script>alert") && !page.contains("</script><script>"));
    let data = lab.data("other/browse.html");
    assert_eq!(data["classes"][0]["name"], "</script><script>alert(1)");
    assert_eq!(data["images"][1]["name"], "<b>.png");
    assert_eq!(data["images"][0]["objects"], json!([[0, 4.0, 6.0, 20.0, 10.0, 0], [1, 4.0, 6.0, 20.0, 10.0, 1]]));
    // Class, box, score, and the object found, −1 for none, −2 for a crowd.
    assert_eq!(
        data["images"][0]["found"],
        json!([[0, 4.0, 6.0, 20.0, 10.0, 0.9, 0], [0, 4.0, 6.0, 20.0, 9.0, 0.5, -1], [1, 6.0, 8.0, 5.0, 5.0, 0.4, -2]])
    );
    assert_eq!(data["images"][1]["found"], json!([[0, 0.0, 0.0, 30.0, 30.0, 0.25, -1]]));
    if let Some(shown) = browser::shown(&lab.path("other/browse.html")) {
        contains(&shown, &["&lt;b&gt;.png", "&lt;/script&gt;&lt;script&gt;alert(1)"]);
    }

    // An image that cannot be shown is named, and the others are.
    std::fs::write(lab.path("set/val2017/a.png"), "nothing").unwrap();
    let output = lab.verb(&["browse", "other"]).output().unwrap();
    contains(&String::from_utf8(output.stderr).unwrap(), &["left out: ", "a.png: ", "neither JPEG nor PNG"]);
    assert_eq!(lab.data("other/browse.html")["images"].as_array().unwrap().len(), 1);

    // Runs on other categories are not compared.
    contains(&fails(&mut lab.verb(&["plot", "run", "other"]), 2), &["other has 2 categories, run has 8"]);
}

#[test]
fn what_is_no_finished_run_is_named() {
    let lab = Lab::new();
    contains(&fails(&mut lab.verb(&["plot", "nowhere"]), 1), &["nowhere/results.json", "finished run"]);
    contains(&fails(&mut lab.verb(&["browse", "nowhere"]), 1), &["nowhere/config.toml"]);
    contains(&fails(&mut lab.verb(&["browse", "run", "--images", "0"]), 2), &["--images"]);
    contains(&fails(&mut lab.verb(&["browse", "run", "--score-above", "2"]), 2), &["from 0 to 1"]);
    contains(&fails(&mut lab.verb(&["browse", "run", "--detections", "none.json"]), 1), &["none.json"]);
    std::fs::write(
        lab.path("wrong.json"),
        r#"[{"image_id": 1000, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]"#,
    )
    .unwrap();
    contains(&fails(&mut lab.verb(&["browse", "run", "--detections", "wrong.json"]), 1), &["image 1000"]);
    std::fs::remove_file(lab.path("run/detections.json")).unwrap();
    for (verb, says) in [("plot", "cannot"), ("browse", "--detections FILE")] {
        contains(&fails(&mut lab.verb(&[verb, "run"]), 1), &["run/detections.json", says]);
    }
}
