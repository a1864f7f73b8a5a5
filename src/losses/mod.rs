//! `toolkit losses`: what losses there are, what they compute, and tools to make and manage them.
//!
//! One verb a file (or folder), each with a `command()` and a `run(…)`. A verb that takes the parameters of a loss as
//! flags stands in [`VERBS_WITH_LOSS_FLAGS`]; its first argument is the loss.

mod apply;
mod check;
mod eval;
mod gallery;
mod install;
mod list;
mod new;
pub mod plot;
mod remove;
mod show;
pub mod text;

use std::ffi::OsString;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_core::host::SearchPath;
use imbalance_core::{ClassCounts, Head};

use crate::failure::UsageError;
use crate::loss_flags::{LossFlags, peek, search_path};

/// The verbs whose first argument is a loss that adds its parameters as flags.
const VERBS_WITH_LOSS_FLAGS: [&str; 2] = ["eval", "apply"];

/// The subcommand without the flags of any particular loss.
pub fn command() -> Command {
    Command::new("losses")
        .about("The losses that plugins provide, and tools to make and manage them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(list::command())
        .subcommand(show::command())
        .subcommand(eval::command())
        .subcommand(plot::command())
        .subcommand(gallery::command())
        .subcommand(apply::command())
        .subcommand(check::command())
        .subcommand(new::command())
        .subcommand(install::command())
        .subcommand(remove::command())
}

/// Runs `toolkit losses …`; `args` are the whole command line.
///
/// # Errors
/// Wrong usage, or what the verb says.
pub fn run(args: &[OsString]) -> anyhow::Result<()> {
    let rest = args.get(2..).unwrap_or_default();
    if let Some(target) = loss_after("check", rest) {
        return check::run(target, rest);
    }
    let (losses, flags) = with_loss_flags(command(), rest)?;
    let matches = crate::cli::command().mut_subcommand("losses", |_| losses).try_get_matches_from(args)?;
    let verb = matches.subcommand().and_then(|(_, losses)| losses.subcommand());
    verb.map_or(Ok(()), |(verb, matches)| run_verb(verb, matches, flags, rest))
}

fn run_verb(verb: &str, matches: &ArgMatches, flags: Option<LossFlags>, args: &[OsString]) -> anyhow::Result<()> {
    let search = || -> anyhow::Result<SearchPath> { search_path(args) };
    match (verb, flags) {
        ("list", _) => list::run(matches, &search()?),
        ("show", _) => show::run(matches, &search()?),
        ("eval", Some(flags)) => eval::run(matches, &flags),
        ("apply", Some(flags)) => apply::run(matches, &flags),
        ("plot", _) => plot::run(matches, &search()?),
        ("gallery", _) => gallery::run(matches, &search()?),
        ("new", _) => new::run(matches, &search()?),
        ("install", _) => install::run(matches, &search()?),
        ("remove", _) => remove::run(matches, &search()?),
        _ => Err(UsageError(format!("the loss comes first: toolkit losses {verb} ID …")).into()),
    }
}

/// The loss that follows `verb` in `args` (what follows `losses`), if that verb is there.
fn loss_after<'a>(verb: &str, args: &'a [OsString]) -> Option<&'a str> {
    let [first, second, ..] = args else { return None };
    second.to_str().filter(|second| first == verb && !second.starts_with('-'))
}

/// Adds the flags of the loss that `args` (what follows `losses`) name.
fn with_loss_flags(command: Command, args: &[OsString]) -> anyhow::Result<(Command, Option<LossFlags>)> {
    if args.first().is_some_and(|verb| verb == "plot") {
        let plot = plot::with_flags(args, &search_path(args)?)?;
        return Ok((command.mut_subcommand("plot", |_| plot), None));
    }
    let named = VERBS_WITH_LOSS_FLAGS.into_iter().find_map(|verb| loss_after(verb, args).map(|id| (verb, id)));
    let Some((verb, id)) = named else { return Ok((command, None)) };
    let head = match peek(args, "head").last() {
        Some(&"sigmoid") => Head::Sigmoid,
        _ => Head::Softmax,
    };
    let flags = LossFlags::open(&search_path(args)?, id, "", head)?;
    let plain = command.find_subcommand(verb).cloned().unwrap_or_default();
    let with_flags = flags.add_to(plain)?;
    Ok((command.mut_subcommand(verb, |_| with_flags), Some(flags)))
}

fn json_arg() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")
}

fn head_arg() -> Arg {
    Arg::new("head")
        .long("head")
        .value_name("HEAD")
        .value_parser(["softmax", "sigmoid"])
        .default_value("softmax")
        .help("The head whose defaults the parameters take")
}

fn head(matches: &ArgMatches) -> Head {
    match matches.get_one::<String>("head").map(String::as_str) {
        Some("sigmoid") => Head::Sigmoid,
        _ => Head::Softmax,
    }
}

fn class_counts_arg() -> Arg {
    Arg::new("class-counts")
        .long("class-counts")
        .value_name("N,N,…")
        .value_delimiter(',')
        .allow_hyphen_values(true)
        .help("Training examples of each class")
}

/// The counts of [`class_counts_arg`]. Clap reads them as words, so that an error can name the class.
fn class_counts(matches: &ArgMatches) -> anyhow::Result<ClassCounts> {
    let mut counts = Vec::new();
    for (class, typed) in matches.get_many::<String>("class-counts").into_iter().flatten().enumerate() {
        match typed.trim().parse::<u64>() {
            Ok(count) if count > 0 => counts.push(count),
            _ => {
                let said = format!(
                    "--class-counts: `{typed}`, number {} of the list (class {class}), is not a number of training examples: 1, 2, …",
                    class + 1
                );
                return Err(UsageError(said).into());
            }
        }
    }
    ClassCounts::new(counts).map_err(|error| UsageError(error.to_string())).context("--class-counts")
}
