//! `toolkit losses check`: what keeps the contract passes, and what breaks it is caught and named.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{
    LOSSES, c_plugin, contains, example_plugin, fails, json, panicking_plugin, plugin, plugin_folder, succeeds, toolkit,
};

const ALL: [&str; 16] = [
    "handshake",
    "name",
    "declarations",
    "life-cycle",
    "buffers",
    "out-of-range",
    "messages",
    "finite",
    "continuity",
    "derivative",
    "float32",
    "batch-size",
    "determinism",
    "threads",
    "instances",
    "extensions",
];

/// The report, and the exit code.
fn check(path: &Path, more: &[&str]) -> (Value, i32) {
    let output = toolkit().args(["losses", "check"]).arg(path).arg("--json").args(more).output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code().unwrap())
}

/// What is said of the check `name` and how it ended.
fn finding<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let findings = report["checks"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["check"] == name).unwrap();
    (finding["verdict"].as_str().unwrap(), finding["said"].as_str().unwrap())
}

/// The report on `faulty.c` with this fault.
fn faulty(fault: u32, more: &[&str]) -> (Value, i32) {
    let folder = c_plugin("faulty", "faulty.c", &format!("FAULT={fault}"));
    check(&folder.path().join("libtoolkit_loss_faulty.so"), more)
}

#[test]
fn the_losses_that_come_with_the_toolkit_pass() {
    for id in LOSSES {
        let report = json(toolkit().args(["losses", "check", id, "--json"]));
        assert_eq!((&report["id"], &report["passed"]), (&id.into(), &true.into()));
        assert_eq!((&report["abi"], report["path"].as_str()), (&"1.0".into(), plugin(id).to_str()));
        assert_eq!(report["sha256"].as_str().unwrap().len(), 64);
        let checks: Vec<&str> =
            report["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
        assert_eq!(checks, ALL);
        for name in ALL {
            assert_eq!(finding(&report, name).0, "passed", "{id}, {name}: {}", finding(&report, name).1);
        }
    }
}

#[test]
fn the_worked_examples_in_c_and_cpp_pass() {
    for (id, source, absent) in [
        ("c-margin", "c/margin.c", &["float32", "extensions"][..]),
        ("tempered-focal", "cpp/tempered_focal.cpp", &["extensions"]),
    ] {
        let folder = example_plugin(id, source);
        let (report, code) = check(&folder.path().join(format!("libtoolkit_loss_{}.so", id.replace('-', "_"))), &[]);
        assert_eq!((code, &report["passed"]), (0, &true.into()), "{report:#}");
        for name in ALL {
            let expected = if absent.contains(&name) { "not-applicable" } else { "passed" };
            assert_eq!(finding(&report, name).0, expected, "{id}, {name}: {}", finding(&report, name).1);
        }
    }
}

#[test]
fn people_get_a_table() {
    let table = succeeds(toolkit().args(["losses", "check", "eureka"]));
    contains(&table, &["eureka 0.1.0, ", "passed  handshake     opens, speaks ABI 1.0, declares 4 parameters\n"]);
    contains(&table, &["passed  derivative    the slope is the difference of the loss", "\n16 passed\n"]);
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
}

#[test]
fn each_fault_is_caught_by_the_check_of_its_name() {
    // Fault, the check, and what it must say; the other checks may follow.
    for (fault, name, said) in [
        (1, "handshake", "magic 0x1"),
        (2, "handshake", "was built for ABI 9.0"),
        (3, "handshake", "its structs have 24"),
        (4, "buffers", "returned 0, which is no success"),
        (5, "finite", "class 0, log-odds -80, float64: loss NaN, slope -1"),
        (6, "buffers", "eval_f64, n = 1, softmax head: it left `loss` of example 0 unwritten"),
        (7, "handshake", "lacks the entry point `eval_f64`"),
        (8, "life-cycle", "`prepare` failed: too few classes"),
        (9, "handshake", "parameter `beta`: its default 2 is not a number > 0 and < 1"),
        (10, "buffers", "it wrote 8 bytes past the end of `slope`"),
        (11, "buffers", "it changed `log_odds`, an input"),
        (13, "derivative", "the slope is -1.01, but the loss changes by -1 per unit"),
        (14, "determinism", "the same batch twice gives, for example 0: loss"),
        (15, "threads", "several threads call it at once on one instance"),
        (17, "continuity", "softmax head, class 0: the loss jumps by 1.000e-3 at log-odds 0.300000"),
        (19, "messages", "its message does not end with NUL within its buffer"),
        (20, "messages", "in a buffer of 1 bytes, its message wrote 31 bytes past the end of its buffer"),
        (22, "instances", "of one instance before and while another one exists, for example 0: loss 58 and 9"),
        (24, "batch-size", "loss of example 15 is 3.126 among 16, but 3.125 alone"),
        (25, "finite", "log-odds 79.25, float64: loss -inf, slope -1"),
        (
            26,
            "life-cycle",
            "beta = 0.999999: `create` failed without a message (code 3); what lies in the declared range",
        ),
        (
            32,
            "life-cycle",
            "beta = 0.999999: `create` failed: panicked: index out of bounds; what lies in the declared range",
        ),
        (33, "life-cycle", "sigmoid head: `create` failed: panicked: index out of bounds"),
        (27, "float32", "loss 80.06699 in float32, 79.98699951171875 in float64"),
        (28, "handshake", "declares parameter `beta` twice"),
    ] {
        let (report, code) = faulty(fault, &[]);
        let (verdict, what) = finding(&report, name);
        assert_eq!((code, &report["passed"], verdict), (1, &false.into(), "failed"), "fault {fault}: {report:#}");
        contains(what, &[said]);
    }
}

#[test]
fn faults_of_one_kind_fail_no_other_check() {
    for (fault, name) in [(13, "derivative"), (15, "threads"), (17, "continuity"), (22, "instances"), (27, "float32")] {
        let (report, _) = faulty(fault, &[]);
        let failed = ALL.into_iter().filter(|name| finding(&report, name).0 == "failed").collect::<Vec<_>>();
        assert_eq!(failed, [name], "fault {fault}: {report:#}");
    }
}

#[test]
fn what_ends_the_process_is_told_by_signal_and_step() {
    for (fault, name, said) in [
        (16, "buffers", ["died by SIGSEGV, at: eval_f64, n = 1, softmax head", "memory that is not its own"]),
        (18, "buffers", ["where what follows `log_odds` must not be touched", "read or wrote outside of its buffers"]),
        (21, "out-of-range", ["ended the process with exit code 0, at: ", "beta = -1; a plugin must return, not exit"]),
    ] {
        let (report, code) = faulty(fault, &[]);
        assert_eq!((code, finding(&report, name).0), (1, "failed"), "{report:#}");
        contains(finding(&report, name).1, &said);
        assert_eq!(finding(&report, "extensions"), ("not-run", "an earlier failure leaves nothing to check"));
    }
    let folder = c_plugin("throwing", "throwing.cpp", "UNUSED");
    let (report, code) = check(&folder.path().join("libtoolkit_loss_throwing.so"), &[]);
    assert_eq!(code, 1);
    contains(
        finding(&report, "buffers").1,
        &["died by SIGABRT", "a panic, C++ exception or assertion left the plugin"],
    );
}

#[test]
fn what_never_returns_is_ended() {
    for (fault, name, step) in
        [(12, "buffers", "at: eval_f64, n = 1"), (29, "handshake", "did not return within 1.5 s")]
    {
        let began = Instant::now();
        let (report, code) = faulty(fault, &["--timeout", "1.5"]);
        assert_eq!(code, 1);
        contains(finding(&report, name).1, &["did not return within 1.5 s", step]);
        assert!(began.elapsed() > Duration::from_millis(1500));
    }
}

#[test]
fn a_kink_is_a_note() {
    let (report, code) = faulty(23, &[]);
    assert_eq!(code, 0, "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    let notes = &checks.iter().find(|check| check["check"] == "continuity").unwrap()["notes"];
    contains(
        notes[0].as_str().unwrap(),
        &["the slope jumps from -1.000000 to -0.500000 at log-odds 0.300000 (p = 0.5744)"],
    );
    assert_eq!(notes.as_array().unwrap().len(), 1, "{notes}");
}

#[test]
fn a_loss_may_be_for_one_head() {
    let (report, code) = faulty(30, &[]);
    assert_eq!(code, 0, "{report:#}");
    let life_cycle = &report["checks"][3];
    contains(life_cycle["notes"][0].as_str().unwrap(), &["no sigmoid head: `create` failed: it needs a softmax head"]);
    contains(life_cycle["said"].as_str().unwrap(), &["instances for the softmax head, with"]);
}

#[test]
fn a_panic_is_contained_and_named() {
    let folder = panicking_plugin();
    let (report, code) = check(&folder.path().join("libtoolkit_loss_panicking_loss.so"), &[]);
    assert_eq!(code, 1);
    contains(finding(&report, "buffers").1, &["`eval_f64` failed: panicked: asked once too often"]);
}

#[test]
fn a_file_under_another_name_fails_that_check_alone() {
    let folder = plugin_folder("mine", &plugin("focal"));
    let (report, code) = check(&folder.path().join("libtoolkit_loss_mine.so"), &[]);
    assert_eq!(code, 1);
    let (verdict, said) = finding(&report, "name");
    assert_eq!(verdict, "failed");
    contains(said, &["its id is `focal`", "it is named libtoolkit_loss_focal.so"]);
    assert_eq!(finding(&report, "extensions").0, "passed");
}

#[test]
fn parameters_and_counts_are_flags() {
    let help = succeeds(toolkit().args(["losses", "check", "eureka", "--help"]));
    contains(&help, &["Usage: toolkit losses check", "--beta <NUMBER>", "--timeout <SECONDS>"]);
    contains(&succeeds(toolkit().args(["losses", "check", "--help"])), &["<PATH|ID>", "Exit code 0"]);
    let words = ["losses", "check", "eureka", "--beta", "0.5", "--class-counts", "7,3,1", "--json"];
    let report = json(toolkit().args(words));
    contains(finding(&report, "finite").1, &["for 3 classes"]);

    let fails = |words: &str| fails(toolkit().args(["losses", "check"]).args(words.split(' ')), 2);
    contains(&fails("eureka --betta 0.5"), &["'--betta'", "'--beta'"]);
    contains(&fails("eureka --beta 1"), &["--beta", "`1` is not a number ≥ 0 and < 1"]);
    contains(&fails("eureka --class-counts 7,0"), &["--class-counts", "`0`, number 2 of the list (class 1)"]);
    contains(&fails("eureka --timeout 0"), &["--timeout", "above 0"]);
    contains(&fails("eurka"), &["no loss `eurka`, did you mean `eureka`?"]);
    contains(&fails("./no/such.so"), &["./no/such.so: no such file"]);
    contains(&fails("--json"), &["<PATH|ID>"]);
}
