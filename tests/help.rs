//! Help, and what is said where the command line itself is wrong.

mod support;

#[cfg(feature = "training")]
use std::path::Path;

use support::{contains, fails, succeeds, toolkit};

#[test]
fn every_command_explains_itself() {
    let mut commands = vec!["toolkit", "toolkit losses", "toolkit losses list", "toolkit losses eval"];
    commands.extend(["toolkit eval", "toolkit eval dialogue", "toolkit eval longtail", "toolkit bench losses"]);
    commands.extend(["toolkit runs", "toolkit report"]);
    commands.extend(["toolkit losses show", "toolkit losses apply", "toolkit losses plot", "toolkit losses check"]);
    commands.extend(["toolkit losses new", "toolkit losses install", "toolkit losses remove"]);
    if cfg!(feature = "training") {
        commands.extend(["toolkit vision", "toolkit vision evaluate", "toolkit vision predict", "toolkit vision plot"]);
        commands.extend(["toolkit vision export", "toolkit data", "toolkit data fetch", "toolkit data describe"]);
        commands.extend(["toolkit dialogue", "toolkit dialogue evaluate"]);
        commands.extend(["toolkit dialogue generate", "toolkit dialogue chat"]);
    }
    for command in commands {
        let help = succeeds(toolkit().args(command.split(' ').skip(1)).arg("--help"));
        contains(&help, &[&format!("Usage: {command} "), "--help"]);
    }
    contains(&succeeds(toolkit().arg("--version")), &["toolkit ", env!("CARGO_PKG_VERSION")]);
}

#[test]
fn the_parameters_of_the_loss_are_in_its_help() {
    let help = succeeds(toolkit().args(["losses", "eval", "eureka", "--help"]));
    contains(&help, &["--beta", "a number ≥ 0 and < 1", "[default: 0.9999]", "--weight-scale", "max-one"]);
    assert!(!succeeds(toolkit().args(["losses", "eval", "focal", "--help"])).contains("--beta"));
}

#[cfg(feature = "training")]
#[test]
fn both_losses_of_a_training_have_their_flags() {
    let help = succeeds(toolkit().args(["dialogue", "--loss", "eureka", "--base-loss", "focal", "--help"]));
    contains(&help, &["Loss eureka:", "--beta", "Loss focal:", "--base-gamma", "--recipe", "--resume"]);
    assert!(!help.contains("--base-beta") && !help.contains("--gamma"));
}

/// No parameter of a loss that comes with the toolkit has the name of a task's own flag, for the loss or the base loss.
#[cfg(feature = "training")]
#[test]
fn every_task_takes_the_flags_of_every_loss() {
    let plugins = support::every_plugin();
    for id in support::entries(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/plugins"))) {
        let id = id.to_str().unwrap();
        for task in ["dialogue", "vision", "detection"] {
            let mut command = toolkit();
            command.args([task, "--loss", id, "--base-loss", id, "--help", "--plugin-dir"]);
            contains(&succeeds(command.arg(plugins.path())), &[&format!("Usage: toolkit {task} ")]);
        }
    }
}

#[test]
fn without_a_command_the_help_is_an_error() {
    for words in [&[][..], &["losses"], &["eval"]] {
        contains(&fails(toolkit().args(words), 2), &["Usage: toolkit", "Commands:"]);
    }
}

#[test]
fn the_nearest_name_is_suggested() {
    contains(&fails(toolkit().arg("loses"), 2), &["'loses'", "'losses'"]);
    contains(&fails(toolkit().args(["losses", "list", "--jsn"]), 2), &["'--jsn'", "'--json'"]);
    if cfg!(feature = "training") {
        let message = fails(toolkit().args(["dialogue", "--hiden", "3"]), 2);
        contains(&message, &["'--hiden'", "'--hidden'", "Usage: toolkit dialogue [OPTIONS]"]);
        let message = fails(toolkit().args(["dialogue", "--loss", "eureka", "--betta", ".9"]), 2);
        contains(&message, &["'--betta'", "'--beta'"]);
        contains(&fails(toolkit().args(["dialogue", "--recipe", "smal"]), 2), &["--recipe", "small", "paper"]);
    }
}
