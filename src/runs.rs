//! `toolkit runs`: the runs in a folder, and where they are.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use imbalance_evaluation::report::{status_table, statuses};

/// The subcommand.
pub fn command() -> Command {
    Command::new("runs")
        .about("List the runs in a folder: what they train, how far they are, their best validation")
        .arg(
            Arg::new("folder")
                .value_name("FOLDER")
                .default_value("runs")
                .value_parser(value_parser!(PathBuf))
                .help("Folder of runs, sweeps included"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print a JSON list, with times in seconds"))
}

/// Runs `toolkit runs`: the list on standard output, the run that was written to last at the end.
///
/// # Errors
/// A folder that cannot be read.
pub fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let folder = matches.get_one::<PathBuf>("folder").cloned().unwrap_or_default();
    let runs = statuses(&folder)?;
    let mut output = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(output, "{}", serde_json::to_string_pretty(&runs)?)?;
    } else if runs.is_empty() {
        eprintln!("{} holds no runs", folder.display());
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
        write!(output, "{}", status_table(&runs, now))?;
    }
    Ok(output.flush()?)
}
