//! `toolkit losses`: what losses there are, and what they compute.

use std::ffi::OsString;
use std::io::Write as _;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_core::host::SearchPath;
use imbalance_core::{ClassCounts, Head};
use serde_json::json;

use crate::failure::UsageError;
use crate::loss_flags::{LossFlags, peek, plugin_dir_arg, search_path};

/// The subcommand without the flags of any particular loss.
pub fn command() -> Command {
    Command::new("losses")
        .about("The losses that plugins provide")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about("The plugins found, and where").arg(json_arg()).arg(plugin_dir_arg()))
        .subcommand(eval_command())
}

fn json_arg() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")
}

fn eval_command() -> Command {
    Command::new("eval")
        .about("A loss and its derivative by the log-odds, in float64")
        .after_help(
            "The loss's own parameters are flags too: `toolkit losses eval eureka --help` shows those of eureka.\n\
             One result for each pair of a log-odds and a class.",
        )
        .arg(Arg::new("id").value_name("ID").required(true).help("The loss"))
        .arg(
            Arg::new("class-counts")
                .long("class-counts")
                .value_name("N,N,…")
                .required(true)
                .value_delimiter(',')
                .value_parser(clap::value_parser!(u64))
                .help("Training examples of each class"),
        )
        .arg(
            Arg::new("log-odds")
                .long("log-odds")
                .value_name("M,M,…")
                .required(true)
                .value_delimiter(',')
                .allow_hyphen_values(true)
                .value_parser(finite)
                .help("Log-odds of the true class"),
        )
        .arg(
            Arg::new("class")
                .long("class")
                .value_name("C,C,…")
                .required(true)
                .value_delimiter(',')
                .value_parser(clap::value_parser!(u32))
                .help("True classes, counted from 0"),
        )
        .arg(
            Arg::new("head")
                .long("head")
                .value_name("HEAD")
                .value_parser(["softmax", "sigmoid"])
                .default_value("softmax")
                .help("The head whose defaults the parameters take"),
        )
        .arg(json_arg())
        .arg(plugin_dir_arg())
}

fn finite(typed: &str) -> Result<f64, String> {
    typed.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| "not a finite number".to_owned())
}

/// Adds the flags of the loss that `args` (what follows `losses`) evaluate.
pub fn with_loss_flags(command: Command, args: &[OsString]) -> anyhow::Result<(Command, Option<LossFlags>)> {
    if args.first().is_none_or(|verb| verb != "eval") {
        return Ok((command, None));
    }
    let Some(id) = args[1..].first().and_then(|id| id.to_str()).filter(|id| !id.starts_with('-')) else {
        return Ok((command, None));
    };
    let head = match peek(args, "head").last() {
        Some(&"sigmoid") => Head::Sigmoid,
        _ => Head::Softmax,
    };
    let flags = LossFlags::open(&search_path(args)?, id, "", head)?;
    let eval = flags.add_to(eval_command())?;
    Ok((command.mut_subcommand("eval", |_| eval), Some(flags)))
}

/// Runs `toolkit losses …`.
pub fn run(matches: &ArgMatches, flags: Option<LossFlags>, search: &SearchPath) -> anyhow::Result<()> {
    match (matches.subcommand(), flags) {
        (Some(("list", matches)), _) => list(search, matches.get_flag("json")),
        (Some(("eval", matches)), Some(flags)) => eval(matches, &flags),
        _ => Err(UsageError("the loss comes first: toolkit losses eval ID …".into()).into()),
    }
}

fn list(search: &SearchPath, json: bool) -> anyhow::Result<()> {
    let found = search.list();
    let mut out = std::io::stdout().lock();
    if json {
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

fn eval(matches: &ArgMatches, flags: &LossFlags) -> anyhow::Result<()> {
    let all = |name: &str| matches.get_many::<f64>(name).into_iter().flatten().copied().collect::<Vec<_>>();
    let counts: Vec<u64> = matches.get_many("class-counts").into_iter().flatten().copied().collect();
    let ids: Vec<u32> = matches.get_many("class").into_iter().flatten().copied().collect();
    if let Some(class) = ids.iter().find(|&&class| class as usize >= counts.len()) {
        return Err(UsageError(format!(
            "--class {class}: --class-counts names {} classes, 0 to {}",
            counts.len(),
            counts.len() - 1
        ))
        .into());
    }
    let head = if matches.get_one::<String>("head").is_some_and(|head| head == "sigmoid") {
        Head::Sigmoid
    } else {
        Head::Softmax
    };
    let classes = ClassCounts::new(counts).map_err(|error| UsageError(error.to_string())).context("--class-counts")?;
    let loss = flags.choice(matches)?.make(head, &classes)?;
    let (log_odds, targets): (Vec<f64>, Vec<u32>) =
        all("log-odds").into_iter().flat_map(|m| ids.iter().map(move |&class| (m, class))).unzip();
    let (mut value, mut slope) = (vec![0.0; log_odds.len()], vec![0.0; log_odds.len()]);
    loss.eval(&log_odds, &targets, &mut value, &mut slope)?;
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        let entries: Vec<_> = (0..log_odds.len())
            .map(|i| json!({ "log_odds": log_odds[i], "class": targets[i], "loss": value[i], "slope": slope[i] }))
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&entries)?)?;
    } else {
        writeln!(out, "{:>12} {:>6} {:>24} {:>24}", "log-odds", "class", "loss", "slope")?;
        for i in 0..log_odds.len() {
            writeln!(out, "{:>12} {:>6} {:>24} {:>24}", log_odds[i], targets[i], value[i], slope[i])?;
        }
    }
    Ok(())
}
