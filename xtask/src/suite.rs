//! `cargo xtask test`: the whole test suite.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::cargo;

/// Options of `cargo test` that the build before it must have too, so that it builds into the folder
/// that the tests look for plugins in; and whether a value follows.
const BUILD_OPTIONS: [(&str, bool); 10] = [
    ("--release", false),
    ("-r", false),
    ("--profile", true),
    ("--target-dir", true),
    ("--target", true),
    ("--jobs", true),
    ("-j", true),
    ("--offline", false),
    ("--locked", false),
    ("--frozen", false),
];

/// Options that select what is tested. With one of them the user wants that and nothing else.
const SELECTIONS: [&str; 16] = [
    "-p",
    "--package",
    "--workspace",
    "--all",
    "--exclude",
    "--lib",
    "--bin",
    "--bins",
    "--test",
    "--tests",
    "--example",
    "--examples",
    "--doc",
    "--features",
    "--no-default-features",
    "--all-features",
];

/// Builds everything, so that the plugins (which no test links) lie beside the toolkit, and runs the
/// tests of the workspace, then those of the toolkit without libtorch. `args` go to `cargo test`.
/// Returns cargo's exit code, of the first step that fails.
///
/// # Errors
/// Cargo cannot be started.
pub fn run(args: &[OsString]) -> Result<u8> {
    for step in steps(args) {
        let status = cargo::command().args(&step).status().context("cannot start cargo")?;
        if !status.success() {
            return Ok(cargo::exit_code(status));
        }
    }
    Ok(0)
}

/// The long tests, in release mode. Returns cargo's exit code.
///
/// # Errors
/// Cargo cannot be started.
pub fn soak(args: &[OsString]) -> Result<u8> {
    let words = ["test", "--release", "--package", "toolkit", "--test", "soak", "--", "--ignored", "--nocapture"];
    let status = cargo::command().args(words).args(args).status().context("cannot start cargo")?;
    Ok(cargo::exit_code(status))
}

/// The arguments of the cargo calls, in order.
fn steps(args: &[OsString]) -> Vec<Vec<OsString>> {
    let step = |words: &[&str], more: &[OsString]| {
        let words = words.iter().map(OsString::from);
        words.chain(more.iter().cloned()).collect::<Vec<_>>()
    };
    // `--all-targets` makes cargo unify features as the tests do; without it, crates that the tests'
    // own dependencies share with the others would be compiled twice.
    let build = step(&["build", "--workspace", "--all-targets"], &build_options(args));
    if selects(args) {
        return vec![build, step(&["test"], args)];
    }
    // The last tests leave a toolkit without libtorch behind; nothing is compiled to undo that.
    let mut put_back = build.clone();
    put_back.push("--quiet".into());
    vec![
        build,
        step(&["test", "--workspace"], args),
        step(&["test", "--package", "toolkit", "--no-default-features"], args),
        put_back,
    ]
}

/// The options among `args` that are cargo's, not those of the test programs behind `--`.
fn of_cargo(args: &[OsString]) -> impl Iterator<Item = &str> {
    args.iter().take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str())
}

fn selects(args: &[OsString]) -> bool {
    of_cargo(args).any(|arg| {
        let name = arg.split('=').next().unwrap_or(arg);
        SELECTIONS.contains(&name) || (arg.starts_with("-p") && !arg.starts_with("--"))
    })
}

fn build_options(args: &[OsString]) -> Vec<OsString> {
    let mut options = Vec::new();
    let mut args = of_cargo(args).peekable();
    while let Some(arg) = args.next() {
        for (name, takes_value) in BUILD_OPTIONS {
            if arg == name {
                options.push(arg.into());
                if takes_value {
                    options.extend(args.next().map(OsString::from));
                }
            } else if takes_value && is_joined(arg, name) {
                options.push(arg.into());
            }
        }
    }
    options
}

/// Whether `arg` is option `name` with its value: `--profile=ci` or `-j4`.
fn is_joined(arg: &str, name: &str) -> bool {
    let long = name.starts_with("--");
    arg.strip_prefix(name).is_some_and(|value| !value.is_empty() && (!long || value.starts_with('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_of(args: &[&str]) -> Vec<String> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let join = |step: Vec<OsString>| step.join(" ".as_ref()).to_string_lossy().into_owned();
        steps(&args).into_iter().map(join).collect()
    }

    #[test]
    fn everything_is_built_and_tested_with_and_without_libtorch() {
        let steps = steps_of(&["--release", "-j", "1", "focal", "--", "--test-threads", "1"]);
        assert_eq!(
            steps[..3],
            [
                "build --workspace --all-targets --release -j 1",
                "test --workspace --release -j 1 focal -- --test-threads 1",
                "test --package toolkit --no-default-features --release -j 1 focal -- \
                 --test-threads 1",
            ]
        );
    }

    #[test]
    fn a_selection_is_all_that_is_tested() {
        for selection in ["-pimbalance-core", "--package=toolkit", "--lib", "--test=cli"] {
            let steps = steps_of(&[selection]);
            assert_eq!(steps.len(), 2, "{selection}");
            assert_eq!(steps[1], format!("test {selection}"));
        }
    }

    #[test]
    fn what_follows_the_dashes_is_not_cargos() {
        let steps = steps_of(&["--", "--package", "--release"]);
        assert_eq!(steps[0], "build --workspace --all-targets");
        assert_eq!(steps.len(), 4);
    }

    #[test]
    fn joined_values_reach_the_build() {
        let steps = steps_of(&["--profile=ci", "-j4", "--jobs-of-mine"]);
        assert_eq!(steps[0], "build --workspace --all-targets --profile=ci -j4");
    }
}
