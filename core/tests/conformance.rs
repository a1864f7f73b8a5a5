//! The checks of `host::conformance` from Rust; those that end the process are tested through the command.
#![cfg(feature = "host")]

use std::path::Path;

use imbalance_core::ClassCounts;
use imbalance_core::host::conformance::{self, Check, Event, Finding, Options, Verdict};

mod support;
use support::build_c_plugin;

/// Opens and examines; every finding, and everything that was done.
fn examine(path: &Path, options: &Options) -> (Vec<Finding>, Vec<String>) {
    let (mut findings, mut doings) = (Vec::new(), Vec::new());
    let mut tell = |event: Event| match event {
        Event::Started(_) => {}
        Event::Doing(what) => doings.push(what),
        Event::Finished(finding) => findings.push(finding),
    };
    if let Some(plugin) = conformance::open(path, &mut tell) {
        conformance::examine(&plugin, options, &mut tell);
    }
    (findings, doings)
}

#[test]
fn a_good_plugin_passes_every_check_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = build_c_plugin(folder.path(), "../examples/plugins/c/margin.c", "c-margin", &[]);
    let options = Options { params: Vec::new(), counts: Some(ClassCounts::new(vec![625, 16]).unwrap()) };
    let (findings, doings) = examine(&path, &options);
    assert_eq!(findings.iter().map(|finding| finding.check).collect::<Vec<_>>(), Check::ALL);
    for finding in &findings {
        // It has neither `eval_f32` nor extensions.
        let optional = matches!(finding.check, Check::Float32 | Check::Extensions);
        let expected = if optional { Verdict::NotApplicable } else { Verdict::Passed };
        assert_eq!((finding.verdict, finding.notes.len()), (expected, 0), "{finding:?}");
    }
    for part in ["softmax head, largest-margin = 0", "sigmoid head", "where what follows `slope` must not be touched"] {
        assert!(doings.iter().any(|doing| doing.contains(part)), "{part}: {doings:#?}");
    }
}

#[test]
fn parameters_that_are_given_hold_for_both_heads() {
    let folder = tempfile::tempdir().unwrap();
    let path = build_c_plugin(folder.path(), "tests/plugins/faulty.c", "faulty", &["-DFAULT=26".into()]);
    let options = Options { params: vec![("beta".into(), 0.95)], ..Options::default() };
    // This plugin refuses what is above 0.9, though it declares a range up to 1.
    let (findings, _) = examine(&path, &options);
    let life_cycle = findings.iter().find(|finding| finding.check == Check::LifeCycle).unwrap();
    assert_eq!(life_cycle.said, "softmax head: `create` failed without a message (code 3)");
    let later = findings.iter().skip_while(|finding| finding.check != Check::LifeCycle).skip(1);
    assert!(later.clone().count() == 12 && later.clone().all(|finding| finding.verdict == Verdict::NotRun));
}

#[test]
fn what_cannot_be_opened_is_not_examined() {
    let (findings, _) = examine(Path::new("/no/such/libtoolkit_loss_x.so"), &Options::default());
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].check, findings[0].verdict), (Check::Handshake, Verdict::Failed));
    assert!(findings[0].said.contains("cannot be read"), "{}", findings[0].said);
}
