//! `toolkit reproduce`: that every row's command is right, and a table and figures made from tiny data.
#![cfg(feature = "training")]

mod support;

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use support::{Lab, contains, entries, every_plugin, fails, json, process, program, succeeds, toolkit};

const ALL: [&str; 15] = [
    "table-1", "table-2", "table-3", "table-4", "table-5", "table-6", "table-7", "table-8", "table-9", "table-10",
    "figure-2", "figure-3", "figure-4", "figure-6", "figure-7",
];

/// Flags that make a dialogue model train in a moment.
const TINY: [&str; 17] = [
    "--",
    "--hidden",
    "16",
    "--embedding",
    "8",
    "--layers",
    "1",
    "--epochs",
    "2",
    "--patience",
    "0",
    "--defer-epochs",
    "1",
    "--batch-size",
    "8",
    "--log-every",
    "1",
];

const TABLE_4: [&str; 10] =
    ["reproduce", "table-4", "--scale", "quick", "--data", "data", "--run", "state", "--threads", "1"];

/// A folder with a small corpus in `data/convai2` and word vectors in `data/glove`.
fn lab() -> Lab {
    let lab = Lab::new();
    let data = lab.path("data");
    std::fs::create_dir(data.join("convai2")).unwrap();
    for split in ["train", "valid", "test"] {
        std::fs::rename(data.join(format!("{split}.txt")), data.join(format!("convai2/{split}.txt"))).unwrap();
    }
    std::fs::create_dir(data.join("glove")).unwrap();
    std::fs::write(data.join("glove/glove.6B.2d.txt"), "cat 0.5 1\ndog 1 0.25\n").unwrap();
    lab
}

/// Table 4 of the lab's data.
fn table_4(lab: &Lab, flags: &[&str]) -> support::Command {
    lab.toolkit(&[&TABLE_4[..], flags].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn row<'a>(report: &'a Value, id: &str) -> &'a Value {
    let rows = report["rows"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no row {id} in {report}"))
}

#[test]
fn everything_is_listed_with_its_data() {
    let lab = lab();
    let said = succeeds(&mut lab.toolkit(&["reproduce", "list", "--data", "data"]));
    contains(&said, &ALL);
    contains(
        &said,
        &["imagenet-lt       missing: imagenet-lt with ImageNet_LT_train.txt", "toolkit data fetch cifar-10"],
    );
    contains(&said, &["convai2           there: data/convai2", "train.txt has 24 dialogues"]);
    let all = json(&mut lab.toolkit(&["reproduce", "list", "--json"]));
    assert_eq!(all["tables"].as_array().unwrap().len(), ALL.len());
    assert_eq!(all["tables"][4]["data"], serde_json::json!(["cifar-100", "cifar-100-ir10"]));
    assert_eq!(all["tables"][1]["rows"][11]["absent"], "feature space augmentation");
    for command in ["reproduce", "reproduce table-8"] {
        let help = succeeds(toolkit().args(command.split(' ')).arg("--help"));
        contains(&help, &[&format!("Usage: toolkit {command} ")]);
    }
    contains(
        &succeeds(toolkit().args(["reproduce", "table-8", "--help"])),
        &["el-cb", "EL + CB†", "--only", "--dry-run"],
    );
}

/// Empty files under the names that are looked for.
fn every_data_set(folder: &Path) {
    let coco =
        ["annotations/instances_train2017.json", "annotations/instances_val2017.json", "train2017/x", "val2017/x"];
    let mut names = vec!["cifar-10-binary.tar.gz".to_owned(), "cifar-100-binary.tar.gz".into()];
    names.extend(["convai2/train.txt", "convai2/valid.txt", "glove/glove.6B.300d.txt"].map(str::to_owned));
    names.extend(["imagenet-lt/ImageNet_LT_train.txt", "imagenet-lt/ImageNet_LT_test.txt"].map(str::to_owned));
    names.extend(
        ["inaturalist-2018/iNaturalist18_train.txt", "inaturalist-2018/iNaturalist18_val.txt"].map(str::to_owned),
    );
    names.push("weights/resnet50-0676ba61.pth".into());
    for set in ["coco", "coco-mini"] {
        names.extend(coco.map(|name| format!("{set}/{name}")));
    }
    for name in names {
        std::fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), "").unwrap();
    }
}

#[test]
fn the_front_ends_take_every_row() {
    let plugins = every_plugin();
    let data = tempfile::tempdir().unwrap();
    every_data_set(data.path());
    let listed = json(toolkit().args(["reproduce", "list", "--json"]));
    for table in listed["tables"].as_array().unwrap() {
        let name = table["name"].as_str().unwrap();
        for scale in ["full", "quick"] {
            let mut command = process(&program());
            command.current_dir(data.path()).args([
                "reproduce",
                name,
                "--scale",
                scale,
                "--dry-run",
                "--json",
                "--seeds",
                "0..1",
                "--data",
            ]);
            command.arg(data.path()).arg("--plugin-dir").arg(plugins.path());
            let plan = json(&mut support::Command::from_std(command));
            assert_eq!(plan["missing"], serde_json::json!([]), "{name} {scale}");
            let trainings = plan["trainings"].as_array().unwrap();
            for row in table["rows"].as_array().unwrap().iter().filter(|row| row["absent"].is_null()) {
                let is_of = |training: &&Value| {
                    training["row"] == row["id"] || training["shared_with"].as_array().unwrap().contains(&row["id"])
                };
                assert!(
                    trainings.iter().any(|training| is_of(&training)) || name == "figure-7",
                    "{name} {scale} {row}"
                );
            }
        }
    }
    assert!(!data.path().join("runs").exists(), "a dry run leaves nothing behind");
}

#[test]
fn a_loss_that_is_not_there_is_named() {
    let lab = lab();
    let folder = support::folder_beside_build();
    let alone = support::toolkit_alone(folder.path());
    let mut command = process(&alone);
    command.current_dir(lab.path("")).args(["reproduce", "table-4", "--data", "data", "--dry-run"]);
    let message = fails(&mut support::Command::from_std(command), 2);
    contains(&message, &["table-4 ce", "cross-entropy"]);
}

#[test]
fn figure_2_needs_no_data_for_its_curves() {
    let (lab, plugins) = (lab(), every_plugin());
    let mut command = lab.toolkit(&["reproduce", "figure-2", "--plugin-dir"]);
    let said = succeeds(command.arg(plugins.path()));
    contains(&said, &["missing cifar-10", "toolkit data fetch cifar-10", "figure-2.png", "imbalance ratio of 10"]);
    let folder = lab.path("runs/reproduce/figure-2-full");
    assert_eq!(entries(&folder), ["figure-2.png", "figure-2.svg", "results.json", "results.md"]);
    contains(&lab.text("runs/reproduce/figure-2-full/figure-2.svg"), &["HFL (φ = 0.5)", "FL (γ = 1)"]);
    assert!(lab.bytes("runs/reproduce/figure-2-full/figure-2.png").starts_with(b"\x89PNG"));
}

#[test]
fn without_data_the_papers_numbers_are_shown_and_nothing_else() {
    let lab = lab();
    let output = lab.toolkit(&["reproduce", "table-3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    contains(&text(&output.stderr), &["no row could be run", "imagenet-lt", "--data"]);
    let said = text(&output.stdout);
    contains(&said, &["Eureka Loss + CB†", "50.4", "62.2", "not in the toolkit (open long-tailed recognition)"]);
    assert!(!said.contains("ours"), "{said}");
}

#[test]
fn a_table_is_made_row_by_row_and_only_once() {
    let lab = lab();
    let tiny = |flags: &[&str]| table_4(&lab, &[flags, &TINY[..]].concat());
    // A file where a row's folder should be: that row fails, the others do not.
    lab.write("state-file", "");
    std::fs::create_dir(lab.path("state")).unwrap();
    std::fs::rename(lab.path("state-file"), lab.path("state/fl-1")).unwrap();
    let some = ["--only", "fl-1", "--only", "ce", "--only", "Eureka Loss"];
    let output = tiny(&some).output().unwrap();
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{error}");
    contains(&error, &["training 1 of 3: Cross Entropy, seed 0: state/ce/seed-0", "1 training failed", "state/fl-1"]);
    contains(&said, &["Quick scale: not comparable", "every training has --hidden 16", "train.txt has 24 dialogues"]);

    std::fs::remove_file(lab.path("state/fl-1")).unwrap();
    let before = std::fs::metadata(lab.path("state/ce/seed-0/results.json")).unwrap().modified().unwrap();
    let report = json(&mut tiny(&["--only", "ce", "--only", "el", "--json"]));
    let after = std::fs::metadata(lab.path("state/ce/seed-0/results.json")).unwrap().modified().unwrap();
    assert_eq!(before, after, "what is finished is not trained again");
    assert_eq!(report, lab.json("state/results.json"));
    assert_eq!(report["comparable"], false);
    assert_eq!(row(&report, "fl-1")["status"], "not run");
    for (id, paper) in [("ce", 16.9), ("el", 17.2)] {
        let results = lab.json(&format!("state/{id}/seed-0/results.json"));
        let (cell, micro) = (&row(&report, id)["cells"][1], results["scores"]["micro_f"].as_f64().unwrap());
        assert_eq!((&row(&report, id)["status"], cell["paper"].as_str()), (&"done".into(), Some(&*paper.to_string())));
        assert_eq!(cell["ours"]["mean"].as_f64(), Some(micro));
        assert!((cell["difference"].as_f64().unwrap() - (micro - paper)).abs() < 1e-9, "{cell}");
    }
    // The first row is what others are compared with.
    let means = ["ce", "el"].map(|id| row(&report, id)["cells"][2]["ours"]["mean"].as_f64().unwrap());
    let gain = &row(&report, "el")["cells"][2];
    assert!((gain["our_gain"].as_f64().unwrap() - (means[1] - means[0])).abs() < 1e-9);
    assert!((gain["paper_gain"].as_f64().unwrap() - 3.9).abs() < 1e-9, "40.4 and 36.5");
    // The row's own arguments, and after them those of all.
    let config = lab.text("state/el/seed-0/config.toml");
    contains(
        &config,
        &["loss = \"eureka\"", "beta = 0.999\n", "bonus-eps = 0.00001", "defer-epochs = 1\n", "\nepochs = 2\n"],
    );
    contains(&lab.text("state/results.md"), &["# Table 4: ", "| Eureka Loss | 1.32 | "]);

    // Finished with other settings, its numbers are not the row's.
    let output = table_4(&lab, &[&["--only", "ce"], &TINY[..], &["--lr", "1"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    contains(&error, &["state/ce/seed-0: finished with other settings: `lr` was 3.0 and is now 1.0"]);
    contains(&error, &["1 run of other settings is in the way:"]);
    assert!(!error.contains("tries it again"), "{error}");
    contains(&text(&output.stdout), &["failed", "other settings"]);
    // So with a setting that it has and the row has not.
    let frozen = config + "freeze = \"decoder\"\n";
    lab.write("state/el/seed-0/config.toml", frozen);
    let output = tiny(&["--only", "el"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    contains(&text(&output.stderr), &["state/el/seed-0: finished", "`freeze` was \"decoder\" and is now unset"]);
}

#[test]
fn an_interrupted_table_goes_on() {
    let lab = lab();
    let flags =
        [&["--only", "ce", "--only", "fl-1"], &TINY[..], &["--epochs", "100", "--checkpoint-every", "1"]].concat();
    let mut command = process(&program());
    command.current_dir(lab.path("")).args(TABLE_4).args(&flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let last = lab.path("state/ce/seed-0/checkpoints/last.safetensors");
    let began = std::time::Instant::now();
    while !last.exists() {
        assert!(began.elapsed().as_secs() < 120, "no checkpoint came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // To this process alone: the training has to hear of it from its parent.
    let kill = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(kill.success());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let error = text(&stderr);
    assert_eq!(status.code(), Some(130), "{error}");
    contains(&error, &["interrupted; go on with the same command"]);
    contains(&text(&stdout), &["Cross Entropy", "not run"]);
    assert!(!lab.path("state/ce/seed-0/results.json").exists() && !lab.path("state/fl-1").exists(), "{error}");

    // With other settings it does not go on.
    let other = table_4(&lab, &[&["--only", "ce"], &TINY[..]].concat()).output().unwrap();
    assert_eq!(other.status.code(), Some(1));
    contains(&text(&other.stderr), &["begun with other settings: `epochs` was 100 and is now 2"]);

    let said = succeeds(&mut table_4(&lab, &flags));
    assert_eq!(said.matches("  done").count(), 2, "{said}");
    assert_eq!(lab.json("state/ce/seed-0/manifest.json")["resumed"].as_array().unwrap().len(), 1);
}

#[test]
fn numbers_are_comparable_only_where_the_data_are_known() {
    let lab = lab();
    // Finished runs of a row's settings; what has a default need not be stored.
    for variant in ["id-100", "id-50", "id-10"] {
        let folder = format!("state/el-cb/{variant}-seed-0");
        std::fs::create_dir_all(lab.path(&folder)).unwrap();
        let config = "data = \"/data/cifar-10-binary.tar.gz\"\ngroup-classes = \"3,4,3\"\nstep-epochs = [160, 180]\n";
        lab.write(&format!("{folder}/config.toml"), format!("{config}stage-epochs = 10\n"));
        lab.write(&format!("{folder}/results.json"), r#"{"scores": {"all": 77.5}}"#);
    }
    let table = ["reproduce", "table-8", "--run", "state", "--seeds", "0..1", "--only", "el-cb", "--json"];
    let report = json(&mut lab.toolkit(&table));
    assert_eq!(row(&report, "el-cb")["cells"][0]["ours"]["mean"], 77.5);
    assert_eq!(report["comparable"], false);
    contains(&report["differs"].to_string(), &["cifar-10: without --data nobody knows"]);

    lab.write("data/cifar-10-binary.tar.gz", "");
    let report = json(&mut lab.toolkit(&[&table[..], &["--data", "data"]].concat()));
    assert_eq!(row(&report, "el-cb")["cells"][0]["ours"]["mean"], 77.5);
    assert_eq!(report["comparable"], true);
    // Data of the kind that are not the paper's.
    std::fs::rename(lab.path("data/cifar-10-binary.tar.gz"), lab.path("data/cifar-10-ir10.tar.xz")).unwrap();
    let report = json(&mut lab.toolkit(&[&table[..], &["--data", "data", "--dry-run"]].concat()));
    assert_eq!(report["comparable"], false);
}

#[test]
fn figure_7_counts_words() {
    let lab = lab();
    // "a" twelve times, "b" once, "c" and "d" twice.
    let line = |number: usize, said: &str, reply: &str| format!("{number} {said}\t{reply}\n");
    let text = [line(1, "a a a a a a", "a a a b"), line(2, "c d", "a a d c")].concat() + &line(3, "a", "");
    lab.write("data/convai2/train.txt", text.replace("3 a\t\n", ""));
    let report = json(&mut lab.toolkit(&["reproduce", "figure-7", "--data", "data", "--run", "words", "--json"]));
    let ours = |id: &str| row(&report, id)["cells"][0]["ours"]["mean"].as_f64().unwrap();
    assert_eq!([ours("rare"), ours("medium"), ours("frequent")], [3.0, 1.0, 0.0]);
    assert_eq!(row(&report, "frequent")["cells"][0]["difference"], -352.0);
    let note = report["notes"].as_array().unwrap().last().unwrap().as_str().unwrap();
    contains(note, &["4 word types, imbalance ratio 11;"]);
    assert!(lab.path("words/figure-7.svg").exists() && lab.path("words/figure-7.png").exists());
}

#[test]
fn wrong_usage_says_what_would_be_right() {
    let lab = lab();
    let said = |words: &[&str]| fails(&mut lab.toolkit(&[&["reproduce"], words].concat()), 2);
    contains(&said(&["table-11"]), &["table-11", "table-1"]);
    contains(&said(&["table-3", "--only", "elk"]), &["--only elk", "it has: ce, fl, cb"]);
    contains(&said(&["table-3", "--only", "oltr"]), &["does not have open long-tailed recognition"]);
    contains(&said(&["table-3", "--seeds", "3"]), &["--seeds 3", "0..4"]);
    contains(&said(&["table-3", "--scale", "half"]), &["full", "quick"]);
    for more in [&["--dry-run"][..], &[]] {
        let arguments = [&["table-4", "--data", "data"], more, &["--", "--hiden", "3"]].concat();
        contains(&said(&arguments), &["table-4 ce", "--hiden"]);
    }
    assert!(!lab.path("runs").exists(), "all is checked before anything is trained");
}
