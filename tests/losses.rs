//! `toolkit losses`: what there is, and values computed by hand.

mod support;

use std::f64::consts::LN_2;

use serde_json::Value;
use support::{LOSSES, contains, fails, json, plugin, succeeds, toolkit};

/// Loss and slope for each log-odds and class, in this order.
#[track_caller]
fn eval(words: &[&str]) -> Vec<(f64, f64)> {
    let results = json(toolkit().args(["losses", "eval"]).args(words).arg("--json"));
    let number = |result: &Value, name: &str| result[name].as_f64().unwrap();
    let of = |result| (number(result, "loss"), number(result, "slope"));
    results.as_array().unwrap().iter().map(of).collect()
}

#[track_caller]
fn close(got: &[(f64, f64)], want: &[(f64, f64)]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        let near = |got: f64, want: f64| (got - want).abs() <= 1e-14 * (1.0 + want.abs());
        assert!(near(got.0, want.0) && near(got.1, want.1), "{got:?} is not {want:?}");
    }
}

#[test]
fn the_list_names_ids_and_files() {
    let list = json(toolkit().args(["losses", "list", "--json"]));
    let list = list.as_array().unwrap();
    let ids: Vec<&str> = list.iter().map(|found| found["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    for id in LOSSES {
        let found = &list[ids.iter().position(|known| *known == id).unwrap()];
        assert_eq!(found["path"], plugin(id).to_str().unwrap());
        assert!(found["refused"].is_null());
        assert_eq!(found.as_object().unwrap().len(), 3);
    }
    let plain = succeeds(toolkit().args(["losses", "list"]));
    assert_eq!(plain.lines().count(), list.len());
    contains(&plain, &["eureka ", plugin("eureka").to_str().unwrap()]);
}

#[test]
fn each_pair_of_log_odds_and_class_gives_a_result() {
    let words = ["cross-entropy", "--class-counts", "5000,500,50", "--log-odds=-3,2", "--class", "0,2", "--json"];
    let results = json(toolkit().args(["losses", "eval"]).args(words));
    let of = |one: &Value| (one["log_odds"].as_f64().unwrap(), one["class"].as_u64().unwrap());
    let pairs: Vec<(f64, u64)> = results.as_array().unwrap().iter().map(of).collect();
    assert_eq!(pairs, [(-3.0, 0), (-3.0, 2), (2.0, 0), (2.0, 2)]);
    assert_eq!(results[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["log_odds", "class", "loss", "slope"]);
}

#[test]
fn cross_entropy_is_exact_in_float64() {
    // log(1 + e³), log 2, log(1 + e⁻²), and 800: −log p of p = e⁻⁸⁰⁰, which no float64 holds.
    let results = eval(&["cross-entropy", "--class-counts", "2,1", "--log-odds=-3,0,2,-800", "--class", "1"]);
    let slope = |m: f64| -1.0 / (1.0 + m.exp());
    close(&results, &[(3.048587351573742, slope(-3.0)), (LN_2, -0.5), (0.1269280110429725, slope(2.0)), (800.0, -1.0)]);
}

#[test]
fn eureka_by_hand() {
    // β = ½: effective numbers 7/4 and 1 of 3 and 1 examples, so weights 4/7 and 1, scaled to sum to two
    // classes 8/11 and 14/11. At m = log 3, p = ¾; −log p + w log(1−p).
    let common = ["eureka", "--class-counts", "3,1", "--log-odds", "0,1.0986122886681098", "--class", "0,1"];
    let (w, v) = (8.0 / 11.0, 14.0 / 11.0);
    let (likely, unlikely) = ((4.0_f64 / 3.0).ln(), 4_f64.ln());
    let slope = |w: f64, p: f64| -(1.0 - p) - w * p;
    close(
        &eval(&[&common[..], &["--beta", "0.5"]].concat()),
        &[
            (LN_2 * 3.0 / 11.0, slope(w, 0.5)),
            (-LN_2 * 3.0 / 11.0, slope(v, 0.5)),
            (likely - w * unlikely, slope(w, 0.75)),
            (likely - v * unlikely, slope(v, 0.75)),
        ],
    );
    // Largest weight 1: 4/7 and 1. With both halves weighed, −w log p + w log(1−p) = −w m.
    let scaled = [&common[..], &["--beta", "0.5", "--weight-scale", "max-one", "--class-balanced"]].concat();
    let third = 3_f64.ln();
    close(&eval(&scaled), &[(0.0, -4.0 / 7.0), (0.0, -1.0), (-third * 4.0 / 7.0, -4.0 / 7.0), (-third, -1.0)]);
}

#[test]
fn the_head_decides_the_defaults() {
    let common = ["focal", "--class-counts", "3,1", "--log-odds", "0", "--class", "0,1"];
    // γ = 1, α = 1: ½ log 2, and the derivative p(1−p) log p − (1−p)².
    let softmax = (LN_2 / 2.0, -LN_2 / 4.0 - 0.25);
    close(&eval(&common), &[softmax, softmax]);
    // γ = 2, α = ¼ and ¾ for the last class, the background: ¼ log 2 and 2p(1−p)² log p − (1−p)³, each times α.
    let sigmoid = (LN_2 / 4.0, -LN_2 / 4.0 - 0.125);
    let of = |alpha: f64| (alpha * sigmoid.0, alpha * sigmoid.1);
    close(&eval(&[&common[..], &["--head", "sigmoid"]].concat()), &[of(0.25), of(0.75)]);
    let alike = [&common[..], &["--head=sigmoid", "--gamma=1", "--alpha=0.5"]].concat();
    close(&eval(&alike), &[(softmax.0 / 2.0, softmax.1 / 2.0); 2]);
}

#[test]
fn without_json_a_table_is_printed() {
    let words = ["losses", "eval", "cross-entropy", "--class-counts", "2,1", "--log-odds", "0", "--class", "1"];
    let table = succeeds(toolkit().args(words));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["log-odds", "class", "loss", "slope"], ["0", "1", "0.6931471805599453", "-0.5"]]);
}

#[test]
fn wrong_values_are_named_with_what_would_be_right() {
    let eval = |words: &str| fails(toolkit().args(["losses", "eval"]).args(words.split(' ')), 2);
    let rest = "--class-counts 5,1 --log-odds 0 --class 1";
    contains(&eval(&format!("eureka {rest} --beta 1.5")), &["--beta", "`1.5` is not a number ≥ 0 and < 1"]);
    contains(&eval(&format!("eureka {rest} --weight-scale half")), &["--weight-scale", "sum-to-classes, max-one"]);
    contains(&eval(&format!("eureka {rest} --betta 0.5")), &["--betta", "--beta"]);
    contains(&eval(&format!("cross-entropy {rest} --beta 0.5")), &["unexpected argument '--beta'"]);
    contains(
        &eval("focal --class-counts 5,1 --log-odds 0 --class 0,2"),
        &["--class 2, number 2 of its list", "2 classes, 0 to 1"],
    );
    contains(&eval("focal --class-counts 5,1 --log-odds inf --class 0"), &["--log-odds", "not a finite number"]);
    for (wrong, place) in [
        ("5,-1", "`-1`, number 2 of the list (class 1)"),
        ("5,3,0", "`0`, number 3 of the list (class 2)"),
        ("-5", "`-5`, number 1 of the list (class 0)"),
        ("5,2.5", "`2.5`, number 2"),
        ("5,,1", "``, number 2"),
        ("99999999999999999999", "`99999999999999999999`, number 1"),
    ] {
        let message = eval(&format!("focal --class-counts {wrong} --log-odds 0 --class 0"));
        contains(&message, &["--class-counts: ", place, "is not a number of training examples: 1, 2, …"]);
    }
    contains(&eval("focal --class-counts 5,1"), &["required", "--log-odds", "--class"]);
    contains(&eval(&format!("{rest} focal")), &["the loss comes first", "losses eval ID"]);
}

#[test]
fn an_unknown_loss_gets_those_found_and_the_folders() {
    let rest = ["--class-counts", "5,1", "--log-odds", "0", "--class", "1"];
    let message = fails(toolkit().args(["losses", "eval", "eurka"]).args(rest), 2);
    let folder = plugin("eureka").parent().unwrap().display().to_string();
    contains(&message, &["no loss `eurka`", "did you mean `eureka`?", "found: ", "focal", "searched: ", &folder]);
}

#[test]
fn show_says_everything_about_a_loss() {
    let shown = json(toolkit().args(["losses", "show", "focal", "--json"]));
    let keys: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["id", "version", "formula", "citation", "parameters", "path", "sha256", "abi", "capabilities"];
    assert_eq!(keys, expected);
    assert_eq!((&shown["id"], &shown["abi"]), (&"focal".into(), &"1.0".into()));
    assert_eq!(shown["path"], plugin("focal").to_str().unwrap());
    assert!(shown["citation"].as_str().unwrap().contains("Lin et al."));
    let gamma = &shown["parameters"][0];
    let one = serde_json::json!({ "value": 0.0, "inclusive": true });
    assert_eq!((&gamma["name"], &gamma["kind"], &gamma["minimum"]), (&"gamma".into(), &"number".into(), &one));
    assert_eq!(gamma["default"], serde_json::json!({ "softmax": 1.0, "sigmoid": 2.0 }));
    let sum = std::process::Command::new("sha256sum").arg(plugin("focal")).output().unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(shown["sha256"].as_str().unwrap()));
    assert_eq!(shown["capabilities"][0], "float32 evaluation");

    let choice = &json(toolkit().args(["losses", "show", "eureka", "--json"]))["parameters"][1];
    assert_eq!((&choice["kind"], &choice["default"]["softmax"]), (&"choice".into(), &"sum-to-classes".into()));
    assert_eq!(choice["choices"].as_array().unwrap().len(), 3);

    let text = succeeds(toolkit().args(["losses", "show", "focal"]));
    let formula = shown["formula"].as_str().unwrap();
    contains(
        &text,
        &["focal 0.1.0\n", &format!("\n    {formula}\n"), "Lin et al.", "--gamma", "SHA-256  ", "ABI      1.0"],
    );
    contains(&text, &["a number ≥ 0 and ≤ 100; default 1, on a sigmoid head 2", plugin("focal").to_str().unwrap()]);
    assert!(text.lines().all(|line| line.chars().count() <= 100 || line.starts_with("File")), "{text}");
    contains(&fails(toolkit().args(["losses", "show", "focl"]), 2), &["no loss `focl`, did you mean `focal`?"]);
}

#[test]
fn every_verb_explains_itself() {
    for verb in ["list", "show", "eval", "check", "new", "install", "remove"] {
        let help = succeeds(toolkit().args(["losses", verb, "--help"]));
        contains(&help, &[&format!("Usage: toolkit losses {verb} "), "--plugin-dir"]);
    }
    contains(&fails(toolkit().args(["losses", "chekc", "eureka"]), 2), &["'chekc'", "'check'"]);
}

/// A half-finished copy would be memory that is not there.
#[test]
fn a_plugin_that_is_cut_off_is_told() {
    let whole = std::fs::read(plugin("focal")).unwrap();
    for length in [3000, whole.len() / 2, whole.len() - 1] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libtoolkit_loss_cut_off.so"), &whole[..length]).unwrap();
        let words = ["losses", "eval", "cut-off", "--class-counts", "5,1", "--log-odds", "0", "--class", "0"];
        let message = fails(toolkit().args(words).arg("--plugin-dir").arg(folder.path()), 2);
        contains(&message, &["is cut off", &format!("has {length} bytes"), "copy or build it again"]);
    }
}

#[test]
fn smoothing_that_log_odds_cannot_show_is_told() {
    let of = |smoothing: &str| {
        let words = ["losses", "eval", "cross-entropy", "--class-counts", "5,2", "--log-odds", "3", "--class", "0"];
        let mut command = toolkit();
        let output = command.args(words).args(["--label-smoothing", smoothing]).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    contains(&of("0.2"), &["without label smoothing"]);
    assert_eq!(of("0"), "");
}
