//! Plugins as files: found and forgotten without a rebuild, written in C, and every way to be broken.

mod support;

use std::f64::consts::LN_2;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{
    Command, c_plugin, c_plugin_of, contains, entries, example_plugin, fails, folder_beside_build, json,
    panicking_plugin, plugin, plugin_folder, process, succeeds, toolkit, toolkit_alone,
};

/// `losses eval` of two examples with plugins from `folder`.
fn eval(id: &str, folder: &Path, more: &[&str]) -> Command {
    let mut command = toolkit();
    command.args(["losses", "eval", id, "--class-counts", "625,16", "--log-odds", "0.12,0.3", "--class", "0,1"]);
    command.arg("--plugin-dir").arg(folder).args(more);
    command
}

#[test]
fn a_plugin_in_c_is_a_loss_with_flags() {
    let folder = example_plugin("c-margin", "c/margin.c");
    let results = json(&mut eval("c-margin", folder.path(), &["--largest-margin", "0.3", "--json"]));
    // Margins 0.3·(625^-¼, 16^-¼) / 16^-¼ = 0.12 and 0.3: −log p of log-odds 0, 0.18, −0.18 and 0.
    let margins = [0.12, 0.3];
    for (at, result) in results.as_array().unwrap().iter().enumerate() {
        let m: f64 = [0.12, 0.3][at / 2] - margins[at % 2];
        let want = [(-m).exp().ln_1p(), -1.0 / (1.0 + m.exp())];
        for (name, want) in ["loss", "slope"].into_iter().zip(want) {
            let got = result[name].as_f64().unwrap();
            assert!((got - want).abs() < 1e-15, "{name} {got} is not {want}");
        }
    }
    assert!((results[0]["loss"].as_f64().unwrap() - LN_2).abs() < 1e-15);

    let help = succeeds(&mut eval("c-margin", folder.path(), &["--help"]));
    contains(&help, &["--largest-margin <NUMBER>", "the margin of the rarest class", "[default: 0.5]"]);
    let message = fails(&mut eval("c-margin", folder.path(), &["--largest-margin", "-1"]), 2);
    contains(&message, &["--largest-margin", "`-1` is not a number ≥ 0"]);
}

#[test]
fn what_breaks_the_contract_is_refused() {
    let results = "both must be written and finite";
    for (fault, code, said) in [
        (1, 2, ["is not a loss plugin's", "magic"]),
        (2, 2, ["was built for ABI 9.0", "this toolkit speaks 1.0"]),
        (3, 2, ["its structs have 24", "damaged header"]),
        (4, 1, ["loss `faulty`", "returned 0, which is no success"]),
        (5, 1, ["class 0 it gave loss NaN and slope -1", results]),
        (6, 1, ["log-odds 0.3, class 1 it gave loss NaN and slope NaN", results]),
        (7, 2, ["lacks the entry point", "eval_f64"]),
        (8, 1, ["loss `faulty`, prepare", "too few classes"]),
        (9, 2, ["parameter `beta`: its default 2", "> 0 and < 1"]),
    ] {
        let folder = c_plugin("faulty", "faulty.c", &format!("FAULT={fault}"));
        let message = fails(&mut eval("faulty", folder.path(), &[]), code);
        contains(&message, &said);
        if code == 2 {
            contains(&message, &[folder.path().join("libtoolkit_loss_faulty.so").to_str().unwrap()]);
        }
    }
}

#[test]
fn a_panic_is_an_error_like_any_other() {
    let folder = panicking_plugin();
    let message = fails(&mut eval("panicking-loss", folder.path(), &[]), 1);
    contains(&message, &["loss `panicking-loss`: ", "panicked: asked once too often"]);
}

#[test]
fn a_file_that_is_no_plugin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libtoolkit_loss_text.so");
    std::fs::write(&file, "a text\n").unwrap();
    let message = fails(&mut eval("text", folder.path(), &[]), 2);
    contains(&message, &[file.to_str().unwrap(), "is not a library that can be loaded"]);

    let folder = c_plugin_of("empty", "int nothing;\n");
    let message = fails(&mut eval("empty", folder.path(), &[]), 2);
    contains(&message, &["libtoolkit_loss_empty.so", "has no symbol `toolkit_loss_plugin`", "toolkit_loss.h"]);

    let folder = plugin_folder("mine", &plugin("eureka"));
    let message = fails(&mut eval("mine", folder.path(), &[]), 2);
    contains(&message, &["says that it is `eureka`", "rename it to libtoolkit_loss_eureka.so"]);
}

#[test]
fn files_and_folders_that_others_may_write_to_are_refused() {
    let folder = plugin_folder("copy", &plugin("eureka"));
    let may = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let file = folder.path().join("libtoolkit_loss_copy.so");
    for open in [folder.path(), &file] {
        may(folder.path(), 0o755);
        may(&file, 0o755);
        may(open, 0o777);
        let refused = format!("anybody may write to {}", open.canonicalize().unwrap().display());
        let message = fails(&mut eval("copy", folder.path(), &[]), 2);
        contains(&message, &[&refused, "`chmod o-w` it"]);
        // Listed, with the reason, so that its owner need not wonder.
        let list = json(toolkit().args(["losses", "list", "--json", "--plugin-dir"]).arg(folder.path()));
        let copy = list.as_array().unwrap().iter().find(|found| found["id"] == "copy").unwrap();
        contains(copy["refused"].as_str().unwrap(), &[&refused]);
    }
}

#[test]
fn one_id_is_one_plugin() {
    let other = plugin_folder("eureka", &plugin("focal"));
    let message = fails(&mut eval("eureka", other.path(), &[]), 2);
    let both = [other.path().join("libtoolkit_loss_eureka.so"), plugin("eureka")];
    contains(&message, &["two plugins for the loss `eureka`", both[0].to_str().unwrap(), both[1].to_str().unwrap()]);
    // A copy of the same build is no contradiction.
    let copy = plugin_folder("eureka", &plugin("eureka"));
    succeeds(&mut eval("eureka", copy.path(), &[]));
}

#[test]
fn a_file_makes_a_loss_known_and_its_removal_unknown() {
    let (program, plugins) = (folder_beside_build(), tempfile::tempdir().unwrap());
    let alone = toolkit_alone(program.path());
    let alone = |words: &[&str]| {
        let mut command = Command::from_std(process(&alone));
        command.env("TOOLKIT_PLUGIN_PATH", plugins.path()).args(words);
        command
    };
    let known = || json(&mut alone(&["losses", "list", "--json"]));
    let eval = ["losses", "eval", "eureka", "--class-counts", "3,1", "--log-odds", "0", "--class", "0"];
    assert_eq!(known(), serde_json::json!([]));
    let message = fails(&mut alone(&eval), 2);
    contains(&message, &["no loss `eureka`; found: none", plugins.path().to_str().unwrap(), "`cargo build`"]);
    contains(&succeeds(&mut alone(&["losses", "list"])), &["no plugins found", plugins.path().to_str().unwrap()]);

    let file = plugins.path().join("libtoolkit_loss_eureka.so");
    std::fs::copy(plugin("eureka"), &file).unwrap();
    assert_eq!(known()[0]["path"], file.to_str().unwrap());
    succeeds(&mut alone(&eval));

    std::fs::remove_file(&file).unwrap();
    assert_eq!(known(), serde_json::json!([]));
    contains(&fails(&mut alone(&eval), 2), &["no loss `eureka`"]);

    // Installed as <prefix>/bin/toolkit with <prefix>/lib/toolkit.
    let prefix = folder_beside_build();
    for folder in ["bin", "lib/toolkit"] {
        std::fs::create_dir_all(prefix.path().join(folder)).unwrap();
    }
    let installed = toolkit_alone(&prefix.path().join("bin"));
    std::fs::copy(plugin("eureka"), prefix.path().join("lib/toolkit/libtoolkit_loss_eureka.so")).unwrap();
    succeeds(Command::from_std(process(&installed)).args(eval));
}

#[test]
fn the_working_directory_is_not_searched() {
    let folder = example_plugin("c-margin", "c/margin.c");
    let list = succeeds(toolkit().current_dir(folder.path()).env("TOOLKIT_PLUGIN_PATH", ".").args(["losses", "list"]));
    assert!(!list.contains("c-margin"), "{list}");
    assert_eq!(entries(folder.path()), ["libtoolkit_loss_c_margin.so"]);
    // Unless it is asked for.
    contains(&succeeds(toolkit().current_dir(folder.path()).args(["losses", "list", "--plugin-dir=."])), &["c-margin"]);
}

#[test]
fn a_plugin_folder_that_is_not_there_is_named() {
    let message = fails(toolkit().args(["losses", "list", "--plugin-dir", "no/such"]), 2);
    contains(&message, &["--plugin-dir no/such", "is not a folder"]);
}
