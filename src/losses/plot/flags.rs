//! The flags of `toolkit losses plot`, with those of every loss that it is to draw.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::builder::{PathBufValueParser, TypedValueParser as _};
use clap::{Arg, ArgAction, Command};
use imbalance_core::host::SearchPath;
use imbalance_core::{ParamKind, ParamSpec};
use imbalance_evaluation::figure::Format;

use super::spec::LossSpec;
use crate::loss_flags::{plugin_dir_arg, refuse_taken};
use crate::losses::{class_counts_arg, head_arg, json_arg};

/// CIFAR-10-LT with an imbalance ratio of 100 (paper, section 5.1).
pub const CIFAR_10_LT: [&str; 10] = ["5000", "2997", "1796", "1077", "645", "387", "232", "139", "83", "50"];
/// The file that is written where none is named.
pub const DEFAULT_FILE: &str = "losses.svg";

/// The verb's flags, without those of any particular loss.
pub fn command() -> Command {
    Command::new("plot")
        .about("Draw loss and likelihood gradient over p, several losses on one picture")
        .after_help(
            "The losses' own parameters are flags too, of every loss that has them; ID:name=value sets one of one loss:\n  \
             toolkit losses plot cross-entropy focal:gamma=2 eureka:beta=0.999 -o curves.png\n\
             p is the likelihood of the true class before any adjustment of logits, the other classes sharing the rest \
             equally.",
        )
        .arg(
            Arg::new("losses")
                .value_name("ID[:NAME=VALUE,…]")
                .required(true)
                .num_args(1..)
                .help("The losses, at most seven, each with parameters of its own"),
        )
        .arg(
            class_counts_arg()
                .default_values(CIFAR_10_LT)
                .hide_default_value(true)
                .help("Training examples of each class [default: CIFAR-10-LT, imbalance ratio 100]"),
        )
        .arg(
            Arg::new("class")
                .long("class")
                .value_name("C,C,…")
                .value_delimiter(',')
                .value_parser(clap::value_parser!(u32))
                .help("Classes to draw, at most three, counted from 0 [default: the most frequent and the rarest]"),
        )
        .arg(
            Arg::new("quantity")
                .long("quantity")
                .value_name("WHAT")
                .value_parser(["loss", "gradient", "both"])
                .default_value("both")
                .help("What to draw over p"),
        )
        .arg(range_arg("loss-range", "Range of the axis of the loss"))
        .arg(range_arg("gradient-range", "Range of the axis of the gradient"))
        .arg(Arg::new("title").long("title").value_name("TEXT").help("Title of the picture"))
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .action(ArgAction::Append)
                .value_parser(PathBufValueParser::new().try_map(|path| Format::of(&path).map(|_| path)))
                .help(format!("File to write, .svg or .png; may be given more than once [default: {DEFAULT_FILE}]")),
        )
        .arg(head_arg())
        .arg(json_arg().help("Print the points of the curves as JSON; a picture is drawn only with -o"))
        .arg(plugin_dir_arg())
}

fn range_arg(name: &'static str, help: &'static str) -> Arg {
    let parse = |typed: &str| {
        let ends =
            typed.split_once(',').and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
        ends.filter(|(low, high): &(f64, f64)| low.is_finite() && high.is_finite() && low < high)
            .ok_or_else(|| "not two numbers, the lower one first, as in -2,5".to_owned())
    };
    Arg::new(name)
        .long(name)
        .value_name("LOW,HIGH")
        .allow_hyphen_values(true)
        .value_parser(parse)
        .help(format!("{help} [default: what shows the middle of every curve]"))
}

/// The verb's flags and those of the losses that `args` (from the verb on) name.
///
/// # Errors
/// A loss that is not found or cannot be used, or that has a parameter with the name of a flag.
pub fn with_flags(args: &[OsString], search: &SearchPath) -> anyhow::Result<Command> {
    let mut command = command();
    let mut params: BTreeMap<String, Vec<(String, ParamSpec)>> = BTreeMap::new();
    let mut seen: Vec<String> = Vec::new();
    for typed in losses_in(&command, args) {
        let id = LossSpec::parse(typed)?.id;
        if seen.contains(&id) {
            continue;
        }
        for param in search.open(&id)?.params() {
            params.entry(param.name.clone()).or_default().push((id.clone(), param.clone()));
        }
        seen.push(id);
    }
    for (name, of) in params {
        if let Some((id, _)) = of.first() {
            refuse_taken(&command, &name, id, &name)?;
        }
        command = command.arg(shared_arg(name, of));
    }
    Ok(command)
}

/// The losses in `args`, which begin with the verb, up to the first flag that is not the command's own.
fn losses_in<'a>(command: &Command, args: &'a [OsString]) -> Vec<&'a str> {
    let mut losses = Vec::new();
    let mut rest = args.iter().skip(1).map(|arg| arg.to_str().unwrap_or_default());
    while let Some(arg) = rest.next() {
        let Some(flag) = arg.strip_prefix('-') else {
            losses.push(arg);
            continue;
        };
        let long = flag.strip_prefix('-').map(|long| long.split('=').next().unwrap_or(long));
        let known = command.get_arguments().find(|known| match long {
            Some(long) => known.get_long() == Some(long),
            None => known.get_short().is_some() && known.get_short() == flag.chars().next(),
        });
        let Some(known) = known else { break };
        let value_within = if long.is_some() { flag.contains('=') } else { flag.chars().count() > 1 };
        if known.get_action().takes_values() && !value_within {
            rest.next();
        }
    }
    losses
}

/// The flag of a parameter that one or more losses have.
fn shared_arg(name: String, of: Vec<(String, ParamSpec)>) -> Arg {
    let ids = of.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
    let help = of.first().map(|(_, param)| format!("{} ({}; {ids})", param.help, param.expected())).unwrap_or_default();
    let all_flags = of.iter().all(|(_, param)| param.kind == ParamKind::Flag);
    let arg = Arg::new(name.clone())
        .long(name)
        .help_heading("Parameters of every loss that has them")
        .help(help)
        .allow_negative_numbers(true)
        .value_parser(move |typed: &str| {
            for (id, param) in &of {
                param.parse(typed).map_err(|error| format!("loss `{id}`: {error}"))?;
            }
            Ok::<_, String>(typed.to_owned())
        });
    if all_flags {
        arg.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg.value_name("VALUE")
    }
}
