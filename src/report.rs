//! `toolkit report`: one page that compares runs.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use imbalance_evaluation::report::{ReportRequest, report};
use serde_json::json;

use crate::output::write_whole;

/// The subcommand.
pub fn command() -> Command {
    Command::new("report")
        .about("Compare runs on one HTML page: settings, curves, scores, significance, pictures")
        .arg(
            Arg::new("run")
                .value_name("RUN")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Run folders, or folders that hold some, such as a sweep's; of any task"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE.html")
                .default_value("report.html")
                .value_parser(value_parser!(PathBuf))
                .help("The page; it needs no other file and no network"),
        )
        .arg(Arg::new("title").long("title").value_name("TEXT").help("Title of the page [default: the names of RUN]"))
        .arg(
            Arg::new("bootstrap")
                .long("bootstrap")
                .value_name("N")
                .default_value("2000")
                .value_parser(value_parser!(u32))
                .help("Resample the test examples so often, to tell how sure differences are; 0 for not at all"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print groups, settings, scores and tests as JSON too"),
        )
}

/// Runs `toolkit report`: writes the page, and what it holds to standard output.
///
/// # Errors
/// A folder that is no run and holds none, runs without anything to compare, a page that cannot be written.
pub fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let runs: Vec<PathBuf> = matches.get_many("run").into_iter().flatten().cloned().collect();
    let output = matches.get_one::<PathBuf>("output").cloned().unwrap_or_default();
    let given = matches.get_one::<String>("title").cloned();
    let named = || runs.iter().map(|run| run.display().to_string()).collect::<Vec<_>>().join(", ");
    let resamples = matches.get_one::<u32>("bootstrap").copied().unwrap_or_default() as usize;
    let title = given.unwrap_or_else(named);
    let made = report(&ReportRequest { runs, title, resamples })?;
    write_whole(&output, made.html.as_bytes())?;
    for left_out in &made.left_out {
        eprintln!("warning: {left_out}");
    }
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        let summary = json!({"page": output, "left_out": made.left_out, "tasks": made.summary});
        writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?;
    } else {
        let megabytes = made.html.len() as f64 / 1e6;
        writeln!(out, "{}: {} runs in {} groups, {megabytes:.1} MB", output.display(), made.runs, made.groups)?;
    }
    Ok(out.flush()?)
}
