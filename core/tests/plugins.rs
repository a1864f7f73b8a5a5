//! Plugins as files: one in C that works, and every way in which one can be broken.
#![cfg(feature = "host")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use imbalance_core::host::{FindError, Loss, Plugin, SearchPath, file_name};
use imbalance_core::{ClassCounts, Head, effective_number};

mod support;
use support::build_c_plugin;

#[path = "../examples/panicking_loss.rs"]
#[allow(dead_code, reason = "a plugin's source, linked in")]
mod panicking;

/// The worked example in C.
const MARGIN: &str = "../examples/plugins/c/margin.c";

fn counts() -> ClassCounts {
    ClassCounts::new(vec![625, 16]).unwrap()
}

fn faulty(fault: u32) -> (tempfile::TempDir, Result<Plugin, FindError>) {
    let folder = tempfile::tempdir().unwrap();
    build_c_plugin(folder.path(), "tests/plugins/faulty.c", "faulty", &[format!("-DFAULT={fault}")]);
    let opened = SearchPath::of(vec![folder.path().to_owned()]).open("faulty");
    (folder, opened)
}

#[track_caller]
fn assert_refused(fault: u32, expected: &str) {
    let said = faulty(fault).1.expect_err("a broken plugin was opened").to_string();
    assert!(said.contains(expected) && said.contains("libtoolkit_loss_faulty.so"), "{said}");
}

#[test]
fn a_plugin_in_c_is_a_loss_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    build_c_plugin(folder.path(), MARGIN, "c-margin", &[]);
    let plugin = Arc::new(SearchPath::of(vec![folder.path().to_owned()]).open("c-margin").unwrap());
    assert_eq!(
        (plugin.id(), plugin.version(), plugin.params()[0].name.as_str()),
        ("c-margin", "1.0", "largest-margin")
    );
    assert_eq!(plugin.sha256().unwrap().len(), 64);
    let loss = Loss::new(plugin, Head::Softmax, &[("largest-margin".into(), 0.3)], &counts()).unwrap();
    // Margins are .3 · (16/n)^¼: .12 for 625 examples (5 against 2), .3 for 16.
    let (log_odds, classes) = ([-3.0, 0.5, 40.0_f64], [0, 1, 1]);
    let (mut value, mut slope) = ([0.0; 3], [0.0; 3]);
    loss.eval(&log_odds, &classes, &mut value, &mut slope).unwrap();
    for i in 0..3 {
        let m = log_odds[i] - [0.12, 0.3][classes[i] as usize];
        assert!((value[i] - (-m).exp().ln_1p()).abs() < 1e-12);
        assert!((slope[i] + 1.0 / (1.0 + m.exp())).abs() < 1e-12);
    }
    // It has no eval_f32: the float64 one serves.
    let (mut narrow, mut narrow_slope) = ([0.0_f32; 3], [0.0_f32; 3]);
    loss.eval(&log_odds.map(|m| m as f32), &classes, &mut narrow, &mut narrow_slope).unwrap();
    assert!((f64::from(narrow[0]) - value[0]).abs() < 1e-6);
}

#[test]
fn broken_plugins_are_refused_when_opened() {
    assert_refused(1, "is not a loss plugin's (magic 0x1");
    assert_refused(2, "was built for ABI 9.0, this toolkit speaks 1.0");
    assert_refused(3, "its structs have 24");
    assert_refused(7, "lacks the entry point `eval_f64`");
    assert_refused(9, "parameter `beta`: its default 2 is not a number > 0 and < 1");
}

#[test]
fn files_that_are_no_plugins_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file_name("text"));
    fs::write(&path, "not a library").unwrap();
    let search = SearchPath::of(vec![folder.path().to_owned()]);
    let said = search.open("text").unwrap_err().to_string();
    assert!(said.contains("is not a library that can be loaded"), "{said}");

    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    fs::write(folder.path().join("empty.c"), "int nothing;").unwrap();
    let built = folder.path().join(file_name("empty"));
    let status = std::process::Command::new(compiler)
        .args(["-shared", "-fPIC", "-o"])
        .args([&built, &folder.path().join("empty.c")])
        .status()
        .unwrap();
    assert!(status.success());
    let said = search.open("empty").unwrap_err().to_string();
    assert!(said.contains("has no symbol `toolkit_loss_plugin`"), "{said}");
}

#[test]
fn a_plugin_under_another_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let built = build_c_plugin(folder.path(), MARGIN, "c-margin", &[]);
    fs::rename(built, folder.path().join(file_name("other"))).unwrap();
    let said = SearchPath::of(vec![folder.path().to_owned()]).open("other").unwrap_err().to_string();
    assert!(said.contains("says that it is `c-margin`") && said.contains("libtoolkit_loss_c_margin.so"), "{said}");
}

#[test]
fn what_others_may_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let built = build_c_plugin(folder.path(), MARGIN, "c-margin", &[]);
    let search = SearchPath::of(vec![folder.path().to_owned()]);
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    chmod(&built, 0o777);
    let said = search.open("c-margin").unwrap_err().to_string();
    assert!(said.contains("anybody may write to") && said.contains("chmod o-w"), "{said}");
    assert!(search.list()[0].refused.is_some());
    chmod(&built, 0o755);
    chmod(folder.path(), 0o777);
    assert!(search.open("c-margin").unwrap_err().to_string().contains("anybody may write to"));
    chmod(folder.path(), 0o755);
    assert!(search.open("c-margin").is_ok());

    // A link in such a folder could be made to point elsewhere.
    let open = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&built, open.path().join(file_name("c-margin"))).unwrap();
    let search = SearchPath::of(vec![open.path().to_owned()]);
    assert!(search.open("c-margin").is_ok());
    chmod(open.path(), 0o777);
    assert!(search.open("c-margin").unwrap_err().to_string().contains("anybody may write to"));
}

fn evaluate(fault: u32) -> String {
    let (_folder, plugin) = faulty(fault);
    match Loss::new(Arc::new(plugin.unwrap()), Head::Softmax, &[], &counts()) {
        Err(error) => error.to_string(),
        Ok(loss) => loss.eval(&[1.0, 2.0], &[0, 1], &mut [0.0; 2], &mut [0.0; 2]).unwrap_err().to_string(),
    }
}

#[test]
fn broken_evaluations_are_errors() {
    assert!(evaluate(4).contains("returned 0, which is no success"), "{}", evaluate(4));
    assert!(evaluate(5).contains("at log-odds 1, class 0 it gave loss NaN"), "{}", evaluate(5));
    assert!(evaluate(6).contains("at log-odds 2, class 1 it gave loss NaN"), "{}", evaluate(6));
    assert!(evaluate(8).contains("prepare: too few classes"), "{}", evaluate(8));
    let said = evaluate(31);
    assert!(said.contains("its extension `toolkit.adjustment.1` lacks the function `describe`"), "{said}");
}

#[test]
fn a_panic_becomes_an_error() {
    let plugin = Arc::new(Plugin::embedded(&panicking::toolkit_loss_plugin).unwrap());
    let loss = Loss::new(plugin, Head::Softmax, &[], &counts()).unwrap();
    let said = loss.eval(&[1.0; 4], &[0; 4], &mut [0.0; 4], &mut [0.0; 4]).unwrap_err().to_string();
    assert!(said.contains("panicked: asked once too often"), "{said}");
}

#[test]
fn class_ids_and_parameters_are_checked_before_the_plugin_sees_them() {
    let plugin = Arc::new(faulty(0).1.unwrap());
    let loss = Loss::new(Arc::clone(&plugin), Head::Softmax, &[], &counts()).unwrap();
    let said = loss.eval(&[1.0, 2.0], &[0, 2], &mut [0.0; 2], &mut [0.0; 2]).unwrap_err().to_string();
    assert_eq!(said, "example 1: class 2 is out of range, the loss knows 2 classes (0 to 1)");
    let made = |name: &str, value| {
        Loss::new(Arc::clone(&plugin), Head::Softmax, &[(name.into(), value)], &counts()).unwrap_err().to_string()
    };
    assert!(made("beta", 1.0).contains("`1` is not a number > 0 and < 1"));
    assert!(made("betta", 0.5).contains("has no parameter `betta` (did you mean `beta`?); it has: beta"));
    // The effective number is of use to hosts too.
    assert_eq!(effective_number(1.0, 0.9), 1.0);
}
