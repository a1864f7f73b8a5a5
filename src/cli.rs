//! The command tree, and the step before clap that lets a loss add its flags.

use std::ffi::OsString;

use clap::{Args as _, Command, FromArgMatches as _};

use crate::bench;
use crate::eval::{self, EvalArgs};
use crate::{losses, manual, report, runs};

/// The whole command, without the flags of any particular loss.
pub fn command() -> Command {
    let command = Command::new("toolkit")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Trains and evaluates on imbalanced data, with losses loaded at run time")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(100);
    #[cfg(feature = "training")]
    let command = command
        .subcommand(crate::dialogue::command())
        .subcommand(crate::vision::command())
        .subcommand(crate::detection::command())
        .subcommand(crate::data::command())
        .subcommand(crate::reproduce::command());
    command
        .subcommand(losses::command())
        .subcommand(eval_command())
        .subcommand(runs::command())
        .subcommand(report::command())
        .subcommand(bench::command())
        .subcommand(manual::completions_command())
        .subcommand(manual::man_command())
}

fn eval_command() -> Command {
    EvalArgs::augment_args(Command::new("eval")).about("Score the outputs of any system").long_about(None)
}

/// Runs the command that `args` (the program's name first) ask for.
pub fn run(args: Vec<OsString>) -> anyhow::Result<()> {
    let verb = args.get(1).and_then(|verb| verb.to_str()).unwrap_or_default().to_owned();
    match verb.as_str() {
        "losses" => losses::run(&args),
        #[cfg(feature = "training")]
        "dialogue" => crate::dialogue::run(args.get(2..).unwrap_or_default()),
        #[cfg(feature = "training")]
        "vision" => crate::vision::run(args.get(2..).unwrap_or_default()),
        #[cfg(feature = "training")]
        "detection" => crate::detection::run(args.get(2..).unwrap_or_default()),
        _ => {
            let matches = command().try_get_matches_from(&args)?;
            match matches.subcommand() {
                Some(("eval", matches)) => eval::run(&EvalArgs::from_arg_matches(matches)?),
                Some(("runs", matches)) => runs::run(matches),
                Some(("report", matches)) => report::run(matches),
                Some(("bench", matches)) => bench::run(matches),
                Some(("completions", matches)) => manual::completions(matches),
                Some(("man", matches)) => manual::man(matches),
                #[cfg(feature = "training")]
                Some(("data", matches)) => crate::data::run(matches),
                #[cfg(feature = "training")]
                Some(("reproduce", matches)) => crate::reproduce::run(matches),
                _ => Ok(()),
            }
        }
    }
}
