//! `toolkit losses list`: the plugins found, and where.

use std::io::Write as _;

use clap::{ArgMatches, Command};
use imbalance_core::host::SearchPath;

use super::json_arg;
use crate::loss_flags::plugin_dir_arg;

/// The verb's flags.
pub fn command() -> Command {
    Command::new("list").about("The plugins found, and where").arg(json_arg()).arg(plugin_dir_arg())
}

/// Prints the plugins on `search`; opens none.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(matches: &ArgMatches, search: &SearchPath) -> anyhow::Result<()> {
    let found = search.list();
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
        return Ok(());
    }
    let width = found.iter().map(|found| found.id.len()).max().unwrap_or(0);
    for plugin in &found {
        writeln!(out, "{:width$}  {}", plugin.id, plugin.path.display())?;
        if let Some(reason) = &plugin.refused {
            writeln!(out, "{:width$}  {reason}", "")?;
        }
    }
    if found.is_empty() {
        writeln!(out, "no plugins found; searched:")?;
        for folder in search.folders() {
            writeln!(out, "  {}", folder.display())?;
        }
    }
    Ok(())
}
