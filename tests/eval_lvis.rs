//! `toolkit eval lvis` through the real binary.

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn eval(truth: &str, more: &[&str]) -> Command {
    let mut command = cargo_bin_cmd!("toolkit");
    command.args(["eval", "lvis", "--gt", &format!("{FIXTURES}/{truth}")]);
    command.args(["--dt", &format!("{FIXTURES}/lvis/found.json")]).args(more);
    command
}

#[test]
fn numbers_are_those_of_lvis() {
    let expected: Vec<f64> = serde_json::from_str(include_str!("fixtures/lvis/expected.json")).unwrap();
    let output = eval("lvis/truth.json", &["--json", "--per-class"]).assert().success().get_output().clone();
    let scores: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (name, want) in ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR"].iter().zip(&expected) {
        assert!((scores["stats"][name].as_f64().unwrap() - want).abs() < 1e-12, "{name}");
    }
    assert_eq!(scores["per_class"].as_array().unwrap().len(), 5);

    let output = eval("lvis/truth.json", &["--per-class"]).assert().success().get_output().clone();
    // LVIS has no crowds, and that is nothing to be warned of.
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(!warned.contains("iscrowd"), "{warned}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = format!("maxDets=300 | categories=    rare ] = {:.3}", expected[6]);
    assert!(text.contains(&line) && text.contains("3 owl"), "{text}");
}

#[test]
fn annotations_of_another_kind_are_refused() {
    let output = eval("coco/truth.json", &[]).assert().failure().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("coco/truth.json") && said.contains("neg_category_ids"), "{said}");
    assert!(said.contains("toolkit eval coco"), "{said}");
}
