//! `toolkit losses check`: does a plugin keep the contract of the ABI?
//!
//! The checks run in a process of their own, this same command started once more, since a plugin that breaks the
//! contract may crash or never return. Opening the plugin, which its parameters' flags need, is done over there too.

mod examiner;
mod report;
mod supervisor;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, Command};
use imbalance_core::host::SearchPath;

use super::{class_counts_arg, json_arg};
use crate::failure::UsageError;
use crate::loss_flags::{plugin_dir_arg, search_path};

/// Seconds that one check may take, unless `--timeout` says otherwise.
const TIMEOUT: f64 = 20.0;

/// The verb's flags, without those of any particular loss.
pub fn command() -> Command {
    Command::new("check")
        .about("Whether a plugin keeps the contract: ABI, derivative, buffers, threads, …")
        .after_help(
            "The checks run in a process of their own, so that a plugin which crashes or never returns is told of too. \
             The loss's own parameters are flags: `toolkit losses check eureka --beta 0.5`. Without them both heads' \
             defaults are checked, and always the edges of every parameter's range.\n\n\
             Exit code 0: every check passed; 1: at least one failed.",
        )
        .arg(
            Arg::new("target")
                .value_name("PATH|ID")
                .required(true)
                .help("A plugin's file, or the id of a loss that is found"),
        )
        .arg(class_counts_arg().help("Training examples of each class [default: long-tailed CIFAR-10, 5000 to 50]"))
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .default_value(TIMEOUT.to_string())
                .value_parser(seconds)
                .help("A check that takes longer has failed"),
        )
        .arg(json_arg())
        .arg(plugin_dir_arg())
}

fn seconds(typed: &str) -> Result<f64, String> {
    let value = typed.parse().ok().filter(|value: &f64| *value > 0.0 && *value <= 86400.0);
    value.ok_or_else(|| "not a number of seconds above 0 and at most 86400".to_owned())
}

/// Checks `target`, a plugin's file or id. `args` are the command's, from `check` on.
///
/// # Errors
/// There is no such file or loss, wrong usage, or a check that failed.
pub fn run(target: &str, args: &[OsString]) -> anyhow::Result<()> {
    let path = file_of(target, &search_path(args)?)?;
    if examiner::is_this_process() { examiner::run(&path, args) } else { supervisor::run(&path, args) }
}

/// The file that `target`, a path or an id, names; opens nothing.
///
/// # Errors
/// An id that is not found, or no such file.
fn file_of(target: &str, search: &SearchPath) -> anyhow::Result<PathBuf> {
    if !target.contains('/') && !target.ends_with(".so") {
        return Ok(search.find(target)?);
    }
    plugin_file(Path::new(target))
}

/// `path` made absolute, since the dynamic linker looks for a name without a slash in its own folders.
///
/// # Errors
/// There is no such file.
pub fn plugin_file(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_file() {
        let said = format!("{}: no such file; give the file of a plugin (libtoolkit_loss_….so)", path.display());
        return Err(UsageError(said).into());
    }
    std::path::absolute(path).with_context(|| format!("{} cannot be read", path.display()))
}
