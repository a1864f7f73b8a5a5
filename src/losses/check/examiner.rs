//! The process that opens the plugin and runs the checks. Before each step it says, through a socket on its standard
//! input, what it is about to do.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::parser::ValueSource;
use imbalance_core::Head;
use imbalance_core::host::Plugin;
use imbalance_core::host::conformance::{self, Event, Options};
use serde_json::{Value, json};

use super::super::class_counts;
use crate::loss_flags::LossFlags;

/// Set, to anything, in this process.
pub const MARK: &str = "TOOLKIT_LOSSES_CHECK_EXAMINER";

/// Whether this process is the one that opens the plugin.
pub fn is_this_process() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Examines the plugin at `path`; `args` are the command's, from `check` on.
///
/// # Errors
/// The other process is gone.
pub fn run(path: &Path, args: &[OsString]) -> anyhow::Result<()> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().context("standard input is closed")?;
    let socket = UnixStream::from(input);
    let send = |message: Value| {
        if writeln!(&socket, "{message}").is_err() {
            // Nobody listens any more.
            std::process::exit(1);
        }
    };
    let mut tell = |event: Event| send(json!({ "event": event }));
    let Some(plugin) = conformance::open(path, &mut tell) else {
        send(json!("done"));
        return Ok(());
    };
    let (major, minor) = plugin.abi();
    send(json!({ "about": {
        "id": plugin.id(), "version": plugin.version(), "sha256": plugin.sha256(), "abi": format!("{major}.{minor}"),
    } }));
    let plugin = Arc::new(plugin);
    match options(&plugin, args) {
        Ok(options) => conformance::examine(&plugin, &options, &mut tell),
        Err(error) => {
            let usage = match error.downcast_ref::<clap::Error>() {
                Some(clap) => json!({ "text": clap.render().to_string(), "help": !clap.use_stderr() }),
                None => json!({ "text": format!("error: {error:#}\n"), "help": false }),
            };
            send(json!({ "usage": usage }));
        }
    }
    send(json!("done"));
    Ok(())
}

/// What `args` ask for, now that the plugin's parameters are known.
fn options(plugin: &Arc<Plugin>, args: &[OsString]) -> anyhow::Result<Options> {
    let flags = LossFlags::of(Arc::clone(plugin), "", Head::Softmax);
    let check = flags.add_to(super::command())?;
    let losses = super::super::command().mut_subcommand("check", |_| check);
    let command = crate::cli::command().mut_subcommand("losses", |_| losses);
    let words = [&["toolkit".into(), "losses".into()], args].concat();
    let matches = command.try_get_matches_from(words)?;
    let matches = matches.subcommand().and_then(|(_, losses)| losses.subcommand_matches("check")).cloned();
    let matches = matches.unwrap_or_default();
    let counts = matches.contains_id("class-counts").then(|| class_counts(&matches)).transpose()?;
    // Only what was typed: each head has defaults of its own.
    let mut params = flags.choice(&matches)?.params;
    params.retain(|(name, _)| matches.value_source(name) == Some(ValueSource::CommandLine));
    Ok(Options { params, counts })
}
