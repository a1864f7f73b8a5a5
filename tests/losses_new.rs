//! `toolkit losses new`: a crate that builds, passes its tests and the checks, and is a loss.

mod support;

use std::path::Path;
use std::process::Command as Process;

use support::{Command, contains, fails, json, process, program, succeeds, toolkit};

/// Runs cargo in the new crate, into a target folder of its own. The dependency's dependencies are in cargo's cache,
/// for the toolkit is built from them: no network is needed.
fn cargo(folder: &Path, words: &[&str]) {
    let mut command = Process::new(env!("CARGO"));
    command
        .current_dir(folder)
        .args(words)
        .args(["--offline", "--quiet"])
        .env("CARGO_TARGET_DIR", folder.join("target"));
    // What the outer cargo set is not for this crate.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    assert!(command.status().unwrap().success(), "{command:?} failed");
}

#[test]
fn from_nothing_to_a_loss_and_back() {
    let home = tempfile::tempdir().unwrap();
    let losses = |words: &[&str]| {
        let mut command = Command::from_std(process(&program()));
        command.current_dir(home.path()).env("XDG_DATA_HOME", home.path().join("data")).arg("losses").args(words);
        command
    };
    let said = succeeds(&mut losses(&["new", "rare-words"]));
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("core");
    contains(&said, &["made rare-words, which builds with ", core.to_str().unwrap(), "cargo build --release"]);
    let folder = home.path().join("rare-words");
    for file in ["Cargo.toml", "src/lib.rs", "README.md", ".gitignore"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(!text.contains("{{") || file == "src/lib.rs", "{file} has a gap");
        assert!(!text.contains("{{ID}}") && !text.contains("{{TYPE}}"), "{file} has a gap");
    }
    cargo(&folder, &["build", "--release"]);
    cargo(&folder, &["test"]);
    let lock = std::fs::read_to_string(folder.join("Cargo.lock")).unwrap();
    assert!(!lock.contains("torch") && !lock.contains("\"tch\""), "{lock}");

    let built = "rare-words/target/release/libtoolkit_loss_rare_words.so";
    assert_eq!(json(&mut losses(&["check", built, "--json"]))["passed"], true);
    succeeds(&mut losses(&["install", built]));
    // Once installed it is there already, which a second crate of that id is told.
    let again = losses(&["new", "rare-words", "--path", "other"]).assert().success();
    contains(&String::from_utf8_lossy(&again.get_output().stderr), &["warning: there is a loss `rare-words` already"]);
    let words = ["eval", "rare-words", "--gamma=2", "--class-counts=400,4", "--log-odds=0", "--class=0,1", "--json"];
    let results = json(&mut losses(&words));
    // Weights 1 and √100; (1−½)² · log 2.
    for (result, weight) in results.as_array().unwrap().iter().zip([1.0, 10.0]) {
        assert!((result["loss"].as_f64().unwrap() - weight * 0.25 * std::f64::consts::LN_2).abs() < 1e-12);
    }
    contains(&succeeds(&mut losses(&["remove", "rare-words"])), &["libtoolkit_loss_rare_words.so"]);
    contains(&fails(&mut losses(&words[..2]), 2), &["no loss `rare-words`"]);
}

#[test]
fn bad_ids_and_folders_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let new = |words: &[&str]| fails(toolkit().current_dir(home.path()).args(["losses", "new"]).args(words), 2);
    contains(&new(&["MyLoss"]), &["`MyLoss` is no id", "lower-case words", "such as `my-loss`"]);
    contains(&new(&["my_loss"]), &["such as `my-loss`"]);
    contains(&new(&["../evil"]), &["such as `evil`"]);
    contains(&new(&[""]), &["is no id"]);
    contains(&new(&[]), &["<ID>"]);
    std::fs::create_dir(home.path().join("mine")).unwrap();
    contains(&new(&["mine"]), &["mine exists already", "--path"]);
    contains(&new(&["x", "--path", "mine"]), &["mine exists already"]);
    contains(&new(&["x", "--core", "mine"]), &["--core mine", "is not the crate imbalance-core"]);
    assert_eq!(support::entries(home.path()), ["mine"]);
    assert!(support::entries(&home.path().join("mine")).is_empty());
}

#[test]
fn core_names_the_crate_to_build_with() {
    let home = tempfile::tempdir().unwrap();
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("core");
    let mut command = toolkit();
    command.current_dir(home.path()).args(["losses", "new", "x", "--path", "a/b", "--core"]).arg(&core);
    succeeds(&mut command);
    let manifest = std::fs::read_to_string(home.path().join("a/b/Cargo.toml")).unwrap();
    let line = format!("imbalance-core = {{ path = {:?}, default-features = false }}", core.canonicalize().unwrap());
    contains(&manifest, &[&line, "name = \"toolkit-loss-x\"", "crate-type = [\"cdylib\"]"]);
}
