//! `toolkit losses eval`: loss and slope in float64, one entry for each pair of a log-odds and a class.

use std::io::Write as _;

use clap::{Arg, ArgMatches, Command};
use imbalance_core::Head;
use serde_json::json;

use super::{class_counts, class_counts_arg, head, head_arg, json_arg};
use crate::failure::UsageError;
use crate::loss_flags::{LossFlags, plugin_dir_arg};

/// The verb's flags, without those of any particular loss.
pub fn command() -> Command {
    Command::new("eval")
        .about("A loss and its derivative by the log-odds, in float64")
        .after_help(
            "The loss's own parameters are flags too: `toolkit losses eval eureka --help` shows those of eureka.\n\
             One result for each pair of a log-odds and a class.",
        )
        .arg(Arg::new("id").value_name("ID").required(true).help("The loss"))
        .arg(class_counts_arg().required(true))
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
        .arg(head_arg())
        .arg(json_arg())
        .arg(plugin_dir_arg())
}

fn finite(typed: &str) -> Result<f64, String> {
    typed.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| "not a finite number".to_owned())
}

/// Prints the loss of every pair.
///
/// # Errors
/// Counts or classes that make no sense, or what the plugin says.
pub fn run(matches: &ArgMatches, flags: &LossFlags) -> anyhow::Result<()> {
    let classes = class_counts(matches)?;
    let ids: Vec<u32> = matches.get_many("class").into_iter().flatten().copied().collect();
    if let Some(at) = ids.iter().position(|&class| class as usize >= classes.len()) {
        return Err(UsageError(format!(
            "--class {}, number {} of its list: --class-counts names {} classes, 0 to {}",
            ids[at],
            at + 1,
            classes.len(),
            classes.len() - 1
        ))
        .into());
    }
    let loss = flags.choice(matches)?.make(head(matches), &classes)?;
    let log_odds = matches.get_many::<f64>("log-odds").into_iter().flatten();
    let (log_odds, targets): (Vec<f64>, Vec<u32>) =
        log_odds.flat_map(|&m| ids.iter().map(move |&class| (m, class))).unzip();
    let (mut value, mut slope) = (vec![0.0; log_odds.len()], vec![0.0; log_odds.len()]);
    loss.eval(&log_odds, &targets, &mut value, &mut slope)?;
    if !loss.adjustment().keeps_logits() {
        eprintln!(
            "note: {} adjusts the logits by class first; these log-odds are those after that. `losses plot` and `apply` show both",
            loss.id()
        );
    }
    if loss.adjustment().label_smoothing != 0.0 && head(matches) == Head::Softmax {
        eprintln!(
            "note: these are without label smoothing, which on the softmax head takes every logit; `losses apply` has it"
        );
    }
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
